//! Durations as options, scenarios and faults write them: `10`, `5s`, `1m30s`, `250ms`.

use std::time::Duration;

/// What [`parse`] accepts, for the text of an error.
pub const EXPECTED: &str =
    "a number of seconds is expected, such as 10, or numbers with a unit: 10s, 5m, 1h, 1m30s, 250ms";

/// The units, the largest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Parses a number of seconds, or numbers with the units `d`, `h`, `m`, `s` and `ms`; `None` if the text is no duration.
pub fn parse(text: &str) -> Option<Duration> {
    if let Some(seconds) = number(text) {
        return Some(Duration::from_secs(seconds));
    }
    let (mut rest, mut milliseconds) = (text, 0_u64);
    while !rest.is_empty() {
        let (digits, after) = rest.split_at(rest.find(|character: char| !character.is_ascii_digit())?);
        let (unit, after) =
            after.split_at(after.find(|character: char| character.is_ascii_digit()).unwrap_or(after.len()));
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
        milliseconds = milliseconds.checked_add(number(digits)?.checked_mul(*size)?)?;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::from_millis(milliseconds))
}

/// Digits without a sign.
fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Writes a duration as [`parse`] reads it, without parts of a millisecond: `1m30s`.
pub fn to_text(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (name, size) in UNITS {
        if rest >= size {
            text.push_str(&format!("{}{name}", rest / size));
            rest %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_of_seconds_or_numbers_with_units() {
        for (text, milliseconds) in [
            ("0", 0),
            ("10", 10_000),
            ("10s", 10_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
            ("1m30s", 90_000),
            ("1h1ms", 3_600_001),
            ("250ms", 250),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in [
            "",
            "s",
            "ten",
            "-1",
            "+1",
            "1.5",
            "10 s",
            "1w",
            "1m30",
            "m1",
            "\u{e9}",
            "1\u{e9}",
            "99999999999999999999",
            "18446744073709551615h",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_written_duration_is_read_as_the_same() {
        for text in ["0s", "1s", "250ms", "1m30s", "1h", "7d", "1d1h1m1s1ms"] {
            assert_eq!(to_text(parse(text).unwrap_or_default()), text);
        }
        assert_eq!(to_text(Duration::from_secs(90)), "1m30s");
    }
}
