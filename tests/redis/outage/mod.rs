//! Servers and networks that fail, and what their limiter's callers see of it.

mod charged_once;
mod fault_matrix;
mod never_slow;
mod one_event;
mod reasons;
