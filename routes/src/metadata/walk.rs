//! A walk through the JSON of a config. It tracks the path of the current value, and continues after an error, so that one pass finds
//! all errors.

use super::finding::{Finding, MetadataError, Severity};
use crate::depth;
use crate::tree::Tree;
use serde_json::{Map, Value};

/// One pass over a config: the path to the current value, and the findings so far.
///
/// All sections of a config are read with one walk, so that findings have the path from the root of the document.
///
/// ```
/// use gce_metadata_routes::Walk;
/// use serde_json::json;
///
/// let mut walk = Walk::default();
/// walk.below("mySection", |walk| walk.object(json!(5)));
/// assert_eq!(walk.first_error().unwrap().to_string(), "mySection: an object is expected, not a number");
/// ```
#[derive(Debug, Default)]
pub struct Walk {
    path: Vec<String>,
    findings: Vec<Finding>,
    is_thorough: bool,
}

impl Walk {
    /// A walk that also records warnings and notices. The default walk records errors only.
    pub fn thorough() -> Self {
        Self { is_thorough: true, ..Self::default() }
    }

    /// Whether the walk is a [thorough](Self::thorough) one.
    pub fn is_thorough(&self) -> bool {
        self.is_thorough
    }

    /// All findings, in the order of the walk.
    pub fn into_findings(self) -> Vec<Finding> {
        self.findings
    }

    /// The first finding that is an error.
    pub fn first_error(self) -> Option<MetadataError> {
        self.findings.into_iter().find_map(Finding::into_error)
    }

    /// Records an error at the current path: the document can't be served.
    pub fn error(&mut self, problem: impl Into<String>) {
        self.findings.push(Finding::new(Severity::Error, &self.path, problem));
    }

    /// Records a warning at the current path: the value is served, but GCE would not serve it.
    pub fn warn(&mut self, problem: impl Into<String>) {
        self.findings.push(Finding::new(Severity::Warning, &self.path, problem));
    }

    /// The key or index of the current value; empty for the whole document.
    pub fn key(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    /// Records a notice at the current path.
    pub fn note(&mut self, problem: impl Into<String>) {
        self.findings.push(Finding::new(Severity::Notice, &self.path, problem));
    }

    /// Returns the value, or records an error and returns `None` if it nests more than [`Tree::MAX_DEPTH`] levels deep. Call this method
    /// first: the others may recurse.
    pub fn bounded(&mut self, value: Value) -> Option<Value> {
        let Some(mut below) = depth::beyond(&value, Tree::MAX_DEPTH) else { return Some(value) };
        let depth = self.path.len();
        self.path.append(&mut below);
        self.error(format!("nested more than {} levels deep: flatten it", Tree::MAX_DEPTH));
        self.path.truncate(depth);
        depth::dismantle(value);
        None
    }

    /// Records an error for a value of the wrong type. The error has the type but not the value, which may be a secret.
    pub(crate) fn expected(&mut self, what: &str, instead: &Value) {
        self.error(format!("{what} is expected, not {}", kind(instead)));
    }

    /// Calls a function with the current path extended by a key, or by an index as `[0]`.
    pub fn below<T>(&mut self, key: impl Into<String>, then: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(key.into());
        let done = then(self);
        self.path.pop();
        done
    }

    /// Reads the value of a required key; records an error if it is missing.
    pub(crate) fn required<T>(
        &mut self,
        object: &mut Map<String, Value>,
        key: &str,
        read: impl FnOnce(&mut Self, Value) -> Option<T>,
    ) -> Option<T> {
        match object.remove(key) {
            Some(value) => self.below(key, |walk| read(walk, value)),
            None => {
                self.error(format!("`{key}` is missing"));
                None
            }
        }
    }

    /// Reads each item of a list, and omits those for which `read` returns `None`. Null counts as an empty list.
    pub(crate) fn each<T>(&mut self, list: Value, mut read: impl FnMut(&mut Self, Value) -> Option<T>) -> Vec<T> {
        let items = match list {
            Value::Null => Vec::new(),
            Value::Array(items) => items,
            other => {
                self.expected("a list", &other);
                Vec::new()
            }
        };
        let items = items.into_iter().enumerate();
        items.filter_map(|(index, item)| self.below(format!("[{index}]"), |walk| read(walk, item))).collect()
    }

    /// Calls `read` for each key of an object. Null counts as an empty object.
    pub(crate) fn each_key(&mut self, object: Value, mut read: impl FnMut(&mut Self, &str, Value)) {
        if object.is_null() {
            return;
        }
        for (key, value) in self.object(object).unwrap_or_default() {
            self.below(key.as_str(), |walk| read(walk, &key, value));
        }
    }

    /// Returns the value as an object; records an error if it is not one.
    pub fn object(&mut self, value: Value) -> Option<Map<String, Value>> {
        match value {
            Value::Object(object) => Some(object),
            other => {
                self.expected("an object", &other);
                None
            }
        }
    }

    pub(crate) fn text(&mut self, value: Value) -> Option<String> {
        match value {
            Value::String(text) => Some(text),
            other => {
                self.expected("a string", &other);
                None
            }
        }
    }

    pub(crate) fn boolean(&mut self, value: Value) -> Option<bool> {
        if !value.is_boolean() {
            self.expected("true or false", &value);
        }
        value.as_bool()
    }

    /// Reads an integer, which may be in quotes.
    pub(crate) fn number(&mut self, value: Value) -> Option<u64> {
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
        if number.is_none() {
            self.expected("an integer from 0 on", &value);
        }
        number
    }

    pub(crate) fn one_of(&mut self, value: Value, words: &[&str]) -> Option<String> {
        let word = value.as_str().filter(|word| words.contains(word)).map(str::to_owned);
        if word.is_none() {
            self.error(format!("{} is expected", words.join(" or ")));
        }
        word
    }
}

/// The type of a value, for messages that must not contain the value.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
