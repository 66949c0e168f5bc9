//! How often a request is expected.

use std::fmt;
use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

/// A number of requests, or a range of numbers: `2`, `1..`, `..=3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    at_least: usize,
    /// `None` without a maximum.
    at_most: Option<usize>,
}

impl Times {
    /// The smallest number.
    pub fn at_least(self) -> usize {
        self.at_least
    }

    /// The largest number; `None` if there is none.
    pub fn at_most(self) -> Option<usize> {
        self.at_most
    }

    /// Whether this number is expected.
    pub fn contains(self, count: usize) -> bool {
        count >= self.at_least && self.at_most.is_none_or(|at_most| count <= at_most)
    }

    /// Whether more requests can't make it right.
    pub(crate) fn is_exceeded(self, count: usize) -> bool {
        self.at_most.is_some_and(|at_most| count > at_most)
    }

    /// Whether the number is expected and there is no need to wait: a maximum alone holds only when the time is up.
    pub(crate) fn is_reached(self, count: usize) -> bool {
        self.contains(count) && (self.at_least > 0 || self.at_most.is_none())
    }
}

impl From<usize> for Times {
    fn from(count: usize) -> Self {
        Self { at_least: count, at_most: Some(count) }
    }
}

impl From<RangeInclusive<usize>> for Times {
    fn from(range: RangeInclusive<usize>) -> Self {
        Self { at_least: *range.start(), at_most: Some(*range.end()) }
    }
}

/// An empty range allows no number but its start, which can't be reached.
impl From<Range<usize>> for Times {
    fn from(range: Range<usize>) -> Self {
        Self { at_least: range.start, at_most: Some(range.end.saturating_sub(1)) }
    }
}

impl From<RangeFrom<usize>> for Times {
    fn from(range: RangeFrom<usize>) -> Self {
        Self { at_least: range.start, at_most: None }
    }
}

impl From<RangeTo<usize>> for Times {
    fn from(range: RangeTo<usize>) -> Self {
        (0..range.end).into()
    }
}

impl From<RangeToInclusive<usize>> for Times {
    fn from(range: RangeToInclusive<usize>) -> Self {
        (0..=range.end).into()
    }
}

impl From<RangeFull> for Times {
    fn from(_: RangeFull) -> Self {
        (0..).into()
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.at_least, self.at_most) {
            (0, None) => f.write_str("any number of requests"),
            (0, Some(0)) => f.write_str("no request"),
            (0, Some(at_most)) => write!(f, "at most {}", requests(at_most)),
            (at_least, None) => write!(f, "at least {}", requests(at_least)),
            (at_least, Some(at_most)) if at_least == at_most => f.write_str(&requests(at_least)),
            (at_least, Some(at_most)) => write!(f, "{at_least} to {at_most} requests"),
        }
    }
}

/// `1 request`, `2 requests`.
pub(super) fn requests(count: usize) -> String {
    format!("{count} {}", if count == 1 { "request" } else { "requests" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_and_ranges() {
        for (times, text, expected) in [
            (Times::from(2), "2 requests", [false, false, true, false]),
            (Times::from(1..), "at least 1 request", [false, true, true, true]),
            (Times::from(1..3), "1 to 2 requests", [false, true, true, false]),
            (Times::from(1..=2), "1 to 2 requests", [false, true, true, false]),
            (Times::from(..2), "at most 1 request", [true, true, false, false]),
            (Times::from(..=2), "at most 2 requests", [true, true, true, false]),
            (Times::from(0), "no request", [true, false, false, false]),
            (Times::from(..), "any number of requests", [true; 4]),
        ] {
            assert_eq!(times.to_string(), text);
            assert_eq!([0, 1, 2, 3].map(|count| times.contains(count)), expected, "{text}");
        }
    }
}
