//! The requests of `doctor` to the server: the page `/`, the service accounts, and an identity token.

use crate::cli::http_client::{self, FLAVOR};
use crate::cli::target::Target;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::Value;
use std::time::{Duration, Instant, SystemTime};
use time::{Date, Month, Time, UtcOffset};

/// How long an answer may take. Python and Node wait as long.
const LIMIT: Duration = Duration::from_secs(3);

/// How long a server at 169.254.169.254 may take.
const LINK_LOCAL_LIMIT: Duration = Duration::from_millis(500);

const ACCOUNTS: &str = "/computeMetadata/v1/instance/service-accounts/?recursive=true";
const IDENTITY: &str =
    "/computeMetadata/v1/instance/service-accounts/default/identity?audience=gce-metadata-server-doctor";

/// The server's answers.
#[derive(Debug)]
pub(super) struct Answers {
    /// Status of the page `/`.
    pub(super) status: StatusCode,
    /// Whether the page has the header `Metadata-Flavor: Google`.
    pub(super) has_flavor: bool,
    /// How long the page took.
    pub(super) duration: Duration,
    /// The server's clock, by the header `Date`, in whole seconds.
    pub(super) date: Option<SystemTime>,
    /// The service accounts with their values. `None` if the server did not answer with JSON.
    pub(super) accounts: Option<Value>,
    /// The times in an identity token. `None` if the server gives no token.
    pub(super) identity: Option<Lifetime>,
}

/// When a token was issued and when it expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetime {
    pub(super) issued: SystemTime,
    pub(super) expires: SystemTime,
}

/// Asks the server. An `Err` says why there is no answer.
pub(super) async fn ask(target: &Target) -> Result<Answers, String> {
    let begin = Instant::now();
    let page = http_client::get(target, "/", [FLAVOR], LIMIT).await.map_err(|error| error.to_string())?;
    let duration = begin.elapsed();
    let has_flavor = has_flavor(&page);
    let date = page.headers().get(header::DATE).and_then(|date| parse_date(date.to_str().ok()?));
    let (mut accounts, mut identity) = (None, None);
    if has_flavor && page.status() == StatusCode::OK {
        accounts = body(target, ACCOUNTS).await.and_then(|body| serde_json::from_slice(&body).ok());
        identity = body(target, IDENTITY).await.and_then(|token| lifetime(&token));
    }
    Ok(Answers { status: page.status(), has_flavor, duration, date, accounts, identity })
}

/// Whether a metadata server answers.
pub(super) async fn is_metadata_server(target: &Target) -> bool {
    http_client::get(target, "/", [FLAVOR], LINK_LOCAL_LIMIT).await.is_ok_and(|page| has_flavor(&page))
}

async fn body(target: &Target, path: &str) -> Option<Bytes> {
    let answer = http_client::get(target, path, [FLAVOR], LIMIT).await.ok()?;
    (answer.status() == StatusCode::OK).then(|| answer.into_body())
}

fn has_flavor(answer: &Response<Bytes>) -> bool {
    answer.headers().get(FLAVOR.0).is_some_and(|value| *value == FLAVOR.1)
}

/// The times of a JSON Web Token.
fn lifetime(token: &[u8]) -> Option<Lifetime> {
    let payload = token.split(|byte| *byte == b'.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let time = |name: &str| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(claims.get(name)?.as_u64()?));
    Some(Lifetime { issued: time("iat")?, expires: time("exp")? })
}

/// Parses the format of dates that HTTP/1.1 servers send: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn parse_date(date: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let [_, day, month, year, time, "GMT"] = date.split(' ').collect::<Vec<_>>()[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month).and_then(|index| u8::try_from(index + 1).ok())?;
    let date = Date::from_calendar_date(year.parse().ok()?, Month::try_from(month).ok()?, day.parse().ok()?).ok()?;
    let mut parts = time.split(':').map(|part| part.parse::<u8>().ok());
    let mut part = || parts.next().flatten();
    let time = Time::from_hms(part()?, part()?, part()?).ok()?;
    Some(date.with_time(time).assume_offset(UtcOffset::UTC).into())
}

#[cfg(test)]
impl Answers {
    /// Answers of a server without faults.
    pub(super) fn example(now: SystemTime) -> Self {
        let account = serde_json::json!({"aliases": ["default"], "email": "vm@example.com", "scopes": []});
        Self {
            status: StatusCode::OK,
            has_flavor: true,
            duration: Duration::from_millis(1),
            date: Some(now),
            accounts: Some(serde_json::json!({"default": account, "vm@example.com": account})),
            identity: Some(Lifetime { issued: now, expires: now + Duration::from_secs(3600) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_parsed() {
        let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(parse_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(expected));
        for date in
            ["", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49 GMT"]
        {
            assert_eq!(parse_date(date), None, "{date}");
        }
    }

    #[test]
    fn the_times_of_a_token_are_in_its_payload() {
        let payload = URL_SAFE_NO_PAD.encode(r#"{"iat": 10, "exp": 3610}"#);
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let expected = Lifetime { issued: at(10), expires: at(3610) };
        assert_eq!(lifetime(format!("e30.{payload}.").as_bytes()), Some(expected));
        for token in ["", "a.b.c", "e30.e30."] {
            assert_eq!(lifetime(token.as_bytes()), None, "{token}");
        }
    }
}
