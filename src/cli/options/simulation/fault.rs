//! The value of `--fault`: a path and instruction words.

use gce_metadata_server::Simulation;
use serde_json::json;
use std::str::FromStr;

/// The limit on the number of words after repetition.
const MAX_WORDS: usize = 10_000;

/// A fault of the command line.
#[derive(Debug, Clone)]
pub(super) struct FaultOption(pub(super) Simulation);

impl FromStr for FaultOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, list) = text
            .rsplit_once('=')
            .filter(|(path, _)| !path.is_empty())
            .ok_or("a path and words are expected, such as instance/id=return-503*2")?;
        let fault = json!({"request": {"path": path}, "instructions": words(list)?});
        let simulation = Simulation::from_json(&json!({"version": 1, "faults": [fault]}));
        let simulation = simulation.map_err(|error| error.to_string().replace("/faults/0/", ""))?;
        Ok(Self(simulation.named(format!("--fault '{text}'"))))
    }
}

/// Instruction words: `return-503*2,stall-for-2s` is `return-503` twice and `stall-for-2s`.
pub(in crate::cli) fn words(list: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    for item in list.split(',') {
        let (word, count) = match item.rsplit_once('*') {
            Some((word, count)) => (word, count.parse().ok().filter(|count| *count > 0)),
            None => (item, Some(1)),
        };
        let room = MAX_WORDS - words.len();
        let count = count.filter(|count| *count <= room);
        let count = count.ok_or_else(|| format!("{item}: a number from 1 to {room} is expected after *"))?;
        words.extend(std::iter::repeat_n(word.to_owned(), count));
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_joined_by_commas_and_repeated_by_numbers() {
        let expected = ["return-503", "return-503", "stall-for-2s", "return-429"];
        assert_eq!(words("return-503*2,stall-for-2s,return-429*1").unwrap(), expected);
        for list in ["return-503*", "return-503*0", "return-503*x", "return-503*10001", "a*9999,b*2"] {
            assert!(words(list).unwrap_err().contains("a number from 1"), "{list}");
        }
    }

    #[test]
    fn a_wrong_fault_is_an_error_that_names_the_words() {
        for path in ["instance/id", "instance/service-accounts/*/token", "/other?a=b"] {
            FaultOption::from_str(&format!("{path}=return-503*2")).unwrap();
        }
        for text in ["instance/id", "=return-503"] {
            assert!(FaultOption::from_str(text).unwrap_err().contains("a path and words"), "{text}");
        }
        let error = FaultOption::from_str("instance/id=return-503,return").unwrap_err();
        assert!(error.starts_with("instructions/1: expected return-STATUS"), "{error}");
    }
}
