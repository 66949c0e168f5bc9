//! A walk through JSON that a person wrote: it keeps the path to the current value, and continues after an error, so that one
//! pass finds all of them.

use super::finding::{Finding, MetadataError, Severity};
use crate::depth;
use crate::tree::Tree;
use serde_json::{Map, Value};

/// One pass over a config: the path to the current value, and the findings so far.
///
/// Each section of a config is read with the walk of the whole document, so that findings have their path from the top.
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
    /// A walk that also looks for values that can be served but differ from GCE's. The default one finds errors only.
    pub fn thorough() -> Self {
        Self { is_thorough: true, ..Self::default() }
    }

    /// Whether the walk is a [thorough](Self::thorough) one.
    pub fn is_thorough(&self) -> bool {
        self.is_thorough
    }

    /// The findings, in the order in which they were found.
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

    /// Records a notice at the current path.
    pub fn note(&mut self, problem: impl Into<String>) {
        self.findings.push(Finding::new(Severity::Notice, &self.path, problem));
    }

    /// The value, or an error if it nests more than [`Tree::MAX_DEPTH`] levels deep. The other methods and the readers of sections
    /// may recurse, so this one comes first.
    pub fn bounded(&mut self, value: Value) -> Option<Value> {
        let Some(mut below) = depth::beyond(&value, Tree::MAX_DEPTH) else { return Some(value) };
        let depth = self.path.len();
        self.path.append(&mut below);
        self.error(format!("nested more than {} levels deep: flatten it", Tree::MAX_DEPTH));
        self.path.truncate(depth);
        depth::dismantle(value);
        None
    }

    /// A value that should be something else. Its kind is told, never itself: it may be a secret.
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

    /// What a key of this object that can't be missing is read as.
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

    /// What the items of this list are read as, but for those that can't be. Nothing is an empty list.
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

    /// Goes through the keys of this object. Nothing is an empty object.
    pub(crate) fn each_key(&mut self, object: Value, mut read: impl FnMut(&mut Self, &str, Value)) {
        if object.is_null() {
            return;
        }
        for (key, value) in self.object(object).unwrap_or_default() {
            self.below(key.as_str(), |walk| read(walk, &key, value));
        }
    }

    /// The value as an object; an error if it is something else.
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

    /// An integer, which may stand in quotes.
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

/// What a value is, for texts that must not say the value itself.
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
