//! Dates in the admin API.

use std::num::NonZeroU8;
use std::time::{SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;
use time::format_description::well_known::iso8601::{Config, EncodedConfig, TimePrecision};

/// Three digits after the seconds. RFC 3339 allows any number of them.
const MILLISECONDS: EncodedConfig =
    Config::DEFAULT.set_time_precision(TimePrecision::Second { decimal_digits: NonZeroU8::new(3) }).encode();

/// A date in RFC 3339 with milliseconds.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let date = OffsetDateTime::UNIX_EPOCH + time.duration_since(UNIX_EPOCH).unwrap_or_default();
    date.format(&Iso8601::<MILLISECONDS>).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_have_milliseconds() {
        for (nanoseconds, expected) in [
            (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123Z"),
            (1_700_000_000_120_999_999, "2023-11-14T22:13:20.120Z"),
            (1_700_000_000_000_000_000, "2023-11-14T22:13:20.000Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_nanos(nanoseconds)), expected);
        }
    }
}
