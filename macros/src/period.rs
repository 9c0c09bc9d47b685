//! Parses lengths of time: whole seconds, words such as `minute`, text such as `"1h30m"`, and
//! constants.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::parse::ParseStream;
use syn::spanned::Spanned as _;
use syn::{Expr, ExprLit, Lit};

use crate::crate_path::CratePath;
use crate::suggest;

const MICROS_PER_SECOND: u64 = 1_000_000;
const MAX_SECONDS: u64 = 366 * 24 * 60 * 60;

/// A use of a length of time, with its bounds and the messages about them.
pub(crate) struct Length {
    /// The name of the argument that has the value.
    argument: &'static str,
    /// The word for the value in messages.
    noun: &'static str,
    min_micros: u64,
    max_seconds: u64,
    zero: &'static str,
    too_short: &'static str,
    too_long: &'static str,
}

/// The message of the library's `InFlightError::Hold`.
const HOLD_RANGE: &str = "permits must be held for 100 ms to one day, in whole microseconds";

impl Length {
    pub(crate) const PERIOD: Self = Self {
        argument: "per",
        noun: "period",
        min_micros: 1_000,
        max_seconds: MAX_SECONDS,
        zero: "the period must be longer than zero",
        too_short: "the period must be at least 1 ms",
        too_long: "the period must be at most 366 days",
    };
    pub(crate) const WAIT: Self = Self {
        argument: "wait",
        noun: "wait",
        min_micros: 1_000,
        max_seconds: MAX_SECONDS,
        zero: "the wait must be longer than zero",
        too_short: "the wait must be at least 1 ms",
        too_long: "the wait must be at most 366 days",
    };
    pub(crate) const HOLD: Self = Self {
        argument: "hold",
        noun: "hold",
        min_micros: 100_000,
        max_seconds: 24 * 60 * 60,
        zero: HOLD_RANGE,
        too_short: HOLD_RANGE,
        too_long: HOLD_RANGE,
    };
    pub(crate) const BAN: Self = Self {
        argument: "for",
        noun: "duration",
        min_micros: 1_000,
        max_seconds: 10 * MAX_SECONDS,
        zero: "a ban must last at least 1 ms",
        too_short: "a ban must last at least 1 ms",
        too_long: "a ban must last at most ten years",
    };
    pub(crate) const LONGEST_BAN: Self = Self { argument: "most", ..Self::BAN };
}

/// The length of a period, of a wait, of a ban or of the time for which permits are held.
#[derive(Clone)]
pub(crate) enum Period {
    /// The value of a literal or a word in microseconds, and its location.
    Micros(u64, Span),
    /// An expression for the compiler to evaluate.
    Const(Expr),
}

impl Period {
    /// Parses the value of an argument that is a length of this use.
    pub(crate) fn parse(input: ParseStream<'_>, length: &Length) -> syn::Result<Self> {
        let &Length { argument, noun, min_micros, max_seconds, .. } = length;
        let value = parse_expression(input)?;
        let too_long = || length.too_long.to_owned();
        let micros = match &value {
            Expr::Lit(ExprLit { lit: Lit::Int(seconds), .. }) => {
                let seconds = seconds.base10_parse::<u64>().ok();
                let seconds = seconds.filter(|seconds| *seconds <= max_seconds);
                seconds.map(|seconds| seconds * MICROS_PER_SECOND).ok_or_else(too_long)
            }
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => parse(&text.value(), length),
            Expr::Lit(_) => Err(format!(
                "a {noun} is whole seconds, or text with units: write `{argument} = 60` or \
                 `{argument} = \"250ms\"`"
            )),
            Expr::Unary(_) => Err(format!("a {noun} is not negative: write `{argument} = 60`")),
            Expr::Path(path) => match path.path.get_ident().and_then(|word| unit(word, noun)) {
                Some(result) => result,
                None => return Ok(Self::Const(value)),
            },
            _ => return Ok(Self::Const(value)),
        };
        let micros = micros.and_then(|micros| match micros {
            0 => Err(length.zero.to_owned()),
            _ if micros < min_micros => Err(length.too_short.to_owned()),
            _ if micros > max_seconds * MICROS_PER_SECOND => Err(too_long()),
            _ => Ok(micros),
        });
        let span = value.span();
        micros
            .map(|micros| Self::Micros(micros, span))
            .map_err(|message| syn::Error::new_spanned(value, message))
    }

    pub(crate) fn span(&self) -> Span {
        match self {
            Self::Micros(_, span) => *span,
            Self::Const(expression) => expression.span(),
        }
    }

    /// Returns the expression, or `None` if the value is a literal or a word.
    pub(crate) fn expression(&self) -> Option<&Expr> {
        match self {
            Self::Micros(..) => None,
            Self::Const(expression) => Some(expression),
        }
    }

    /// Returns a const expression of type `Duration`.
    pub(crate) fn tokens(&self, tollgate: &CratePath) -> TokenStream {
        match self {
            Self::Micros(micros, _) => quote!(::core::time::Duration::from_micros(#micros)),
            Self::Const(expression) => {
                // Gives unsuffixed numbers a type, which would otherwise be ambiguous.
                let typed = if is_arithmetic(expression) {
                    quote!({ let seconds: ::core::primitive::u64 = #expression; seconds })
                } else {
                    expression.to_token_stream()
                };
                let tollgate = tollgate.at(expression.span());
                quote_spanned!(expression.span()=> #tollgate::Period::new(#typed).get())
            }
        }
    }
}

/// Parses an expression, and removes the invisible group around a `macro_rules` fragment.
pub(crate) fn parse_expression(input: ParseStream<'_>) -> syn::Result<Expr> {
    let mut expression = input.parse::<Expr>()?;
    while let Expr::Group(group) = expression {
        expression = *group.expr;
    }
    Ok(expression)
}

/// Returns the number of microseconds in the unit that a word names, such as `minute`, or an error
/// message if the word is unknown. Returns `None` if the word is the name of a constant.
fn unit(word: &Ident, noun: &str) -> Option<Result<u64, String>> {
    const UNITS: [&str; 4] = ["second", "minute", "hour", "day"];
    const CALENDAR: [&str; 3] = ["week", "month", "year"];
    let text = word.to_string();
    let seconds = match text.as_str() {
        "second" => 1,
        "minute" => 60,
        "hour" => 3_600,
        "day" => 86_400,
        _ if suggest::is_constant(word) => return None,
        _ => {
            let hint = match suggest::nearest(&text, &UNITS) {
                _ if noun == Length::PERIOD.noun && CALENDAR.contains(&&*text) => {
                    format!("write `calendar({text})` for that of the calendar")
                }
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!(
                    "write `second`, `minute`, `hour` or `day`, and a constant of your own as a \
                     path, such as `self::{text}`"
                ),
            };
            return Some(Err(format!("unknown {noun} `{text}`: {hint}")));
        }
    };
    Some(Ok(seconds * MICROS_PER_SECOND))
}

/// Returns `true` if an expression contains only unsuffixed numbers and operators.
fn is_arithmetic(expression: &Expr) -> bool {
    match expression {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.suffix().is_empty(),
        Expr::Binary(binary) => is_arithmetic(&binary.left) && is_arithmetic(&binary.right),
        Expr::Paren(inner) => is_arithmetic(&inner.expr),
        Expr::Group(inner) => is_arithmetic(&inner.expr),
        _ => false,
    }
}

/// The units, longest first, with their lengths in microseconds.
const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// Parses whole numbers, each followed by a unit, with the longest unit first. Returns the sum in
/// microseconds. The error is a message.
fn parse(text: &str, length: &Length) -> Result<u64, String> {
    let mut micros = 0_u64;
    let mut units = UNITS.iter();
    let mut rest = text;
    while !rest.is_empty() {
        let (number, unit);
        (number, rest) = split(rest, |c| c.is_ascii_digit());
        (unit, rest) = split(rest, |c| !c.is_ascii_digit());
        // `find` has consumed the units up to the one it found, so a repeated or a longer unit is
        // an error.
        let Some((_, unit_micros)) = units.find(|(name, _)| *name == unit) else {
            return Err(explain(text, length.noun));
        };
        let number: u64 = number.parse().map_err(|_| explain(text, length.noun))?;
        let part = number.checked_mul(*unit_micros);
        micros = part
            .and_then(|part| micros.checked_add(part))
            .ok_or_else(|| length.too_long.to_owned())?;
    }
    if text.is_empty() { Err(explain(text, length.noun)) } else { Ok(micros) }
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

fn explain(text: &str, noun: &str) -> String {
    format!(
        "cannot read \"{text}\" as a {noun}: write whole numbers with units, from long to \
         short, such as \"250ms\", \"90s\", \"1m\", \"1h30m\" or \"1d\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_configuration_reads_it() {
        let table = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/read_alike.txt");
        let table = std::fs::read_to_string(table).unwrap();
        let mut lines = 0;
        for line in table.lines().filter_map(|line| line.strip_prefix("length ")) {
            let (text, micros) = line.rsplit_once(' ').unwrap();
            assert_eq!(parse(text, &Length::PERIOD).ok(), micros.parse().ok(), "`{text}`");
            lines += 1;
        }
        assert!(lines > 20, "{lines}");
    }
}
