//! Requests a minute for each user: two, or five by the plan that the request carries.

pub mod after;
pub mod before;
