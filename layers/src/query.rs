//! The query parameters that mean the same on every path of the metadata server.
//!
//! One parser serves all layers, because clients deviate in many ways: they capitalise booleans, append a slash to a value, and
//! send parameters that the path does not have. Parsing never fails: a value that can't be parsed counts as absent.

use std::borrow::Cow;
use std::time::Duration;

/// The form that `alt=` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `alt=text`: the bare value, one line per item of a list, or one line per value below a directory.
    Text,
    /// `alt=json`: compact JSON.
    Json,
}

/// The query parameters that apply to every node.
///
/// ```
/// use gce_metadata_layers::{Format, Query};
///
/// let query = Query::parse(Some("recursive=True&alt=text&unknown=1"));
/// assert!(query.recursive);
/// assert_eq!(query.alt, Some(Format::Text));
/// assert!(!query.wait_for_change);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Query {
    /// `recursive=true`: answer all values below the directory instead of its listing.
    pub recursive: bool,
    /// `alt=json` or `alt=text`. Any other value counts as absent.
    pub alt: Option<Format>,
    /// `wait_for_change=true`: answer when the value has changed.
    pub wait_for_change: bool,
    /// `last_etag=…`: the entity tag of the value that the client has.
    pub last_etag: Option<String>,
    /// `timeout_sec=…` in whole seconds: the longest time to wait. A value that isn't a number counts as absent.
    pub timeout: Option<Duration>,
}

impl Query {
    /// Parses the query string of a request, without its `?`.
    ///
    /// The first of several parameters of the same name counts.
    pub fn parse(query: Option<&str>) -> Self {
        let mut parsed = Self::default();
        let Some(query) = query else { return parsed };
        let (mut recursive, mut alt, mut wait, mut timeout) = (None, None, None, None);
        for parameter in parameters(query) {
            let value = || parameter.value();
            match &*parameter.name() {
                "recursive" => _ = recursive.get_or_insert_with(|| parse_bool(&value()).unwrap_or(false)),
                "alt" => _ = alt.get_or_insert_with(|| format(&value())),
                "wait_for_change" => _ = wait.get_or_insert_with(|| parse_bool(&value()).unwrap_or(false)),
                "timeout_sec" => _ = timeout.get_or_insert_with(|| value().parse().ok().map(Duration::from_secs)),
                "last_etag" => _ = parsed.last_etag.get_or_insert_with(|| value().into_owned()),
                _ => {}
            }
        }
        parsed.recursive = recursive.unwrap_or(false);
        parsed.alt = alt.flatten();
        parsed.wait_for_change = wait.unwrap_or(false);
        parsed.timeout = timeout.flatten();
        parsed
    }
}

/// The parameters of a query string. A name or a value is decoded when it is read, because several layers parse a query and each needs few
/// of its parameters.
///
/// ```
/// use gce_metadata_layers::parameters;
///
/// let query = "audience=https%3A%2F%2Fservice.example.com&format=full";
/// let audience = parameters(query).find(|parameter| parameter.name() == "audience").unwrap();
/// assert_eq!(audience.value(), "https://service.example.com");
/// ```
pub fn parameters(query: &str) -> impl Iterator<Item = Parameter<'_>> {
    query.split('&').filter(|pair| !pair.is_empty()).map(Parameter)
}

/// A parameter of a query string: `NAME=VALUE` or `NAME`, encoded.
#[derive(Debug, Clone, Copy)]
pub struct Parameter<'a>(&'a str);

impl<'a> Parameter<'a> {
    /// The decoded name.
    pub fn name(&self) -> Cow<'a, str> {
        let name = self.0.split_once('=').map_or(self.0, |(name, _)| name);
        if is_encoded(name) { self.decoded().0 } else { Cow::Borrowed(name) }
    }

    /// The decoded value; empty for a parameter without `=`.
    pub fn value(&self) -> Cow<'a, str> {
        let value = self.0.split_once('=').map_or("", |(_, value)| value);
        if is_encoded(value) { self.decoded().1 } else { Cow::Borrowed(value) }
    }

    fn decoded(&self) -> (Cow<'a, str>, Cow<'a, str>) {
        form_urlencoded::parse(self.0.as_bytes()).next().unwrap_or_default()
    }
}

fn is_encoded(text: &str) -> bool {
    text.bytes().any(|byte| matches!(byte, b'%' | b'+'))
}

/// Parses a boolean parameter as the metadata server does: `true`, `t`, `yes`, `y` and `1`, or `false`, `f`, `no`, `n` and `0`, in
/// any case, also with the slash that some clients append to the last value of a URL. `None` for any other value.
///
/// ```
/// use gce_metadata_layers::parse_bool;
///
/// assert_eq!(parse_bool("TRUE/"), Some(true));
/// assert_eq!(parse_bool("No"), Some(false));
/// assert_eq!(parse_bool("perhaps"), None);
/// ```
pub fn parse_bool(value: &str) -> Option<bool> {
    let value = value.trim_end_matches('/');
    let is_one_of = |words: &[&str]| words.iter().any(|word| value.eq_ignore_ascii_case(word));
    if is_one_of(&["true", "t", "yes", "y", "1"]) {
        Some(true)
    } else if is_one_of(&["false", "f", "no", "n", "0"]) {
        Some(false)
    } else {
        None
    }
}

fn format(value: &str) -> Option<Format> {
    let value = value.trim_end_matches('/');
    if value.eq_ignore_ascii_case("json") {
        Some(Format::Json)
    } else if value.eq_ignore_ascii_case("text") {
        Some(Format::Text)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_absent_or_empty_query_has_the_defaults() {
        assert_eq!(Query::parse(None), Query::default());
        assert_eq!(Query::parse(Some("")), Query::default());
    }

    #[test]
    fn all_parameters_are_parsed() {
        let query =
            Query::parse(Some("wait_for_change=true&last_etag=411261ca6c9e654e&timeout_sec=60&alt=json&recursive=1"));
        assert_eq!(
            query,
            Query {
                recursive: true,
                alt: Some(Format::Json),
                wait_for_change: true,
                last_etag: Some("411261ca6c9e654e".into()),
                timeout: Some(Duration::from_secs(60)),
            }
        );
    }

    #[test]
    fn deviating_values_are_parsed_or_count_as_absent() {
        assert!(Query::parse(Some("recursive=true/")).recursive, "ohai appends a slash to the value");
        assert!(Query::parse(Some("recursive=True")).recursive, "Python prints booleans capitalised");
        assert!(!Query::parse(Some("recursive=xyz")).recursive);
        assert!(!Query::parse(Some("recursive")).recursive);
        assert_eq!(Query::parse(Some("timeout_sec=-1")).timeout, None);
        assert_eq!(Query::parse(Some("timeout_sec=1.5")).timeout, None);
        assert_eq!(Query::parse(Some("timeout_sec=0")).timeout, Some(Duration::ZERO));
        assert_eq!(Query::parse(Some("alt=yaml")).alt, None);
        assert_eq!(Query::parse(Some("%61lt=%6Ason")).alt, Some(Format::Json), "queries are percent-decoded");
        assert!(!Query::parse(Some("recursive=no&recursive=yes")).recursive, "the first one counts");
    }

    proptest! {
        #[test]
        fn parameters_are_those_of_form_urlencoded(query in "[a&=%+2F;é]*") {
            let parsed: Vec<_> = parameters(&query).map(|parameter| (parameter.name(), parameter.value())).collect();
            prop_assert_eq!(parsed, form_urlencoded::parse(query.as_bytes()).collect::<Vec<_>>());
        }

        #[test]
        fn no_query_panics(query in ".*") {
            let _ = Query::parse(Some(&query));
        }
    }
}
