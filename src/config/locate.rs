//! Finds line and column of a path in a JSON text, for errors about a value.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::{fmt, iter};

/// Line and column, counted from 1, of the first byte of the value at `path`, which has keys, and indices as `[0]`.
pub(super) fn locate(json: &str, path: &[String]) -> Option<(usize, usize)> {
    locate_all(json, &[path]).pop().flatten()
}

/// [`locate`] for many paths in one pass: the text is parsed once for each level of the JSON.
pub(super) fn locate_all(json: &str, paths: &[&[String]]) -> Vec<Option<(usize, usize)>> {
    let mut wanted = PathTree::default();
    for (number, path) in paths.iter().enumerate() {
        let node = path.iter().fold(&mut wanted, |node, key| node.children.entry(key).or_default());
        node.numbers.push(number);
    }
    let mut found = vec![None; paths.len()];
    // A syntax error is reported by the parser of the config.
    let _ =
        Search { json, wanted: &wanted, found: &mut found }.deserialize(&mut serde_json::Deserializer::from_str(json));
    let line_starts: Vec<_> = iter::once(0).chain(json.match_indices('\n').map(|(end, _)| end + 1)).collect();
    let line_and_column = |offset| {
        let line = line_starts.partition_point(|start| *start <= offset);
        (line, offset - line_starts[line - 1] + 1)
    };
    found.into_iter().map(|offset| offset.map(line_and_column)).collect()
}

/// Line and column, counted from 1, of the byte after `before`.
pub(super) fn line_and_column(before: &[u8]) -> (usize, usize) {
    let in_line = before.iter().rev().take_while(|byte| **byte != b'\n').count();
    (before.iter().filter(|byte| **byte == b'\n').count() + 1, in_line + 1)
}

/// The searched paths as a tree: the indices of the paths that end at this node, and the child nodes.
#[derive(Default)]
struct PathTree<'p> {
    numbers: Vec<usize>,
    children: HashMap<&'p str, PathTree<'p>>,
}

/// A visitor that records the offset of each searched value.
struct Search<'a> {
    json: &'a str,
    wanted: &'a PathTree<'a>,
    /// Offset of the value at each path. Of duplicate keys, the last one is used.
    found: &'a mut [Option<usize>],
}

impl Search<'_> {
    fn below(&mut self, key: &str) -> Option<Search<'_>> {
        let wanted = self.wanted.children.get(key)?;
        Some(Search { json: self.json, wanted, found: self.found })
    }
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let value = <&RawValue>::deserialize(deserializer)?.get();
        // The value is a slice of the text, so the difference of the pointers is its offset.
        let offset = (value.as_ptr() as usize).checked_sub(self.json.as_ptr() as usize);
        self.wanted.numbers.iter().for_each(|number| self.found[*number] = offset);
        if !self.wanted.children.is_empty() {
            // Fails if the value is neither an object nor a list, which has no children to search.
            let _ = serde_json::Deserializer::from_str(value).deserialize_any(self);
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match self.below(&key) {
                Some(below) => map.next_value_seed(below)?,
                None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        for index in 0.. {
            let item = match self.below(&format!("[{index}]")) {
                Some(below) => items.next_element_seed(below)?,
                None => items.next_element::<IgnoredAny>()?.map(|_| ()),
            };
            if item.is_none() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_by_line_and_column() {
        let json = "{\n  \"a\": {\"x\": 1},\n  \"b\": [\n    {},\n    {\"c\":\n      5}\n  ],\n \"a\": {\"x\": []}\n}";
        let at = |path: &str| path.split_terminator('.').map(str::to_owned).collect::<Vec<_>>();
        let wanted = [
            ("", Some((1, 1))),
            ("b.[1].c", Some((6, 7))),
            ("b", Some((3, 8))),
            ("b.[0]", Some((4, 5))),
            ("b.[1].c.deeper", None),
            ("a.x", Some((8, 13))),
            ("a.x.[0]", None),
            ("b.[0]", Some((4, 5))),
            ("b.[2]", None),
            ("none", None),
        ];
        let paths: Vec<_> = wanted.iter().map(|(path, _)| at(path)).collect();
        let paths: Vec<_> = paths.iter().map(Vec::as_slice).collect();
        assert_eq!(locate_all(json, &paths), wanted.map(|(_, place)| place));
        assert_eq!(locate(json, &at("b.[0]")), Some((4, 5)));
        assert_eq!(locate_all("{\"a\": ", &[&at("a")]), [None]);
    }
}
