//! One request each two seconds for each address, five at once.

pub mod after;
pub mod before;
