//! Where in a JSON text a path leads, so that a mistake that is found in the value can be shown in the file.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Line and column, both from 1, of the first byte of the value that `path` leads to. `path` is keys, and indices as `[0]`.
pub(super) fn locate(json: &str, path: &[String]) -> Option<(usize, usize)> {
    let value = Walk(path).deserialize(&mut serde_json::Deserializer::from_str(json)).ok()??;
    // It is borrowed from the text, so the distance of the two is its place.
    let offset = (value.get().as_ptr() as usize).checked_sub(json.as_ptr() as usize)?;
    Some(line_and_column(json.as_bytes().get(..offset)?))
}

/// Where the text goes on that begins with these bytes.
pub(super) fn line_and_column(before: &[u8]) -> (usize, usize) {
    let last_line = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    (before.iter().filter(|byte| **byte == b'\n').count() + 1, last_line.len() + 1)
}

struct Walk<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.0 {
            [] => <&RawValue>::deserialize(deserializer).map(Some),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some((wanted, rest)) = self.0.split_first() else { return Ok(None) };
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            // Of a key that is there twice, the last one counts.
            if key == *wanted {
                found = map.next_value_seed(Walk(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let Some((wanted, rest)) = self.0.split_first() else { return Ok(None) };
        let mut found = None;
        for index in 0.. {
            let item = if format!("[{index}]") == *wanted {
                found = items.next_element_seed(Walk(rest))?.flatten();
                Some(IgnoredAny)
            } else {
                items.next_element::<IgnoredAny>()?
            };
            if item.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_by_line_and_column() {
        let json = "{\n  \"a\": {\"x\": 1},\n  \"b\": [\n    {},\n    {\"c\":\n      5}\n  ],\n \"a\": {\"x\": []}\n}";
        let place = |path: &[&str]| locate(json, &path.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>());
        assert_eq!(place(&[]), Some((1, 1)));
        assert_eq!(place(&["b", "[1]", "c"]), Some((6, 7)));
        assert_eq!(place(&["b", "[0]"]), Some((4, 5)));
        assert_eq!(place(&["a", "x"]), Some((8, 13)), "the last one counts");
        assert_eq!(place(&["b", "[2]"]), None);
        assert_eq!(place(&["none"]), None);
    }
}
