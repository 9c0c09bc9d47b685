//! Durations in text: `1h30m` and the like are their sum, and everything else is refused.

use std::time::Duration;

use tollgate::Config;

/// Reads numbers and units without regard to their order, which the parser is strict about.
fn sum(text: &str) -> Option<Duration> {
    let mut total = 0_u128;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_lowercase).count();
        let (unit, after) = after.split_at(letters);
        let micros = match unit {
            "d" => 86_400_000_000,
            "h" => 3_600_000_000,
            "m" => 60_000_000,
            "s" => 1_000_000,
            "ms" => 1_000,
            "us" => 1,
            _ => return None,
        };
        total += number.parse::<u128>().ok()?.checked_mul(micros)?;
        rest = after;
    }
    Some(Duration::from_micros(u64::try_from(total).ok()?))
}

/// Reads the text as the period of a policy.
pub fn durations(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let file = serde_json::json!({ "policies": { "p": { "limit": 1, "per": text } } });
    let path = crate::file("json", file.to_string().as_bytes());
    let overrides = Config::load_with(&path, []).and_then(|config| config.overrides());
    let _ = std::fs::remove_file(path);
    let Ok(overrides) = overrides else { return };
    let per = overrides.get("p").and_then(|of_policy| of_policy.get_per());
    if let Some(per) = per
        // A word, such as `minute`, and a number of seconds are other forms.
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_lowercase())
    {
        assert_eq!(Some(per), sum(text), "{text:?}");
    }
}
