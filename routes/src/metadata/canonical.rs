//! Normalizes JSON to GCE's form: keys in GCE's camelCase, objects and lists where the schema has them.

use super::check;
use super::suggest::nearest_key;
use super::walk::Walk;
use crate::depth;
use crate::schema::{self, Rule, RulesBelow};
use crate::tree::Tree;
use serde_json::{Map, Value};
use std::mem;

impl Walk {
    /// Normalizes the case of GCE's keys, and records an error for each value of the wrong type. `segments` is the path of the value in
    /// the tree.
    pub(crate) fn canonicalize(&mut self, value: &mut Value, segments: &[&str]) {
        self.canonicalize_with(value, segments, &RulesBelow::at(segments));
    }

    fn canonicalize_with(&mut self, value: &mut Value, segments: &[&str], rules: &RulesBelow) {
        let is = |rule| rules.has(rule);
        // The Go emulator writes null for an object or a list that it does not have.
        if value.is_null() && is(Rule::Object) {
            *value = Value::Object(Map::new());
        } else if value.is_null() && is(Rule::ListDirectory) {
            *value = Value::Array(Vec::new());
        }
        if is(Rule::JsonByDefault)
            && let Some(Ok(object @ Value::Object(_))) = value.as_str().map(serde_json::from_str)
            && depth::beyond(&object, Tree::MAX_DEPTH - segments.len()).is_none()
        {
            *value = object;
        }
        if is(Rule::Object) && !value.is_object() {
            return self.expected("an object", value);
        }
        if is(Rule::ListDirectory) && !value.is_array() {
            return self.expected("a list", value);
        }
        if is(Rule::Text) && !value.is_string() {
            return self.expected("a string", value);
        }
        if self.is_thorough() {
            check::node(self, value, segments);
        }
        match value {
            // The keys of a document are not GCE's.
            _ if is(Rule::Document) || is(Rule::JsonByDefault) => {}
            Value::Object(object) => self.canonicalize_object(object, segments, rules),
            Value::Array(items) => {
                // Rules apply to all items of a list, so one index represents all of them.
                let (segments, rules) = ([segments, &["0"]].concat(), rules.child("0"));
                for (index, item) in items.iter_mut().enumerate() {
                    self.below(format!("[{index}]"), |walk| walk.canonicalize_with(item, &segments, &rules));
                }
            }
            _ => {}
        }
    }

    fn canonicalize_object(&mut self, object: &mut Map<String, Value>, segments: &[&str], rules: &RulesBelow) {
        let is_users = rules.has(Rule::UserKeys);
        let is_leaf = rules.has(Rule::ObjectLeaf);
        let is_gces = !is_users && schema::is_known(segments);
        let segment_of = |key: &str| match () {
            () if is_users => key.to_owned(),
            () if is_leaf => schema::snake_case(key),
            () => schema::kebab_case(key),
        };
        if !is_gces {
            // The keys stay as they are.
            for (key, value) in object {
                self.canonicalize_child((key, &segment_of(key)), value, (segments, rules), |_| {});
            }
            return;
        }
        let as_written = mem::take(object);
        let written_keys: Vec<String> = as_written.keys().cloned().collect();
        for (written, mut value) in as_written {
            // A key in another case is kept if the object also has GCE's spelling.
            let is_taken = |key: &str| written_keys.iter().any(|other| other == key) || object.contains_key(key);
            let known = schema::canonical_key(&written);
            let key = match known {
                Some(known) if !is_taken(known) => known.to_owned(),
                _ => written.clone(),
            };
            let segment = segment_of(&key);
            self.canonicalize_child((&written, &segment), &mut value, (segments, rules), |walk| {
                walk.spelling(&written, &key, known.is_some() || is_leaf, segments);
            });
            object.insert(key, value);
        }
    }

    /// Normalizes a member of the object with these segments and rules, given its key as written and its path segment. A thorough walk
    /// also calls `check_spelling`.
    fn canonicalize_child(
        &mut self,
        (written, segment): (&str, &str),
        value: &mut Value,
        (segments, rules): (&[&str], &RulesBelow),
        check_spelling: impl FnOnce(&mut Self),
    ) {
        let (segments, rules) = ([segments, &[segment]].concat(), rules.child(segment));
        self.below(written, |walk| {
            if walk.is_thorough() && rules.has(Rule::Computed) {
                walk.note("computed for each request, as on GCE: this value is ignored");
            } else if walk.is_thorough() {
                check_spelling(walk);
            }
            walk.canonicalize_with(value, &segments, &rules);
        });
    }

    /// Records a notice about a key that GCE is not known to have in this directory, or spells differently.
    fn spelling(&mut self, written: &str, key: &str, is_known: bool, directory: &[&str]) {
        let is_index = written.bytes().all(|byte| byte.is_ascii_digit());
        if !is_known && !is_index {
            let suggestion = nearest_key(directory, written).map(|key| format!(": did you mean `{key}`?"));
            let suggestion = suggestion.unwrap_or_default();
            self.note(format!("GCE is not known to have this key; it is served unchanged{suggestion}"));
        } else if written != key {
            self.note(format!("read as `{key}`, which is how GCE spells it"));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Metadata, Severity};
    use serde_json::{Value, json};

    #[test]
    fn the_case_of_gces_keys_is_normalized_and_others_are_kept() {
        let metadata = Metadata::from_json(json!({"instance": {
            "shutdownDetails": {"TargetState": "UNKNOWN"}, "attributes": {"Name": "kept"}, "NAME": "vm", "odd": {"NAME": 1},
        }}));
        let tree = metadata.unwrap().tree();
        let json: Value = serde_json::from_slice(&tree.get("").unwrap().json()).unwrap();
        assert_eq!(
            json["instance"],
            json!({"attributes": {"Name": "kept"}, "name": "vm", "odd": {"NAME": 1}, "shutdownDetails": {"targetState": "UNKNOWN"}})
        );
    }

    #[test]
    fn an_ignored_token_is_a_notice() {
        let findings = Metadata::check(json!({"instance": {"name": "vm-1", "serviceAccounts": {
            "default": {"email": "a@example.com", "token": {"access_token": "hidden"}, "Identity": ""},
        }}}));
        let path = "instance.serviceAccounts.default";
        let notice = "computed for each request, as on GCE: this value is ignored";
        let notices: Vec<_> = findings.iter().map(|finding| (finding.severity(), finding.to_string())).collect();
        assert_eq!(notices, ["Identity", "token"].map(|key| (Severity::Notice, format!("{path}.{key}: {notice}"))));
    }

    #[test]
    fn two_spellings_of_one_key_are_both_kept() {
        let tree = Metadata::unfilled(json!({"instance": {"id": 1, "ID": 2}})).tree();
        let json: Value = serde_json::from_slice(&tree.get("instance").unwrap().json()).unwrap();
        assert_eq!(json.as_object().unwrap().len(), 2);
    }

    #[test]
    fn null_becomes_an_empty_object_or_list_where_the_schema_has_one() {
        let tree = Metadata::unfilled(json!({"instance": {"attributes": null, "disks": null}})).tree();
        assert_eq!(tree.get("instance").unwrap().json(), r#"{"attributes":{},"disks":[]}"#);
    }
}
