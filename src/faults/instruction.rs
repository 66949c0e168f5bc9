//! Instruction words: the vocabulary of Google's storage-testbench for one fault each.

use super::FaultError;
use super::delay::Delay;
use super::effect::{Effect, Outcome};
use super::members::string;
use gce_metadata_layers::BodyFault;
use http::StatusCode;
use serde_json::Value;
use std::time::Duration;

const WORDS: &str = "expected return-STATUS, return-reset-connection, return-empty-response, return-broken-stream, \
    return-broken-stream-after-NB, return-corrupted-data, stall-for-Ns, stall-for-Ns-after-NB or stall-always; a size is in bytes \
    (12B) or in units of 1024 bytes (256K)";

/// Parses a word.
pub(super) fn parse(value: &Value, pointer: &str) -> Result<Effect, FaultError> {
    effect(string(value, pointer)?).ok_or_else(|| FaultError::new(pointer, WORDS))
}

fn effect(word: &str) -> Option<Effect> {
    Some(match word {
        "return-reset-connection" => Effect::of(Outcome::Reset),
        "return-empty-response" => Effect::of(Outcome::Close),
        "return-broken-stream" => Effect::body(BodyFault::new().cut_at(0.5)),
        "return-corrupted-data" => Effect::body(BodyFault::new().corrupt()),
        "stall-always" => Effect::delayed(Delay::endless()),
        _ => {
            if let Some(size) = word.strip_prefix("return-broken-stream-after-") {
                Effect::body(BodyFault::new().cut_after(bytes(size)?))
            } else if let Some(rest) = word.strip_prefix("stall-for-") {
                let (time, size) = rest.split_once("s-after-").map_or((rest, None), |(time, size)| (time, Some(size)));
                let seconds = Duration::from_secs(number(time.strip_suffix('s').unwrap_or(time))?);
                match size {
                    None if time.ends_with('s') => Effect::delayed(Delay::fixed(seconds)),
                    None => return None,
                    Some(size) => Effect::body(BodyFault::new().stall_after(bytes(size)?, seconds)),
                }
            } else {
                let status = u16::try_from(number(word.strip_prefix("return-")?)?).ok()?;
                Effect::status(StatusCode::from_u16(status).ok().filter(|_| (400..600).contains(&status))?)
            }
        }
    })
}

/// Digits only: `+5` and `-5` are no numbers here.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn bytes(size: &str) -> Option<usize> {
    let (digits, unit) =
        size.strip_suffix('K').map_or_else(|| (size.strip_suffix('B'), 1), |digits| (Some(digits), 1024));
    usize::try_from(number(digits?)?).ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_storage_testbench_are_effects() {
        let body = |fault| Some(Effect::body(fault));
        let seconds = Duration::from_secs;
        for (word, expected) in [
            ("return-503", Some(Effect::status(StatusCode::SERVICE_UNAVAILABLE))),
            ("return-429", Some(Effect::status(StatusCode::TOO_MANY_REQUESTS))),
            ("return-reset-connection", Some(Effect::of(Outcome::Reset))),
            ("return-empty-response", Some(Effect::of(Outcome::Close))),
            ("return-broken-stream", body(BodyFault::new().cut_at(0.5))),
            ("return-broken-stream-after-12B", body(BodyFault::new().cut_after(12))),
            ("return-broken-stream-after-256K", body(BodyFault::new().cut_after(262_144))),
            ("return-corrupted-data", body(BodyFault::new().corrupt())),
            ("stall-for-2s", Some(Effect::delayed(Delay::fixed(seconds(2))))),
            ("stall-for-2s-after-12B", body(BodyFault::new().stall_after(12, seconds(2)))),
            ("stall-always", Some(Effect::delayed(Delay::endless()))),
        ] {
            assert_eq!(effect(word), expected, "{word}");
        }
    }

    #[test]
    fn other_words_are_errors_that_list_the_words() {
        for word in [
            "",
            "return",
            "return-",
            "return-200",
            "return-600",
            "return-+503",
            "return-503-after-256K",
            "return-broken-stream-after-12",
            "return-broken-stream-after-B",
            "stall-for-2",
            "stall-for-s",
            "stall-for-2ss",
            "stall-for-2s-after-",
            "stall-for--2s",
            "stall-for-2s-after-12b",
        ] {
            assert_eq!(effect(word), None, "{word}");
        }
        let error = parse(&"return-fire".into(), "/instructions/0").unwrap_err();
        assert_eq!(error.pointer, "/instructions/0");
        assert!(error.detail.contains("return-reset-connection"));
    }
}
