//! A walk through JSON that somebody wrote: it knows where it is, and goes on after a mistake to find the next one.

use super::finding::{Finding, MetadataError, Severity};
use crate::depth;
use crate::tree::Tree;
use serde_json::{Map, Value};

/// One walk through a config: where it is, and what it has found.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    path: Vec<String>,
    pub(crate) findings: Vec<Finding>,
    is_thorough: bool,
}

impl Walk {
    pub(crate) fn thorough() -> Self {
        Self { is_thorough: true, ..Self::default() }
    }

    /// Whether to look for what can be served, too, but is not as GCE has it.
    pub(crate) fn is_thorough(&self) -> bool {
        self.is_thorough
    }

    pub(crate) fn first_error(self) -> Option<MetadataError> {
        self.findings.into_iter().find_map(Finding::into_error)
    }

    pub(crate) fn error(&mut self, problem: impl Into<String>) {
        self.findings.push(Finding::new(Severity::Error, &self.path, problem));
    }

    pub(crate) fn warn(&mut self, problem: impl Into<String>) {
        self.findings.push(Finding::new(Severity::Warning, &self.path, problem));
    }

    pub(crate) fn note(&mut self, problem: impl Into<String>) {
        self.findings.push(Finding::new(Severity::Notice, &self.path, problem));
    }

    /// The value, unless it nests deeper than the tree may: that is an error at the first place that is too deep.
    pub(crate) fn bounded(&mut self, value: Value) -> Option<Value> {
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

    /// Does something one key or index further down.
    pub(crate) fn below<T>(&mut self, key: impl Into<String>, then: impl FnOnce(&mut Self) -> T) -> T {
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

    pub(crate) fn object(&mut self, value: Value) -> Option<Map<String, Value>> {
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
