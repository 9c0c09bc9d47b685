//! Limits as clients see them: whose request it is, what is answered, and when it is decided.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod alike;
mod answers;
mod arguments;
mod asked_once;
mod awaited_plans;
mod before_the_body;
mod by_name;
mod by_name_cases;
mod client_addr;
mod client_address;
mod counted_once;
mod ends;
mod exact_over_sockets;
mod header_fields;
mod hostile_requests;
mod http_options;
mod layer;
mod layer_placement;
mod one_limiter;
mod plans;
mod read_alike;
mod refusals;
mod refused_body;
mod repeated_names;
mod retry_after;
mod several_limits;
mod sign_in;
mod token_budget;
mod unlimited;
mod usage;
mod waiting_at_the_door;
mod wall_time;
