//! Quotas of a calendar: their windows are those of another library's calendar, to the microsecond.

mod as_defined;
mod bounds;
mod clock;
mod forms;
mod overridden;
