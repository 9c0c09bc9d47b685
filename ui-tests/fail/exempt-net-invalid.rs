use tollgate::rate_limit;

#[rate_limit(100, per = 60, exempt = net("10.0.0"))]
async fn no_network() {}

#[rate_limit(100, per = 60, exempt = net("10.0.0.0/8", "fd00::/129"))]
async fn too_long() {}

#[rate_limit(100, per = 60, exempt = net("10.0.0.1/8"))]
async fn an_address_inside() {}

#[rate_limit(100, per = 60, exempt = net("fd00::1/8"))]
async fn an_ipv6_address_inside() {}

#[rate_limit(100, per = 60, exempt = net("proxy.example"))]
async fn a_name() {}

#[rate_limit(100, per = 60, exempt = net())]
async fn none() {}

#[rate_limit(100, per = 60, exempt = net)]
async fn no_parentheses() {}

#[rate_limit(100, per = 60, exempt = net(10.0))]
async fn no_text() {}

#[rate_limit(100, per = 60, exempt = nets("10.0.0.0/8"))]
async fn misspelt() {}

#[rate_limit(100, per = 60, exempt = "10.0.0.0/8")]
async fn text() {}

fn main() {}
