//! The command `tollgate plan`: who would have been refused, how often, and at which limits, had these limits been in
//! force when an access log was written. See `--help`.
//!
//! ```sh
//! tollgate plan --limit 30/60s,100/60s --algorithm sliding_window,gcra access.log
//! ```

mod args;
mod counters;
mod line;
mod log;
mod order;
mod plot;
mod replay;
mod sample;
mod sketch;
mod table;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use self::args::{Plan, Task};
use self::line::Reader;
use self::log::{Log, Malformed};
use self::order::Order;
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

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn run(plan: &Plan, output: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let mut log = Log::open(&plan.log)?;
    let mut reader = Reader::new(plan.key.clone());
    let mut order = Order::default();
    let mut replay = Replay::new(plan);
    let mut malformed = Malformed::default();
    while let Some(line) = log.next()? {
        match line.text.and_then(|text| reader.read(text)) {
            Ok(request) => {
                replay.formats.insert(request.format);
                match &request.subject {
                    Some(subject) => {
                        order.push(request.micros, subject, |micros, it| {
                            replay.request(micros, it);
                        });
                    }
                    None => replay.without_subject += 1,
                }
            }
            Err(why) => malformed.add(line.number, why),
        }
    }
    order.finish(|micros, subject| replay.request(micros, subject));
    log.finish();

    table::write(output, plan, &replay, &malformed, order.late)?;
    if replay.requests > 0 {
        let drawn = plot::draw(plan, &replay);
        std::fs::write(&plan.svg, drawn)
            .map_err(|error| format!("cannot write {}: {error}", plan.svg.display()))?;
        writeln!(output, "\nThe plot is in {}", plan.svg.display())?;
    }
    Ok(())
}
