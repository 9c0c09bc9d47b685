use tollgate::rate_limit;

struct Order;

#[rate_limit(100, per = 60)]
async fn handler() -> Order {
    Order
}

#[rate_limit(100, per = 60)]
async fn fallible() -> Result<String, Order> {
    Err(Order)
}

fn main() {}
