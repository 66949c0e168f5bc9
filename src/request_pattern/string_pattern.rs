//! Patterns of one string: a header, a query parameter, or the address of a client.

use super::{PatternError, distance};
use crate::json_pointer::child;
use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// The limit on the length of a regular expression.
const MAX_REGEX_BYTES: usize = 4096;
/// The limit on the memory of a compiled regular expression. Matching takes time linear in the text.
const MAX_REGEX_MEMORY: usize = 1 << 20;

/// A condition on a string that may be absent.
#[derive(Debug, Clone)]
pub(crate) enum StringPattern {
    EqualTo { value: String, ignores_case: bool },
    Contains(String),
    Matches(Regex),
    DoesNotMatch(Regex),
    Absent,
}

impl StringPattern {
    /// Parses `{"equalTo": "a", "caseInsensitive": true}`, or an object with another operator.
    pub(crate) fn parse(value: &Value, pointer: &str) -> Result<Self, PatternError> {
        let object = object(value, pointer)?;
        let mut found = None;
        let mut ignores_case = None;
        for (name, value) in object {
            let pointer = child(pointer, name);
            let pattern = match name.as_str() {
                "equalTo" => Self::EqualTo { value: string(value, &pointer)?.to_owned(), ignores_case: false },
                "contains" => Self::Contains(string(value, &pointer)?.to_owned()),
                "matches" => Self::Matches(whole_regex(value, &pointer)?),
                "doesNotMatch" => Self::DoesNotMatch(whole_regex(value, &pointer)?),
                "absent" if *value == Value::Bool(true) => Self::Absent,
                "absent" => return Err(PatternError::new(pointer, "only `true` is supported")),
                "caseInsensitive" => {
                    let Value::Bool(given) = value else {
                        return Err(PatternError::new(pointer, "a boolean is expected"));
                    };
                    ignores_case = Some((pointer, *given));
                    continue;
                }
                _ => {
                    return Err(PatternError::new(
                        pointer,
                        "expected equalTo, matches, contains, doesNotMatch, absent or caseInsensitive",
                    ));
                }
            };
            if found.replace(pattern).is_some() {
                return Err(PatternError::new(pointer, "one operator is expected, and this is the second"));
            }
        }
        match (found, ignores_case) {
            (Some(Self::EqualTo { value, .. }), Some((_, ignores_case))) => Ok(Self::EqualTo { value, ignores_case }),
            (Some(_), Some((pointer, _))) => Err(PatternError::new(pointer, "only `equalTo` has this option")),
            (Some(pattern), None) => Ok(pattern),
            (None, _) => Err(PatternError::new(pointer, "an operator such as equalTo is expected")),
        }
    }

    /// Whether one of the values matches. Without values only `absent` matches, as in WireMock.
    pub(crate) fn matches<'a>(&self, values: impl Iterator<Item = Cow<'a, str>>) -> bool {
        let mut values = values.peekable();
        if values.peek().is_none() {
            return matches!(self, Self::Absent);
        }
        values.any(|value| self.matches_value(&value))
    }

    fn matches_value(&self, value: &str) -> bool {
        match self {
            Self::EqualTo { value: expected, ignores_case: false } => value == expected,
            Self::EqualTo { value: expected, ignores_case: true } => value.to_lowercase() == expected.to_lowercase(),
            Self::Contains(part) => value.contains(part),
            Self::Matches(regex) => regex.is_match(value),
            Self::DoesNotMatch(regex) => !regex.is_match(value),
            Self::Absent => false,
        }
    }

    /// How far the values are from a match: 0 for a match, 1 for nothing in common.
    pub(super) fn distance<'a>(&self, values: impl Iterator<Item = Cow<'a, str>>) -> f64 {
        let values: Vec<_> = values.collect();
        match self {
            _ if self.matches(values.iter().cloned()) => 0.0,
            Self::EqualTo { value: expected, .. } => {
                values.iter().map(|value| distance(expected, value)).fold(1.0, f64::min)
            }
            _ => 1.0,
        }
    }
}

/// A regular expression that must match the whole string.
pub(super) fn whole_regex(value: &Value, pointer: &str) -> Result<Regex, PatternError> {
    regex_of(string(value, pointer)?).map_err(|detail| PatternError::new(pointer, detail))
}

/// Compiles a regular expression that must match the whole string.
pub(super) fn regex_of(text: &str) -> Result<Regex, String> {
    if text.len() > MAX_REGEX_BYTES {
        return Err(format!("a regular expression has at most {MAX_REGEX_BYTES} bytes"));
    }
    let compile = |text: &str| {
        let mut builder = RegexBuilder::new(text);
        builder.size_limit(MAX_REGEX_MEMORY).dfa_size_limit(MAX_REGEX_MEMORY);
        builder.build().map_err(|error| format!("the regular expression can't be used: {error}"))
    };
    // First as it is: a group that it closes too often would close the one around it.
    compile(text)?;
    compile(&format!(r"\A(?:{text})\z"))
}

pub(crate) fn object<'a>(value: &'a Value, pointer: &str) -> Result<&'a Map<String, Value>, PatternError> {
    value.as_object().ok_or_else(|| PatternError::new(pointer, "an object is expected"))
}

pub(crate) fn string<'a>(value: &'a Value, pointer: &str) -> Result<&'a str, PatternError> {
    value.as_str().ok_or_else(|| PatternError::new(pointer, "a string is expected"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(value: Value) -> Result<StringPattern, PatternError> {
        StringPattern::parse(&value, "/headers/A")
    }

    fn matches(pattern: Value, values: &[&str]) -> bool {
        parse(pattern).unwrap().matches(values.iter().map(|value| Cow::Borrowed(*value)))
    }

    #[test]
    fn operators_match_as_in_wiremock() {
        for (pattern, matching, other) in [
            (json!({"equalTo": "Google"}), "Google", "google"),
            (json!({"equalTo": "Google", "caseInsensitive": true}), "gOOGLE", "Googl"),
            (json!({"contains": "oog"}), "Google", "Gogle"),
            (json!({"matches": "go+gle|b"}), "google", "a google"),
            (json!({"matches": "a|b"}), "b", "ab"),
            (json!({"doesNotMatch": "a.*"}), "b", "ab"),
        ] {
            assert!(matches(pattern.clone(), &[matching]), "{pattern}");
            assert!(matches(pattern.clone(), &[other, matching]), "{pattern}: one value is enough");
            assert!(!matches(pattern.clone(), &[other]), "{pattern}");
            assert!(!matches(pattern, &[]));
        }
        assert!(matches(json!({"absent": true}), &[]) && !matches(json!({"absent": true}), &["a"]));
    }

    #[test]
    fn every_other_operator_is_an_error_with_its_pointer() {
        for (pattern, pointer) in [
            (json!({"equalToJson": "{}"}), "/headers/A/equalToJson"),
            (json!({"equalTo": 1}), "/headers/A/equalTo"),
            (json!({"equalTo": "a", "contains": "b"}), "/headers/A/equalTo"),
            (json!({"contains": "a", "caseInsensitive": true}), "/headers/A/caseInsensitive"),
            (json!({"equalTo": "a", "caseInsensitive": "true"}), "/headers/A/caseInsensitive"),
            (json!({"absent": false}), "/headers/A/absent"),
            (json!({"matches": "("}), "/headers/A/matches"),
            (json!({"matches": "a)(b"}), "/headers/A/matches"),
            (json!({"matches": "(?=a)"}), "/headers/A/matches"),
            (json!({"matches": "(((a{1,99}){1,99}){1,99}){1,99}"}), "/headers/A/matches"),
            (json!({"matches": "a".repeat(5000)}), "/headers/A/matches"),
            (json!({}), "/headers/A"),
            (json!("Google"), "/headers/A"),
        ] {
            assert_eq!(parse(pattern.clone()).unwrap_err().pointer, pointer, "{pattern}");
        }
        assert_eq!(child("/headers", "a/b~c"), "/headers/a~1b~0c");
    }
}
