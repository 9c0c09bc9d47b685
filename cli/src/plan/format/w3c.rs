//! The W3C's extended format, as IIS and CloudFront write it. A line `#Fields` names the columns.
//! Its times are UTC.

use std::rc::Rc;

use super::{BAD_TIME, Context, Mismatch, Read};
use crate::plan::entry::{Entry, Fields};

/// The columns, by the lines that begin with `#`.
#[derive(Default)]
pub(super) struct Columns {
    names: Option<Rc<[Box<str>]>>,
    /// The date of lines without one.
    date: String,
}

pub(super) fn read<'a>(line: &'a str, context: &mut Context) -> Read<'a> {
    if let Some(directive) = line.strip_prefix('#') {
        let (name, value) = directive.split_once(':').ok_or(Mismatch::Other)?;
        match name {
            "Fields" => {
                context.columns.names = Some(value.split_whitespace().map(Into::into).collect());
            }
            "Date" => {
                let date = value.split_whitespace().next().unwrap_or_default();
                date.clone_into(&mut context.columns.date);
            }
            "Version" | "Software" | "Start-Date" | "End-Date" | "Remark" => {}
            _ => return Err(Mismatch::Other),
        }
        return Ok(None);
    }
    let bytes = line.as_bytes();
    let is_dated = bytes.get(4) == Some(&b'-') && matches!(bytes.get(10), Some(b' ' | b'\t'));
    let broken = |why| Err(if is_dated { Mismatch::Broken(why) } else { Mismatch::Other });
    let Some(names) = context.columns.names.clone() else {
        return broken("no line `#Fields` before it names its columns");
    };
    let values: Vec<&str> = line.split_ascii_whitespace().collect();
    if values.len() != names.len() {
        return broken("it has not as many columns as `#Fields` names");
    }
    let column = |name: &str| {
        let at = names.iter().position(|known| known.eq_ignore_ascii_case(name));
        at.and_then(|at| values.get(at)).copied()
    };
    let date = column("date").unwrap_or(&context.columns.date);
    let time = column("time").ok_or(Mismatch::Broken("`#Fields` names no `time`"))?;
    let time = context.clock.read(&format!("{date}T{time}Z")).ok_or(BAD_TIME)?;
    let text = |name| column(name).unwrap_or_default();
    let entry = Entry::new(time)
        .peer(text("c-ip"))
        .user(text("cs-username"))
        .target(text("cs-uri-stem"))
        .agent(text("cs(User-Agent)"));
    Ok(Some(entry.fields(Fields::Columns(values, names))))
}
