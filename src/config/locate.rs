//! Where in a JSON text a path leads, so that a mistake that is found in the value can be shown in the file.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Line and column of the value that `path` leads to, or of what stands just before it. `path` is keys, and indices as `[0]`.
pub(super) fn locate(json: &str, path: &[String]) -> Option<(usize, usize)> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    // The walk ends in an error on purpose: serde_json adds to it where it was.
    let error = Walk(path).deserialize(&mut deserializer).err()?;
    Some((error.line(), error.column()))
}

struct Walk<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.0.is_empty() {
            // What is wrong is never null, so this fails, and serde_json says where.
            deserializer.deserialize_unit(IgnoredAny)?;
            return Err(D::Error::custom("null"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((wanted, rest)) = self.0.split_first() else { return Ok(()) };
        while let Some(key) = map.next_key::<String>()? {
            if key == *wanted {
                return map.next_value_seed(Walk(rest));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((wanted, rest)) = self.0.split_first() else { return Ok(()) };
        let mut index = 0;
        loop {
            if format!("[{index}]") == *wanted {
                return items.next_element_seed(Walk(rest)).map(|_| ());
            }
            if items.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_by_line_and_column() {
        let json = "{\n  \"a\": {\"x\": 1},\n  \"b\": [\n    {},\n    {\"c\":\n      5}\n  ]\n}";
        let place = |path: &[&str]| locate(json, &path.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>());
        assert_eq!(place(&["a", "x"]).map(|(line, _)| line), Some(2));
        assert_eq!(place(&["b", "[1]", "c"]), Some((6, 7)));
    }
}
