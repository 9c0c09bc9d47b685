//! A made-up log: some clients come very often, most of them seldom, all in bursts.

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::str::FromStr;

use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

/// How long a request comes after the one before, on average: 200 a second.
const STEP_MICROS: u64 = 5_000;
/// Lines are written when the request ends. It began up to so long before.
const LONGEST_REQUEST_MICROS: u64 = 2_000_000;
/// Noon of 10 October 2025.
const START_MICROS: u64 = 1_760_097_600_000_000;

/// As in `10/Oct/2025:13:55:36 +0000`.
const LOG_TIME: StaticFormatDescription = format_description!(
    "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
);

const PATHS: [&str; 6] = ["/", "/login", "/items", "/items/42", "/search?q=hats", "/health"];
const AGENTS: [&str; 3] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.6 Safari/605.1.15",
    "curl/8.14.1",
];

pub(crate) struct Sample {
    pub(crate) lines: u64,
    pub(crate) clients: u64,
    pub(crate) format: Format,
    pub(crate) seed: u64,
}

#[derive(Clone, Copy)]
pub(crate) enum Format {
    Common,
    Combined,
    Json,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "common" => Ok(Self::Common),
            "combined" => Ok(Self::Combined),
            "json" => Ok(Self::Json),
            _ => Err("there are common, combined and json".to_owned()),
        }
    }
}

impl Sample {
    /// The addresses of 10.0.0.0/8.
    pub(crate) const MOST_CLIENTS: u64 = 1 << 24;

    /// # Errors
    ///
    /// If `output` takes no more.
    pub(crate) fn write(&self, output: &mut impl Write) -> io::Result<()> {
        let mut random = Random(self.seed);
        let mut now = START_MICROS;
        let mut shown = (u64::MAX, String::new());
        for line in 0..self.lines {
            now += random.below(2 * STEP_MICROS);
            let began = now - random.below(LONGEST_REQUEST_MICROS);
            let client = self.client(line, now, &mut random);
            let address = self.address(client);
            let user =
                if client.is_multiple_of(3) { format!("user{client}") } else { "-".to_owned() };
            let path = PATHS[random.below(PATHS.len() as u64) as usize];
            let agent = AGENTS[client as usize % AGENTS.len()];
            let bytes = 200 + random.below(5_000);
            if shown.0 != began / 1_000_000 {
                shown = (began / 1_000_000, log_time(began / 1_000_000)?);
            }
            let time = &shown.1;
            match self.format {
                Format::Common => writeln!(
                    output,
                    r#"{address} - {user} [{time}] "GET {path} HTTP/1.1" 200 {bytes}"#
                )?,
                Format::Combined => writeln!(
                    output,
                    r#"{address} - {user} [{time}] "GET {path} HTTP/1.1" 200 {bytes} "-" "{agent}""#
                )?,
                Format::Json => {
                    let (seconds, micros) = (began / 1_000_000, began % 1_000_000);
                    writeln!(
                        output,
                        r#"{{"ts":{seconds}.{micros:06},"remote_addr":"{address}","remote_user":"{user}","method":"GET","path":"{path}","status":200,"bytes":{bytes},"user_agent":"{agent}"}}"#
                    )?;
                }
            }
        }
        Ok(())
    }

    /// The first come most often.
    fn client(&self, line: u64, now: u64, random: &mut Random) -> u64 {
        // Each is there once, spread over all lines.
        let before =
            |line: u64| (u128::from(line) * u128::from(self.clients)) / u128::from(self.lines);
        if before(line + 1) > before(line) {
            return before(line) as u64;
        }
        // Their frequency is as one to their rank, and in three minutes of four they sleep.
        let mut client = 0;
        for _ in 0..4 {
            client = (self.clients as f64).powf(random.unit()) as u64 - 1;
            if mix(client ^ (now / 60_000_000) << 32).is_multiple_of(4) {
                break;
            }
        }
        client.min(self.clients - 1)
    }

    /// Another for each client.
    fn address(&self, client: u64) -> Ipv4Addr {
        // An odd factor only changes the order of what a power of two bounds.
        let host =
            client.wrapping_mul(0x9E_37_79).wrapping_add(mix(self.seed)) % Self::MOST_CLIENTS;
        Ipv4Addr::from(10 << 24 | host as u32)
    }
}

fn log_time(seconds: u64) -> io::Result<String> {
    let time = OffsetDateTime::from_unix_timestamp(seconds as i64).map_err(io::Error::other)?;
    time.format(LOG_TIME).map_err(io::Error::other)
}

/// SplitMix64: the same numbers everywhere, by the seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// From 0 to 1, without 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}
