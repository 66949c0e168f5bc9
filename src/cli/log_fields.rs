//! The fields of log lines in text, with readable durations.
//!
//! A duration is logged as a number of seconds whose field name ends in `_seconds`. JSON keeps the number and the name. Text has a unit
//! that fits: `latency=21 µs` for `latency_seconds`.

use std::error::Error;
use std::fmt::{self, Debug};
use tracing::field::{Field, Visit};
use tracing_subscriber::field::{RecordFields, VisitOutput};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};

/// The end of the names of fields that are durations.
const SECONDS: &str = "_seconds";

/// Formats fields as tracing-subscriber does by default, except for durations.
#[derive(Debug, Default)]
pub(super) struct ReadableFields;

impl<'writer> FormatFields<'writer> for ReadableFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = Visitor { writer, is_empty: true, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Visitor<'a> {
    writer: Writer<'a>,
    is_empty: bool,
    result: fmt::Result,
}

impl Visitor<'_> {
    /// Formats a field by the default visitor.
    fn by_default(&mut self, record: impl FnOnce(&mut DefaultVisitor<'_>)) {
        let mut visitor = DefaultVisitor::new(self.writer.by_ref(), self.is_empty);
        record(&mut visitor);
        self.result = self.result.and(visitor.finish());
        self.is_empty = false;
    }

    /// Formats a duration; returns false if the field is none.
    fn duration(&mut self, field: &Field, seconds: f64) -> bool {
        let Some(name) = field.name().strip_suffix(SECONDS) else { return false };
        let separator = if self.is_empty { "" } else { " " };
        let written = match self.writer.has_ansi_escapes() {
            true => write!(self.writer, "{separator}\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{}", readable(seconds)),
            false => write!(self.writer, "{separator}{name}={}", readable(seconds)),
        };
        self.result = self.result.and(written);
        self.is_empty = false;
        true
    }
}

impl Visit for Visitor<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if !self.duration(field, value) {
            self.record_debug(field, &value);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        // A lifetime has far fewer than 2^52 seconds.
        #[expect(clippy::cast_precision_loss, reason = "only three digits are shown")]
        if !self.duration(field, value as f64) {
            self.record_debug(field, &value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.by_default(|visitor| visitor.record_str(field, value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.by_default(|visitor| visitor.record_error(field, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.by_default(|visitor| visitor.record_debug(field, value));
    }
}

/// The duration in µs, ms or s: with a fraction below 10, and as an integer otherwise.
fn readable(seconds: f64) -> String {
    let (number, unit) = match seconds {
        _ if seconds < 0.000_999_5 => (seconds * 1e6, "µs"),
        _ if seconds < 0.999_5 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    // `{:.0}` rounds; an integer needs no fraction.
    let digits = usize::from(number < 9.95 && (number - number.round()).abs() > 0.05);
    format!("{number:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn durations_have_a_unit_that_fits() {
        for (seconds, text) in [
            (0.0, "0 µs"),
            (2.103_6e-5, "21 µs"),
            (1.5e-6, "1.5 µs"),
            (0.000_999_6, "1 ms"),
            (0.0123, "12 ms"),
            (1.25, "1.2 s"),
            (3.0, "3 s"),
            (3599.0, "3599 s"),
        ] {
            assert_eq!(readable(seconds), text);
        }
    }

    #[test]
    fn fields_of_a_line_are_those_of_the_default_format_except_durations() {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(ReadableFields)
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(status = 200, latency_seconds = 2.103_6e-5, path = "/x", left_seconds = 3_u64, "answered");
            tracing::info!(latency_seconds = 0.5, status = 1);
        });
        let lines = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = lines.lines().map(|line| line.rsplit_once("tests: ").unwrap().1).collect();
        assert_eq!(lines, ["answered status=200 latency=21 µs path=\"/x\" left=3 s", "latency=500 ms status=1"]);
    }
}
