//! Parses `response`: the members of WireMock's response definition that this server has, and MockServer's for broken bodies.

use super::FaultError;
use super::delay::Delay;
use super::effect::{Answer, Effect, Outcome};
use super::members::{Members, boolean, fraction, milliseconds, number_from, string};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gce_metadata_layers::BodyFault;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;

/// The only `proxyBaseUrl`: the server itself. The fault then changes the usual answer.
const ITSELF: &str = "http://metadata.google.internal";

pub(super) fn parse(value: &Value, pointer: &str) -> Result<Effect, FaultError> {
    let mut members = Members::of(value, pointer)?;
    let delay = Delay::parse(&mut members)?;
    let fault = members.parsed("fault", connection_fault)?;
    let proxied = members.parsed("proxyBaseUrl", proxy_base_url)?;
    let status = members.parsed("status", status)?;
    let headers = members.parsed("headers", headers)?;
    let body = body(&mut members)?;
    let body_fault = body_fault(&mut members)?;
    members.finish("the response of a fault")?;
    let conflict =
        |name: &str, with: &str| FaultError::new(pointer, format!("`{name}` can't be combined with `{with}`"));
    // WireMock's clients for Java and Go always send a status, 200 by default.
    let answers = status.is_some_and(|status| status != StatusCode::OK) || headers.is_some() || body.is_some();
    if let Some(outcome) = fault {
        if answers || body_fault.is_some() || proxied.is_some() {
            return Err(conflict("fault", "other members than a delay"));
        }
        return Ok(Effect { delay, ..Effect::of(outcome) });
    }
    if proxied.is_some() {
        if answers {
            return Err(conflict("proxyBaseUrl", "status, headers or a body"));
        }
        return Ok(Effect { delay, outcome: Outcome::PassOn, body: body_fault });
    }
    // Without a status the answer is empty, as in WireMock, rather than the page of a status.
    let (status, body, mut headers) = match (status, body) {
        (None, None) => (StatusCode::OK, Some(Body::plain(Bytes::new())), headers),
        (status, body) => (status.unwrap_or(StatusCode::OK), body, headers),
    };
    if body.as_ref().is_some_and(|body| body.is_json) {
        let headers = headers.get_or_insert_default();
        if headers.iter().all(|(name, _)| *name != header::CONTENT_TYPE) {
            headers.push((header::CONTENT_TYPE, Some(HeaderValue::from_static("application/json"))));
        }
    }
    let answer = Answer { status, headers: headers.unwrap_or_default(), body: body.map(|body| body.bytes) };
    Ok(Effect { delay, outcome: Outcome::Answer(answer), body: body_fault })
}

fn connection_fault(value: &Value, pointer: &str) -> Result<Outcome, FaultError> {
    match string(value, pointer)? {
        "CONNECTION_RESET_BY_PEER" => Ok(Outcome::Reset),
        "EMPTY_RESPONSE" => Ok(Outcome::Close),
        _ => Err(FaultError::new(pointer, "CONNECTION_RESET_BY_PEER or EMPTY_RESPONSE is expected")),
    }
}

fn proxy_base_url(value: &Value, pointer: &str) -> Result<(), FaultError> {
    match string(value, pointer)?.trim_end_matches('/') {
        ITSELF => Ok(()),
        _ => Err(FaultError::new(pointer, format!("only {ITSELF} is possible: the answer of this server itself"))),
    }
}

fn status(value: &Value, pointer: &str) -> Result<StatusCode, FaultError> {
    let status = value.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|number| *number >= 200);
    let status = status.and_then(|number| StatusCode::from_u16(number).ok()).filter(|status| status.as_u16() < 600);
    status.ok_or_else(|| FaultError::new(pointer, "a status from 200 to 599 is expected"))
}

type Headers = Vec<(HeaderName, Option<HeaderValue>)>;

/// An object of names and values: a string, a list of strings, or null, which removes a header of the server.
fn headers(value: &Value, pointer: &str) -> Result<Headers, FaultError> {
    let mut headers = Vec::new();
    for (name, value) in crate::request_pattern::object(value, pointer)? {
        let pointer = crate::json_pointer::child(pointer, name);
        let name =
            HeaderName::try_from(name.as_str()).map_err(|_| FaultError::new(&*pointer, "no name of a header"))?;
        if [header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(&name) {
            let detail = "the server sets this header; `truncateBodyAtFraction` cuts a body";
            return Err(FaultError::new(pointer, detail));
        }
        let values = match value {
            Value::Null => {
                headers.push((name, None));
                continue;
            }
            Value::Array(values) => values.iter().collect(),
            value => vec![value],
        };
        for value in values {
            let value = HeaderValue::from_str(string(value, &pointer)?);
            let value = value.map_err(|_| FaultError::new(&*pointer, "a header can't have this value"))?;
            headers.push((name.clone(), Some(value)));
        }
    }
    Ok(headers)
}

struct Body {
    bytes: Bytes,
    is_json: bool,
}

impl Body {
    fn plain(bytes: Bytes) -> Self {
        Self { bytes, is_json: false }
    }
}

fn body(members: &mut Members<'_>) -> Result<Option<Body>, FaultError> {
    let text = members
        .parsed("body", |value, pointer| Ok(Body::plain(Bytes::copy_from_slice(string(value, pointer)?.as_bytes()))))?;
    let json = members.parsed("jsonBody", |value, _| Ok(Body { bytes: value.to_string().into(), is_json: true }))?;
    let base64 = members.parsed("base64Body", |value, pointer| {
        let bytes = STANDARD.decode(string(value, pointer)?);
        Ok(Body::plain(bytes.map_err(|_| FaultError::new(pointer, "Base64 is expected"))?.into()))
    })?;
    let mut given = [("body", text), ("jsonBody", json), ("base64Body", base64)].into_iter();
    let mut given = given.by_ref().filter_map(|(name, body)| Some((name, body?)));
    let (first, second) = (given.next(), given.next());
    match second {
        Some((name, _)) => Err(FaultError::new(members.pointer(name), "one body is expected, and this is the second")),
        None => Ok(first.map(|(_, body)| body)),
    }
}

/// `truncateBodyAtFraction`, `malformedBody` and `chunkedDribbleDelay`.
fn body_fault(members: &mut Members<'_>) -> Result<Option<BodyFault>, FaultError> {
    let none = BodyFault::new();
    let mut fault = none;
    if let Some(at) = members.parsed("truncateBodyAtFraction", fraction)? {
        fault = fault.cut_at(at);
    }
    if members.parsed("malformedBody", boolean)? == Some(true) {
        fault = fault.corrupt();
    }
    let dribble = members.parsed("chunkedDribbleDelay", |value, pointer| {
        let mut members = Members::of(value, pointer)?;
        let chunks = members.parsed("numberOfChunks", number_from(1))?;
        let time = members.parsed("totalDuration", milliseconds)?;
        members.finish("a dribble delay")?;
        let missing = |name| FaultError::new(pointer, format!("`{name}` is missing"));
        let chunks = chunks.ok_or_else(|| missing("numberOfChunks"))?;
        Ok((usize::try_from(chunks).unwrap_or(usize::MAX), time.ok_or_else(|| missing("totalDuration"))?))
    })?;
    if let Some((chunks, time)) = dribble {
        fault = fault.dribble(chunks, time);
    }
    Ok((fault != none).then_some(fault))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn answer(response: Value) -> Answer {
        match parse(&response, "/response").unwrap().outcome {
            Outcome::Answer(answer) => answer,
            other => panic!("{response}: {other:?}"),
        }
    }

    #[test]
    fn a_status_alone_has_googles_page_and_no_status_is_an_empty_200() {
        assert_eq!(answer(json!({"status": 503})).body, None);
        assert_eq!(answer(json!({"status": 503, "body": ""})).body, Some(Bytes::new()));
        let empty = answer(json!({"fixedDelayMilliseconds": 5}));
        assert_eq!((empty.status.as_u16(), empty.body), (200, Some(Bytes::new())));
        let text = answer(json!({"body": "text"}));
        assert_eq!((text.status.as_u16(), text.body, text.headers), (200, Some("text".into()), vec![]));
    }

    #[test]
    fn json_has_its_media_type_unless_another_is_given() {
        let json = |name, value: Option<&'static str>| (name, value.map(HeaderValue::from_static));
        let plain = answer(json!({"jsonBody": {"a": 1}}));
        assert_eq!(plain.body, Some("{\"a\":1}".into()));
        assert_eq!(plain.headers, [json(header::CONTENT_TYPE, Some("application/json"))]);
        let other = answer(json!({"jsonBody": {"a": 1}, "headers": {"Content-Type": "a/b"}}));
        assert_eq!(other.headers, [json(header::CONTENT_TYPE, Some("a/b"))]);
        assert_eq!(answer(json!({"base64Body": "AAE="})).body, Some(Bytes::from_static(&[0, 1])));
    }

    #[test]
    fn headers_may_have_several_values_or_be_removed() {
        let value = |value| Some(HeaderValue::from_static(value));
        let headers = answer(json!({"headers": {"a": ["1", "2"], "Metadata-Flavor": null}})).headers;
        let (a, flavor) = (HeaderName::from_static("a"), HeaderName::from_static("metadata-flavor"));
        assert_eq!(headers, [(flavor, None), (a.clone(), value("1")), (a, value("2"))]);
    }

    #[test]
    fn faults_of_connections_and_of_the_usual_body() {
        let effect = |response: Value| parse(&response, "/response").unwrap();
        assert_eq!(effect(json!({"fault": "CONNECTION_RESET_BY_PEER", "status": 200})).outcome, Outcome::Reset);
        assert_eq!(effect(json!({"fault": "CONNECTION_RESET_BY_PEER"})).outcome, Outcome::Reset);
        let late = effect(json!({"fault": "EMPTY_RESPONSE", "fixedDelayMilliseconds": 5}));
        assert_eq!((late.outcome, late.delay), (Outcome::Close, Delay::fixed(Duration::from_millis(5))));
        let usual = effect(json!({"proxyBaseUrl": format!("{ITSELF}/"), "malformedBody": true}));
        assert_eq!((usual.outcome, usual.body), (Outcome::PassOn, Some(BodyFault::new().corrupt())));
        let slow = effect(json!({"body": "a", "chunkedDribbleDelay": {"numberOfChunks": 5, "totalDuration": 1000}}));
        assert_eq!(slow.body, Some(BodyFault::new().dribble(5, Duration::from_secs(1))));
        let cut = effect(json!({"body": "a", "truncateBodyAtFraction": 0.5, "malformedBody": false}));
        assert_eq!(cut.body, Some(BodyFault::new().cut_at(0.5)));
    }

    #[test]
    fn every_other_member_is_an_error_with_its_pointer() {
        for (response, pointer) in [
            (json!([]), "/response"),
            (json!({"transformers": ["a"]}), "/response/transformers"),
            (json!({"status": 99}), "/response/status"),
            (json!({"status": 600}), "/response/status"),
            (json!({"status": "503"}), "/response/status"),
            (json!({"fault": "RANDOM_DATA_THEN_CLOSE"}), "/response/fault"),
            (json!({"fault": "MALFORMED_RESPONSE_CHUNK"}), "/response/fault"),
            (json!({"fault": "EMPTY_RESPONSE", "status": 503}), "/response"),
            (json!({"proxyBaseUrl": "http://example.com"}), "/response/proxyBaseUrl"),
            (json!({"proxyBaseUrl": ITSELF, "status": 503}), "/response"),
            (json!({"body": "a", "jsonBody": 1}), "/response/jsonBody"),
            (json!({"base64Body": "?"}), "/response/base64Body"),
            (json!({"headers": {"a b": "c"}}), "/response/headers/a b"),
            (json!({"headers": {"a": "b\n"}}), "/response/headers/a"),
            (json!({"headers": {"a": 1}}), "/response/headers/a"),
            (json!({"headers": {"Content-Length": "1"}}), "/response/headers/Content-Length"),
            (json!({"truncateBodyAtFraction": 1.5}), "/response/truncateBodyAtFraction"),
            (json!({"malformedBody": "true"}), "/response/malformedBody"),
            (json!({"chunkedDribbleDelay": {"numberOfChunks": 0}}), "/response/chunkedDribbleDelay/numberOfChunks"),
            (json!({"chunkedDribbleDelay": {"numberOfChunks": 1}}), "/response/chunkedDribbleDelay"),
        ] {
            assert_eq!(parse(&response, "/response").unwrap_err().pointer, pointer, "{response}");
        }
    }
}
