//! Quotas of a calendar on Redis: the process knows the calendars, and the server the time.

mod as_defined;
mod bounds;
mod clocks;
mod forms;
mod local_tier;
mod stored;
