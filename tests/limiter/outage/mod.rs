//! What a limiter does when its store fails, on a store that fails as it is told and on a clock
//! that stands until it is moved. What real servers and networks do is in `tests/redis/outage`.

mod breaker;
mod deadline;
mod local;
mod modes;
mod refunds;
mod store;
mod warm;
