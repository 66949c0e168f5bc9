//! Conditions on requests, for tests in Rust.

use super::{Pattern, PatternError, StringPattern, UrlPattern};
use serde_json::{Value, json};

/// A condition on requests. All its parts must hold.
///
/// ```
/// use gce_metadata_server::Matching;
///
/// let tokens = Matching::path("instance/service-accounts/*/token").method("GET").query_param("scopes", "a,b");
/// # drop(tokens);
/// ```
#[derive(Debug, Clone)]
#[must_use = "a condition does nothing alone"]
pub struct Matching(Pattern);

impl Matching {
    /// Each request.
    pub fn any() -> Self {
        Self(Pattern::any())
    }

    /// Requests for this path, with any query. A path that does not begin with a slash is one below `/computeMetadata/v1/`; a segment `*`
    /// in it stands for any name, and a slash at its end does not matter.
    #[expect(clippy::expect_used, reason = "the text is escaped, and names of a path are short")]
    pub fn path(path: impl AsRef<str>) -> Self {
        let path = path.as_ref();
        let url = UrlPattern::path(path).expect("an escaped path is a regular expression");
        Self(Pattern { url, json: json!({"path": path}), ..Pattern::any() })
    }

    /// Requests whose path matches this regular expression as a whole, with any query.
    ///
    /// # Errors
    /// If the expression can't be used.
    pub fn path_regex(expression: &str) -> Result<Self, PatternError> {
        Self::json(&json!({"urlPathPattern": expression}))
    }

    /// The request pattern of the admin API and of WireMock: see `docs/journal.md`.
    ///
    /// # Errors
    /// If the pattern has a member that is not supported.
    pub fn json(pattern: &Value) -> Result<Self, PatternError> {
        Pattern::parse(pattern, "").map(Self)
    }

    /// Also requires this method.
    pub fn method(mut self, method: impl AsRef<str>) -> Self {
        self.0.method = Some(method.as_ref().to_ascii_uppercase());
        self.shown("method", method.as_ref().into())
    }

    /// Also requires this value of a header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        let value = value.into();
        let shown = json!({"equalTo": value});
        self.0.headers.push((name.to_owned(), equal_to(value)));
        self.shown_in("headers", name, shown)
    }

    /// Also requires this value of a query parameter, decoded.
    pub fn query_param(mut self, name: &str, value: impl Into<String>) -> Self {
        let value = value.into();
        let shown = json!({"equalTo": value});
        self.0.parameters.push((name.to_owned(), equal_to(value)));
        self.shown_in("queryParameters", name, shown)
    }

    /// Also requires this address of the client.
    pub fn client_ip(mut self, address: impl ToString) -> Self {
        let address = address.to_string();
        let shown = json!({"equalTo": address});
        self.0.client_ip = Some(equal_to(address));
        self.shown("clientIp", shown)
    }

    /// Adds a member to the JSON, which errors print.
    fn shown(mut self, member: &str, value: Value) -> Self {
        self.0.json[member] = value;
        self
    }

    fn shown_in(mut self, member: &str, name: &str, value: Value) -> Self {
        self.0.json[member][name] = value;
        self
    }
}

fn equal_to(value: String) -> StringPattern {
    StringPattern::EqualTo { value, ignores_case: false }
}

impl From<Matching> for Pattern {
    fn from(matching: Matching) -> Self {
        matching.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::test_entry as entry;
    use http::Request;

    #[test]
    fn a_path_matches_below_v1_with_any_query_and_slash() {
        let asked = |path: &str| entry(Request::get(path), 200);
        let matches = |path: &str, url: &str| Matching::path(path).0.matches(&asked(url));
        assert!(matches("instance/id", "/computeMetadata/v1//instance/id?alt=json"));
        assert!(matches("instance", "/computeMetadata/v1/instance/"));
        assert!(matches("/computeMetadata/v1/instance/id", "/computeMetadata/v1/instance/id"));
        assert!(!matches("instance/id", "/computeMetadata/v1/instance/idx"));
        assert!(!matches("instance/id", "/instance/id"));
        let tokens = "instance/service-accounts/*/token";
        assert!(matches(tokens, "/computeMetadata/v1/instance/service-accounts/a.b/token?scopes=c"));
        assert!(!matches(tokens, "/computeMetadata/v1/instance/service-accounts/a/b/token"));
    }

    #[test]
    fn all_conditions_must_hold_and_are_printed() {
        let request = Request::post("/computeMetadata/v1/a?b=c%20d").header("e", "f");
        let entry = entry(request, 200);
        let matching = || Matching::path("a").method("post");
        assert!(matching().query_param("b", "c d").header("E", "f").0.matches(&entry));
        assert!(!matching().header("e", "g").0.matches(&entry));
        assert!(!matching().client_ip("10.0.0.1").0.matches(&entry));
        let printed = matching().header("e", "g").query_param("b", "c").0.to_string();
        let expected =
            r#"{"headers":{"e":{"equalTo":"g"}},"method":"post","path":"a","queryParameters":{"b":{"equalTo":"c"}}}"#;
        assert_eq!(printed, expected);
    }
}
