//! Request patterns: the conditions on requests of the journal and of faults. They are a subset of WireMock's, with the member `path`.
//! Any other member is an error.

mod distance;
mod matching;
mod string_pattern;
mod view;

pub(crate) use distance::distance;
pub use matching::Matching;
pub(crate) use string_pattern::{StringPattern, object, string};
pub(crate) use view::RequestView;

use crate::json_pointer::child;
use regex::Regex;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fmt;
use string_pattern::{regex_of, whole_regex};

/// A condition on requests. All its parts must hold.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    /// `None`: any method.
    pub(super) method: Option<String>,
    pub(super) url: UrlPattern,
    pub(super) parameters: Vec<(String, StringPattern)>,
    pub(super) headers: Vec<(String, StringPattern)>,
    pub(super) client_ip: Option<StringPattern>,
    /// The pattern in JSON.
    pub(super) json: Value,
}

/// The condition on the target.
#[derive(Debug, Clone)]
pub(super) enum UrlPattern {
    Any,
    /// Path and query.
    Url(String),
    UrlPath(String),
    UrlRegex(Regex),
    UrlPathRegex(Regex),
    /// The path below `/computeMetadata/v1/`, without slashes at its ends.
    Key(String),
    KeyRegex(Regex),
}

/// Why a pattern can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {detail}")]
pub struct PatternError {
    /// JSON pointer of the member that is wrong.
    pub(crate) pointer: String,
    pub(crate) detail: String,
}

impl PatternError {
    pub(crate) fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

impl Pattern {
    /// A pattern that matches each request.
    pub(crate) fn any() -> Self {
        Self {
            method: None,
            url: UrlPattern::Any,
            parameters: Vec::new(),
            headers: Vec::new(),
            client_ip: None,
            json: json!({}),
        }
    }

    /// Parses a pattern; `pointer` is its place in the body.
    pub(crate) fn parse(value: &Value, pointer: &str) -> Result<Self, PatternError> {
        let mut pattern = Self { json: value.clone(), ..Self::any() };
        for (name, value) in object(value, pointer)? {
            let pointer = child(pointer, name);
            let url = match name.as_str() {
                "method" => {
                    let method = string(value, &pointer)?;
                    pattern.method = Some(method.to_ascii_uppercase()).filter(|method| method != "ANY");
                    continue;
                }
                "queryParameters" => {
                    pattern.parameters = strings(value, &pointer)?;
                    continue;
                }
                "headers" => {
                    pattern.headers = strings(value, &pointer)?;
                    continue;
                }
                "clientIp" => {
                    pattern.client_ip = Some(StringPattern::parse(value, &pointer)?);
                    continue;
                }
                "path" => {
                    let path = string(value, &pointer)?;
                    UrlPattern::path(path).map_err(|detail| PatternError::new(&pointer, detail))?
                }
                "url" => UrlPattern::Url(string(value, &pointer)?.to_owned()),
                "urlPath" => UrlPattern::UrlPath(string(value, &pointer)?.to_owned()),
                "urlPattern" => UrlPattern::UrlRegex(whole_regex(value, &pointer)?),
                "urlPathPattern" => UrlPattern::UrlPathRegex(whole_regex(value, &pointer)?),
                _ => return Err(PatternError::new(pointer, "request patterns of this server have no such member")),
            };
            if !matches!(std::mem::replace(&mut pattern.url, url), UrlPattern::Any) {
                let detail =
                    "one of path, url, urlPath, urlPattern and urlPathPattern is expected, and this is the second";
                return Err(PatternError::new(pointer, detail));
            }
        }
        Ok(pattern)
    }

    /// Whether a request matches.
    pub(crate) fn matches(&self, request: &dyn RequestView) -> bool {
        self.method.as_deref().is_none_or(|method| method == request.method())
            && self.url.matches(request)
            && self.parameters_with(request).all(|(pattern, values)| pattern.matches(values.into_iter()))
            && self.headers_with(request).all(|(pattern, values)| pattern.matches(values.into_iter()))
            && self.client_ip.as_ref().is_none_or(|ip| ip.matches(request.client_ip().map(Cow::Owned).into_iter()))
    }

    /// How far a request is from a match: the mean over the parts of the pattern, from 0 (a match) to 1.
    pub(crate) fn distance(&self, request: &dyn RequestView) -> f64 {
        let method = self.method.as_deref().map(|method| f64::from(u8::from(method != request.method())));
        let ip = self.client_ip.as_ref().map(|ip| ip.distance(request.client_ip().map(Cow::Owned).into_iter()));
        let parameters = self.parameters_with(request).map(|(pattern, values)| pattern.distance(values.into_iter()));
        let headers = self.headers_with(request).map(|(pattern, values)| pattern.distance(values.into_iter()));
        let parts = method.into_iter().chain(self.url.distance(request)).chain(parameters).chain(headers).chain(ip);
        let (sum, count) = parts.fold((0.0, 0.0), |(sum, count), part| (sum + part, count + 1.0));
        if count == 0.0 { 0.0 } else { sum / count }
    }

    /// The key below `/computeMetadata/v1/`, if the pattern names one.
    pub(crate) fn key(&self) -> Option<&str> {
        let key =
            |url: &'_ str| url.strip_prefix("/computeMetadata/v1/").map(str::len).map(|length| url.len() - length);
        match &self.url {
            UrlPattern::Url(url) => {
                let path = url.split_once('?').map_or(&**url, |(path, _)| path);
                key(path).map(|start| &path[start..])
            }
            UrlPattern::UrlPath(path) => key(path).map(|start| &path[start..]),
            UrlPattern::Key(key) => Some(key),
            _ => None,
        }
    }

    /// The pattern in JSON.
    pub(crate) fn json(&self) -> &Value {
        &self.json
    }

    fn parameters_with<'a>(
        &'a self,
        request: &dyn RequestView,
    ) -> impl Iterator<Item = (&'a StringPattern, Vec<Cow<'static, str>>)> + use<'a> {
        let given = if self.parameters.is_empty() { Vec::new() } else { request.parameters() };
        self.parameters.iter().map(move |(name, pattern)| {
            let values = given.iter().filter(|(known, _)| known == name);
            (pattern, values.map(|(_, value)| Cow::Owned(value.clone())).collect())
        })
    }

    fn headers_with<'a>(
        &'a self,
        request: &'a dyn RequestView,
    ) -> impl Iterator<Item = (&'a StringPattern, Vec<Cow<'a, str>>)> {
        self.headers.iter().map(|(name, pattern)| (pattern, request.headers_named(name)))
    }
}

/// The pattern in JSON.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.json.fmt(f)
    }
}

impl UrlPattern {
    /// The member `path`: a path that does not begin with a slash is one below `/computeMetadata/v1/`; a segment `*` in it stands for any
    /// name, and a slash at its end does not matter.
    fn path(path: &str) -> Result<Self, String> {
        let key = path.trim_matches('/');
        if path.starts_with('/') {
            return Ok(Self::UrlPath(path.to_owned()));
        }
        if !key.split('/').any(|segment| segment == "*") {
            return Ok(Self::Key(key.to_owned()));
        }
        let segment = |segment| if segment == "*" { "[^/]+".to_owned() } else { regex::escape(segment) };
        regex_of(&key.split('/').map(segment).collect::<Vec<_>>().join("/")).map(Self::KeyRegex)
    }

    fn matches(&self, request: &dyn RequestView) -> bool {
        match self {
            Self::Any => true,
            Self::Url(url) => request.url() == url.as_str(),
            Self::UrlPath(path) => request.url_path() == *path,
            Self::UrlRegex(regex) => regex.is_match(&request.url()),
            Self::UrlPathRegex(regex) => regex.is_match(&request.url_path()),
            Self::Key(key) => request.key().is_some_and(|it| it.trim_matches('/') == key),
            Self::KeyRegex(regex) => request.key().is_some_and(|it| regex.is_match(it.trim_matches('/'))),
        }
    }

    /// `None` without a condition.
    fn distance(&self, request: &dyn RequestView) -> Option<f64> {
        Some(match self {
            Self::Any => return None,
            _ if self.matches(request) => 0.0,
            Self::Url(url) => distance(url, &request.url()),
            Self::UrlPath(path) => distance(path, &request.url_path()),
            Self::Key(key) => request.key().map_or(1.0, |it| distance(key, it.trim_matches('/'))),
            Self::UrlRegex(_) | Self::UrlPathRegex(_) | Self::KeyRegex(_) => 1.0,
        })
    }
}

fn strings(value: &Value, pointer: &str) -> Result<Vec<(String, StringPattern)>, PatternError> {
    let members = object(value, pointer)?.iter();
    members.map(|(name, value)| Ok((name.clone(), StringPattern::parse(value, &child(pointer, name))?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::test_entry as entry;
    use gce_metadata_layers::Connection;
    use http::Request;

    fn asked() -> impl RequestView {
        let request = Request::get("/computeMetadata/v1/instance/id?alt=json&scopes=a%20b&scopes=c");
        let connection = Connection::from_remote(([10, 0, 0, 7], 9).into());
        entry(request.header("Metadata-Flavor", "Google").extension(connection), 200)
    }

    #[test]
    fn all_parts_of_a_pattern_must_match() {
        let path = "/computeMetadata/v1/instance/id";
        for (pattern, expected) in [
            (json!({}), true),
            (json!({"method": "ANY", "urlPath": path}), true),
            (json!({"method": "get", "urlPath": path}), true),
            (json!({"method": "POST", "urlPath": path}), false),
            (json!({"url": path}), false),
            (json!({"path": "instance/id/"}), true),
            (json!({"path": "*/id"}), true),
            (json!({"path": path}), true),
            (json!({"path": "instance/i"}), false),
            (json!({"url": format!("{path}?alt=json&scopes=a%20b&scopes=c")}), true),
            (json!({"urlPathPattern": "/computeMetadata/v1/instance/[^/]+"}), true),
            (json!({"urlPathPattern": "/computeMetadata"}), false),
            (json!({"urlPattern": ".*scopes=c"}), true),
            (json!({"queryParameters": {"scopes": {"equalTo": "a b"}}}), true),
            (json!({"queryParameters": {"scopes": {"equalTo": "d"}}}), false),
            (json!({"queryParameters": {"audience": {"absent": true}}}), true),
            (json!({"headers": {"metadata-FLAVOR": {"equalTo": "Google"}}, "clientIp": {"equalTo": "10.0.0.7"}}), true),
            (json!({"headers": {"X-Forwarded-For": {"matches": ".*"}}}), false),
            (json!({"clientIp": {"matches": "10\\..*"}}), true),
            (json!({"path": "instance/*"}), true),
            (json!({"path": "/computeMetadata/v1/instance"}), false),
        ] {
            let parsed = Pattern::parse(&pattern, "").unwrap();
            assert_eq!(parsed.matches(&asked()), expected, "{pattern}");
            assert_eq!(parsed.distance(&asked()) == 0.0, expected, "{pattern}");
        }
    }

    #[test]
    fn every_other_member_is_an_error_with_its_pointer() {
        for (pattern, pointer) in [
            (json!({"bodyPatterns": []}), "/request/bodyPatterns"),
            (json!({"urlPath": 1}), "/request/urlPath"),
            (json!({"url": "/a", "urlPath": "/b"}), "/request/urlPath"),
            (json!({"path": "a", "url": "/b"}), "/request/url"),
            (json!({"path": format!("*/{}", "a".repeat(5000))}), "/request/path"),
            (json!({"headers": {"a": {"equalToJson": "{}"}}}), "/request/headers/a/equalToJson"),
            (json!({"method": {}}), "/request/method"),
            (json!([]), "/request"),
        ] {
            assert_eq!(Pattern::parse(&pattern, "/request").unwrap_err().pointer, pointer, "{pattern}");
        }
    }

    #[test]
    fn the_distance_of_a_typo_is_smaller_than_that_of_another_path() {
        let distance = |path: &str| {
            let path = format!("/computeMetadata/v1/{path}");
            Pattern::parse(&json!({"urlPath": path}), "").unwrap().distance(&asked())
        };
        assert!(distance("instance/idd") < distance("instance/name"));
    }

    #[test]
    fn the_key_of_a_pattern_is_that_of_its_path() {
        let key = |pattern: Value| Pattern::parse(&pattern, "").unwrap().key().map(str::to_owned);
        assert_eq!(key(json!({"url": "/computeMetadata/v1/instance/id?a=b"})).as_deref(), Some("instance/id"));
        assert_eq!(key(json!({"urlPath": "/computeMetadata/v1/instance/id"})).as_deref(), Some("instance/id"));
        assert_eq!(key(json!({"urlPath": "/other"})), None);
    }
}
