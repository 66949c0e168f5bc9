//! Times of a token in words: `expires in 59 minutes`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;

/// The largest units, in seconds.
const UNITS: [(u64, &str); 4] = [(24 * 3600, "day"), (3600, "hour"), (60, "minute"), (1, "second")];

/// The time of a claim, in seconds since 1970, as a date and relative to `now`. `None` if the claim is not a time.
pub(super) fn in_words(claim: &str, time: f64, now: SystemTime) -> Option<String> {
    let (past, future) = match claim {
        "exp" => ("expired", "expires"),
        "iat" => ("issued", "issued"),
        "nbf" => ("became valid", "becomes valid"),
        "auth_time" => ("authenticated", "authenticated"),
        _ => return None,
    };
    let date = date(time)?;
    let relative = match relative(time, now)? {
        Relative::Past(duration) => format!("{past} {} ago", amount(duration)),
        Relative::Future(duration) => format!("{future} in {}", amount(duration)),
    };
    Some(format!("{date}, {relative}"))
}

enum Relative {
    Past(Duration),
    Future(Duration),
}

fn relative(time: f64, now: SystemTime) -> Option<Relative> {
    let now = now.duration_since(UNIX_EPOCH).ok()?;
    let time = Duration::try_from_secs_f64(time).ok()?;
    Some(match now.checked_sub(time) {
        Some(past) => Relative::Past(past),
        None => Relative::Future(time - now),
    })
}

fn date(time: f64) -> Option<String> {
    let seconds = i64::try_from(Duration::try_from_secs_f64(time).ok()?.as_secs()).ok()?;
    let date = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    let (hour, minute, second) = date.to_hms();
    Some(format!("{} {hour:02}:{minute:02}:{second:02} UTC", date.date()))
}

/// A duration in its largest unit, rounded down: `59 minutes`.
fn amount(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let unit = UNITS.into_iter().find(|(unit, _)| seconds >= *unit);
    let (length, name) = unit.unwrap_or((1, "second"));
    let number = seconds / length;
    format!("{number} {name}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: f64 = 1_790_000_000.0;

    fn words(claim: &str, time: f64) -> Option<String> {
        in_words(claim, time, UNIX_EPOCH + Duration::from_secs_f64(NOW))
    }

    #[test]
    fn times_are_relative_in_their_largest_unit() {
        let relative =
            |claim: &str, offset: f64| words(claim, NOW + offset).unwrap().split_once(", ").unwrap().1.to_owned();
        assert_eq!(relative("exp", 3599.0), "expires in 59 minutes");
        assert_eq!(relative("exp", -3.5 * 3600.0), "expired 3 hours ago");
        assert_eq!(relative("exp", 60.0), "expires in 1 minute");
        assert_eq!(relative("iat", -1.0), "issued 1 second ago");
        assert_eq!(relative("iat", -0.5), "issued 0 seconds ago");
        assert_eq!(relative("iat", 7200.0), "issued in 2 hours");
        assert_eq!(relative("nbf", -86400.0 * 2.0), "became valid 2 days ago");
        assert_eq!(relative("auth_time", -59.0), "authenticated 59 seconds ago");
    }

    #[test]
    fn times_have_a_date_in_utc() {
        assert_eq!(words("exp", NOW).unwrap(), "2026-09-21 14:13:20 UTC, expired 0 seconds ago");
        assert!(words("iat", 0.0).unwrap().starts_with("1970-01-01 00:00:00 UTC, "));
    }

    #[test]
    fn other_claims_and_numbers_out_of_range_are_no_times() {
        assert_eq!(words("size", NOW), None);
        for time in [-1.0, 1e300, f64::NAN, 1e18] {
            assert_eq!(words("exp", time), None, "{time}");
        }
    }
}
