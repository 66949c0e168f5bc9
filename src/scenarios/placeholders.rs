//! Placeholders in the strings of a patch: `{{now}}`, `{{now+7d}}` and `{{random}}`. There is no template language.

use super::error::ScenarioError;
use super::parse::MAX_DURATION;
use crate::json_pointer::child;
use gce_metadata_support::duration;
use serde_json::Value;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;

/// What a placeholder stands for.
enum Placeholder {
    /// The time of the wall clock, this much later or earlier.
    Later(Duration),
    Earlier(Duration),
    Random,
}

/// Checks the placeholders of a patch.
pub(super) fn check(patch: &Value, pointer: &str) -> Result<(), ScenarioError> {
    match patch {
        Value::String(text) => pieces(text, &mut |_| {}).map_err(|placeholder| {
            let detail =
                format!("{placeholder} is no placeholder: expected {{{{now}}}}, {{{{now+7d}}}} or {{{{random}}}}");
            ScenarioError::invalid(pointer, detail)
        }),
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(index, item)| check(item, &child(pointer, &index.to_string())))
        }
        Value::Object(members) => members.iter().try_for_each(|(key, value)| check(value, &child(pointer, key))),
        _ => Ok(()),
    }
}

/// The patch with its placeholders replaced. `now` is the time of the wall clock, which programs compare with their own.
pub(super) fn expanded(patch: &Value, now: SystemTime) -> Value {
    match patch {
        Value::String(text) => {
            let mut expanded = String::new();
            let expansion = pieces(text, &mut |piece| match piece {
                Piece::Text(text) => expanded.push_str(text),
                Piece::Placeholder(placeholder) => expanded.push_str(&value_of(&placeholder, now)),
            });
            // A definition is checked when it is parsed.
            if expansion.is_err() { text.clone().into() } else { expanded.into() }
        }
        Value::Array(items) => items.iter().map(|item| expanded(item, now)).collect(),
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), expanded(value, now))).collect(),
        other => other.clone(),
    }
}

enum Piece<'a> {
    Text(&'a str),
    Placeholder(Placeholder),
}

/// Splits a text. Other words in double braces are text, because the values of a real VM may have templates. Returns a placeholder that
/// can't be read.
fn pieces<'a>(text: &'a str, each: &mut impl FnMut(Piece<'a>)) -> Result<(), &'a str> {
    let mut rest = text;
    while let Some((start, end)) =
        rest.find("{{").and_then(|start| Some((start, start + rest[start..].find("}}")? + 2)))
    {
        match Placeholder::read(rest[start + 2..end - 2].trim()) {
            Ok(Some(placeholder)) => {
                each(Piece::Text(&rest[..start]));
                each(Piece::Placeholder(placeholder));
            }
            Ok(None) => each(Piece::Text(&rest[..end])),
            Err(()) => return Err(&rest[start..end]),
        }
        rest = &rest[end..];
    }
    each(Piece::Text(rest));
    Ok(())
}

impl Placeholder {
    /// `None` for another word.
    fn read(word: &str) -> Result<Option<Self>, ()> {
        let offset = |text| duration::parse(text).filter(|offset| *offset <= MAX_DURATION).ok_or(());
        match word {
            "now" => Ok(Some(Self::Later(Duration::ZERO))),
            "random" => Ok(Some(Self::Random)),
            _ => match (word.strip_prefix("now+"), word.strip_prefix("now-")) {
                (Some(later), _) => offset(later).map(Self::Later).map(Some),
                (_, Some(earlier)) => offset(earlier).map(Self::Earlier).map(Some),
                (None, None) => Ok(None),
            },
        }
    }
}

fn value_of(placeholder: &Placeholder, now: SystemTime) -> String {
    match placeholder {
        Placeholder::Later(offset) => date(now.checked_add(*offset).unwrap_or(now)),
        Placeholder::Earlier(offset) => date(now.checked_sub(*offset).unwrap_or(now)),
        // Each of these has new random keys. 63 bits, because clients may parse a signed number.
        Placeholder::Random => (RandomState::new().build_hasher().finish() >> 1).to_string(),
    }
}

/// RFC 3339 in seconds, with the offset that the metadata server writes: clients that know no `Z` read it too.
fn date(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let (date, (hour, minute, second)) = (time.date(), time.to_hms());
    format!("{date}T{hour:02}:{minute:02}:{second:02}+00:00")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at_start(text: &str) -> String {
        expanded(&json!({"a": [text]}), SystemTime::UNIX_EPOCH)["a"][0].as_str().unwrap().to_owned()
    }

    #[test]
    fn times_are_written_in_seconds_with_an_offset() {
        for (text, expected) in [
            ("{{now}}", "1970-01-01T00:00:00+00:00"),
            ("{{ now }}", "1970-01-01T00:00:00+00:00"),
            ("{{now+7d}}", "1970-01-08T00:00:00+00:00"),
            ("{{now-1m30s}}", "1969-12-31T23:58:30+00:00"),
            ("from {{now}} to {{now+1s}}!", "from 1970-01-01T00:00:00+00:00 to 1970-01-01T00:00:01+00:00!"),
        ] {
            assert_eq!(at_start(text), expected);
        }
    }

    #[test]
    fn random_values_are_numbers_and_differ() {
        let values = [at_start("{{random}}"), at_start("{{random}}")];
        assert_ne!(values[0], values[1]);
        assert!(values.iter().all(|value| value.parse::<i64>().is_ok()), "{values:?}");
    }

    #[test]
    fn other_words_in_braces_are_kept() {
        for text in ["{{nowhere}}", "{{ .Values.image }}", "{{", "}}{{", "{{}}", "a"] {
            check(&json!(text), "").unwrap();
            assert_eq!(at_start(text), text);
        }
    }

    #[test]
    fn a_wrong_offset_is_an_error() {
        for text in ["{{now+}}", "{{now+7}}x{{now-soon}}", "{{now+36501d}}"] {
            let ScenarioError::Invalid { detail, .. } = check(&json!(text), "/patch").unwrap_err() else {
                panic!("{text}")
            };
            assert!(detail.contains("is no placeholder"), "{detail}");
        }
    }
}
