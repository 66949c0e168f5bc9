//! Reads members of a document, with the JSON pointer of a wrong one.

use super::FaultError;
use crate::json_pointer::child;
use crate::request_pattern::object;
use serde_json::{Map, Value};
use std::time::Duration;

type Parsed<T> = Result<T, FaultError>;

/// The members of an object that are not read yet.
pub(super) struct Members<'a> {
    object: &'a Map<String, Value>,
    pointer: &'a str,
    read: Vec<&'static str>,
}

impl<'a> Members<'a> {
    pub(super) fn of(value: &'a Value, pointer: &'a str) -> Parsed<Self> {
        Ok(Self { object: object(value, pointer)?, pointer, read: Vec::new() })
    }

    /// The pointer of a member.
    pub(super) fn pointer(&self, name: &str) -> String {
        child(self.pointer, name)
    }

    /// A member, and its pointer. WireMock's clients send `null` for a member that is not set.
    pub(super) fn take(&mut self, name: &'static str) -> Option<(&'a Value, String)> {
        self.read.push(name);
        self.object.get(name).filter(|value| !value.is_null()).map(|value| (value, self.pointer(name)))
    }

    /// A member, parsed.
    pub(super) fn parsed<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&'a Value, &str) -> Parsed<T>,
    ) -> Parsed<Option<T>> {
        self.take(name).map(|(value, pointer)| parse(value, &pointer)).transpose()
    }

    /// An error for the first member that was not read.
    pub(super) fn finish(self, of: &str) -> Parsed<()> {
        match self.object.keys().find(|name| !self.read.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(FaultError::new(self.pointer(name), format!("{of} of this server has no such member"))),
        }
    }
}

pub(super) fn string<'a>(value: &'a Value, pointer: &str) -> Parsed<&'a str> {
    Ok(crate::request_pattern::string(value, pointer)?)
}

pub(super) fn boolean(value: &Value, pointer: &str) -> Parsed<bool> {
    value.as_bool().ok_or_else(|| FaultError::new(pointer, "true or false is expected"))
}

/// A whole number of at least `least`.
pub(super) fn number_from(least: u64) -> impl Fn(&Value, &str) -> Parsed<u64> {
    move |value, pointer| {
        let number = value.as_u64().filter(|number| *number >= least);
        number.ok_or_else(|| FaultError::new(pointer, format!("a whole number from {least} on is expected")))
    }
}

pub(super) fn milliseconds(value: &Value, pointer: &str) -> Parsed<Duration> {
    let number = value.as_u64().ok_or_else(|| FaultError::new(pointer, "a whole number of milliseconds is expected"));
    number.map(Duration::from_millis)
}

/// A number from 0 to 1.
pub(super) fn fraction(value: &Value, pointer: &str) -> Parsed<f64> {
    let number = value.as_f64().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| FaultError::new(pointer, "a number from 0 to 1 is expected"))
}

/// A number that is not negative.
pub(super) fn amount(value: &Value, pointer: &str) -> Parsed<f64> {
    let number = value.as_f64().filter(|number| *number >= 0.0);
    number.ok_or_else(|| FaultError::new(pointer, "a number from 0 on is expected"))
}
