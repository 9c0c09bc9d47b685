macro_rules! handler {
    ($name:ident, $limit:expr, $body:block) => {
        #[tollgate::rate_limit($limit, per = 60)]
        async fn $name() -> &'static str $body
    };
}

handler!(list, 0, { "none" });

fn main() {}
