//! The log's lines as they come from a file or from standard input.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};

/// What is longer is no line of an access log, and must not fill the memory.
const LONGEST_LINE: usize = 64 * 1024;
/// The progress is told of so many bytes at a time.
const STEP: u64 = 1 << 20;

pub(crate) struct Log {
    path: PathBuf,
    bytes: BufReader<Box<dyn Read>>,
    line: Vec<u8>,
    /// Its bytes as text, if they are not valid UTF-8.
    repaired: String,
    number: u64,
    progress: ProgressBar,
    untold: u64,
}

pub(crate) struct Line<'a> {
    /// The first is 1.
    pub(crate) number: u64,
    pub(crate) text: Result<&'a str, &'static str>,
}

/// A line that is kept.
pub(crate) struct OwnedLine {
    pub(crate) number: u64,
    pub(crate) text: Result<String, &'static str>,
}

impl Line<'_> {
    pub(crate) fn to_owned(&self) -> OwnedLine {
        OwnedLine { number: self.number, text: self.text.map(str::to_owned) }
    }
}

impl OwnedLine {
    pub(crate) fn line(&self) -> Line<'_> {
        Line { number: self.number, text: self.text.as_deref().map_err(|why| *why) }
    }
}

impl Log {
    /// # Errors
    ///
    /// If it cannot be opened; it says which file that is.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let failed = |error| format!("cannot read {}: {error}", path.display());
        let (bytes, length): (Box<dyn Read>, _) = if path == Path::new("-") {
            (Box::new(io::stdin().lock()), None)
        } else {
            let file = File::open(path).map_err(failed)?;
            let about = file.metadata().map_err(failed)?;
            let length = about.is_file().then_some(about.len());
            (Box::new(file), length)
        };
        // On standard error, and nowhere if that is no terminal.
        let (progress, style) = match length {
            Some(length) => {
                let style = "{bar:40} {percent}% of {total_bytes}, {bytes_per_sec}, {eta} left";
                (ProgressBar::new(length), style)
            }
            None => (ProgressBar::new_spinner(), "{spinner} {bytes}, {bytes_per_sec}"),
        };
        if let Ok(style) = ProgressStyle::with_template(style) {
            progress.set_style(style);
        }
        Ok(Self {
            path: path.to_owned(),
            bytes: BufReader::with_capacity(1 << 16, bytes),
            line: Vec::new(),
            repaired: String::new(),
            number: 0,
            progress,
            untold: 0,
        })
    }

    /// The next line that is not blank; `None` at the end.
    ///
    /// # Errors
    ///
    /// If the file cannot be read further.
    pub(crate) fn next(&mut self) -> Result<Option<Line<'_>>, String> {
        loop {
            let whole = self
                .read_line()
                .map_err(|error| format!("cannot read {}: {error}", self.path.display()))?;
            let Some(whole) = whole else { return Ok(None) };
            self.number += 1;
            let number = self.number;
            if !whole || !self.line.trim_ascii().is_empty() {
                let text = if whole { Ok(self.text()) } else { Err("it is longer than 64 KiB") };
                return Ok(Some(Line { number, text }));
            }
        }
    }

    pub(crate) fn finish(&self) {
        self.progress.finish_and_clear();
    }

    /// Whether the line is there as a whole; `None` at the end.
    fn read_line(&mut self) -> io::Result<Option<bool>> {
        self.line.clear();
        let mut limited = self.bytes.by_ref().take(LONGEST_LINE as u64);
        let mut read = limited.read_until(b'\n', &mut self.line)? as u64;
        let whole = self.line.ends_with(b"\n") || (read as usize) < LONGEST_LINE;
        if !whole {
            read += self.bytes.skip_until(b'\n')? as u64;
        }
        self.untold += read;
        if self.untold >= STEP {
            self.progress.inc(self.untold);
            self.untold = 0;
        }
        Ok((read > 0).then_some(whole))
    }

    fn text(&mut self) -> &str {
        let line = self.line.trim_ascii();
        match str::from_utf8(line) {
            Ok(text) => text,
            // Servers log what clients sent, whatever that was.
            Err(_) => {
                self.repaired = String::from_utf8_lossy(line).into_owned();
                &self.repaired
            }
        }
    }
}

/// The lines that could not be read, of which the first are named.
#[derive(Default)]
pub(crate) struct Malformed {
    pub(crate) count: u64,
    first: Vec<(u64, &'static str)>,
}

impl Malformed {
    const NAMED: usize = 5;

    pub(crate) fn add(&mut self, number: u64, why: &'static str) {
        self.count += 1;
        if self.first.len() < Self::NAMED {
            self.first.push((number, why));
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, why) in &self.first {
            writeln!(f, "    line {number}: {why}")?;
        }
        if self.count > self.first.len() as u64 {
            writeln!(f, "    …")?;
        }
        Ok(())
    }
}
