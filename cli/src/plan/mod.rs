//! The command `tollgate plan`: who would have been refused, how often, and at which limits, had these limits been in
//! force when an access log was written. See `--help`.
//!
//! ```sh
//! tollgate plan --limit 30/60s,100/60s --algorithm sliding_window,gcra access.log
//! ```

mod args;
mod client;
mod counters;
mod entry;
mod format;
mod instant;
mod key;
mod log;
mod opening;
mod order;
mod plot;
mod reader;
mod replay;
mod sample;
mod sketch;
mod table;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use crate::is_broken_pipe;

use self::args::{Plan, Task};
use self::log::{Line, Log, Malformed};
use self::opening::Opening;
use self::order::Order;
use self::reader::Reader;
use self::replay::Replay;

pub(crate) fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let task = match args::read(arguments) {
        Ok(task) => task,
        Err(error) => {
            eprintln!("tollgate plan: {error}\ntollgate plan --help says what there is");
            return ExitCode::from(2);
        }
    };
    let mut output = BufWriter::new(io::stdout().lock());
    let done = match task {
        Task::Help => output.write_all(args::HELP.as_bytes()).map_err(Into::into),
        Task::Sample(sample) => sample.write(&mut output).map_err(Into::into),
        Task::Plan(plan) => run(&plan, &mut output),
    };
    let done = done.and_then(|()| output.flush().map_err(Into::into));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has seen enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tollgate plan: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(plan: &Plan, output: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let mut reader = Reader::new(plan)?;
    let mut log = Log::open(&plan.log)?;
    let opening = Opening::read(&mut log, &mut reader, plan)?;
    if !opening.said.is_empty() {
        eprintln!("{}", opening.said);
    }
    let mut reading = Reading { reader, order: Order::default(), malformed: Malformed::default() };
    let mut replay = Replay::new(plan);
    for line in &opening.lines {
        reading.line(&line.line(), &mut replay);
    }
    while let Some(line) = log.next()? {
        reading.line(&line, &mut replay);
    }
    let Reading { mut order, malformed, .. } = reading;
    order.finish(|micros, subject| replay.request(micros, subject));
    log.finish();

    table::write(output, plan, &replay, &malformed, order.late)?;
    if replay.requests == 0 {
        output.flush()?;
        return Err(nothing(&replay, &malformed).into());
    }
    let drawn = plot::draw(plan, &replay);
    std::fs::write(&plan.svg, drawn)
        .map_err(|error| format!("cannot write {}: {error}", plan.svg.display()))?;
    writeln!(output, "\nThe plot is in {}", plan.svg.display())?;
    Ok(())
}

/// The lines as they are read, up to the replay.
struct Reading {
    reader: Reader,
    order: Order,
    malformed: Malformed,
}

impl Reading {
    fn line(&mut self, line: &Line<'_>, replay: &mut Replay) {
        match line.text.and_then(|text| self.reader.read(text)) {
            Ok(Some(request)) => {
                *replay.formats.entry(request.format).or_default() += 1;
                replay.without_zone += u64::from(!request.time.has_zone);
                match &request.subject {
                    Some(subject) => {
                        self.order.push(request.time.micros, subject, |micros, it| {
                            replay.request(micros, it);
                        });
                    }
                    None => replay.without_subject += 1,
                }
            }
            Ok(None) => {}
            Err(why) => self.malformed.add(line.number, why),
        }
    }
}

/// Says why nothing was replayed, and what to do.
fn nothing(replay: &Replay, malformed: &Malformed) -> &'static str {
    if replay.without_subject > 0 {
        "nothing to replay: no request has the key; name another by --key"
    } else if malformed.count > 0 {
        "nothing to replay: no line could be read; --help lists the formats"
    } else {
        "nothing to replay: the log has no requests"
    }
}
