//! Three calls of a user's in a minute that begins with the first of them; only reads are counted.

pub mod after;
pub mod before;
