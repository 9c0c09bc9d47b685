use tollgate::rate_limit;

struct Server;

trait Service {
    async fn call(&self, id: u32) -> Result<u32, std::io::Error>;
}

impl Service for Server {
    #[rate_limit(100, per = 60, key = args(id))]
    async fn call(&self, id: u32) -> Result<u32, std::io::Error> {
        Ok(id)
    }
}

fn main() {}
