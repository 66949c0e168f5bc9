//! Finds duplicate keys of JSON objects: JSON allows them, and parsers silently use the last one.

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::HashSet;
use std::fmt;

/// The paths of duplicate keys: keys, and indices as `[0]`. Empty if the text is not JSON.
pub(super) fn duplicate_keys(json: &str) -> Vec<Vec<String>> {
    let (mut path, mut found) = (Vec::new(), Vec::new());
    // A syntax error is reported by the parser of the config.
    let _ = Search { path: &mut path, found: &mut found }.deserialize(&mut serde_json::Deserializer::from_str(json));
    found
}

/// A visitor that records each key that occurs again in the same object.
struct Search<'a> {
    path: &'a mut Vec<String>,
    found: &'a mut Vec<Vec<String>>,
}

impl Search<'_> {
    fn below(&mut self) -> Search<'_> {
        Search { path: self.path, found: self.found }
    }
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            self.path.push(key.clone());
            if !seen.insert(key) {
                self.found.push(self.path.clone());
            }
            map.next_value_seed(self.below())?;
            self.path.pop();
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        for index in 0.. {
            self.path.push(format!("[{index}]"));
            let item = items.next_element_seed(self.below())?;
            self.path.pop();
            if item.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_keys_are_found_by_path() {
        let json = r#"{"a": 1, "b": [{"c": 1, "d": null, "c": "x"}, -1, 0.5, true], "a": {}}"#;
        let found: Vec<_> = duplicate_keys(json).iter().map(|path| path.join(".")).collect();
        assert_eq!(found, ["b.[0].c", "a"]);
        assert!(duplicate_keys(r#"{"a": {"a": 1}, "b": {"a": 1}}"#).is_empty());
    }
}
