//! The document of a fault: a stub mapping of WireMock, with the members that say how often.

use super::FaultError;
use super::effect::{Effect, Outcome};
use super::members::{Members, number_from, string};
use super::schedule::Schedule;
use super::{instruction, response};
use crate::json_pointer::child;
use crate::request_pattern::{Pattern, RequestView, StringPattern, object};
use gce_metadata_layers::BodyFault;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::sync::Arc;

/// The priority of a fault that names none, as in WireMock. 1 is the highest.
const DEFAULT_PRIORITY: u64 = 5;

/// The member of `metadata` that says what a fault has done. WireMock's client for Java refuses unknown members elsewhere. A client that
/// changes a fault sends it back; it is ignored then.
pub(super) const COUNTERS: &str = "metadataServer";

/// Where a fault is injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Before the checks of a request.
    Request,
    /// In place of the token source, below the cache.
    Source,
}

/// A fault, parsed and checked.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    /// A UUID; `None` if the document names none.
    pub(super) id: Option<String>,
    pub(super) name: Option<Arc<str>>,
    pub(super) priority: u64,
    pub(super) place: Place,
    pattern: Pattern,
    account: Option<StringPattern>,
    effects: Effects,
    pub(super) schedule: Schedule,
    /// The members of the document, without the id and the counters.
    document: Map<String, Value>,
}

/// The effects of a fault.
#[derive(Debug, Clone)]
enum Effects {
    /// The same for each request.
    Same(Effect),
    /// One for each request, in this order.
    Each(Vec<Effect>),
}

impl Definition {
    /// Parses a fault; `pointer` is its place in the body.
    pub(crate) fn parse(value: &Value, pointer: &str) -> Result<Self, FaultError> {
        let mut members = Members::of(value, pointer)?;
        let id = members.parsed("id", uuid)?;
        let uuid = members.parsed("uuid", uuid)?;
        if let (Some(id), Some(uuid)) = (&id, &uuid)
            && id != uuid
        {
            return Err(FaultError::new(members.pointer("uuid"), "`uuid` differs from `id`, which means the same"));
        }
        let name = members.parsed("name", string)?.map(Arc::from);
        let priority = members.parsed("priority", number_from(1))?.unwrap_or(DEFAULT_PRIORITY);
        let place = members.parsed("at", place)?.unwrap_or(Place::Request);
        let request = members.take("request");
        let (pattern, account) = match &request {
            Some((value, pointer)) => condition(value, pointer)?,
            None => (Pattern::any(), None),
        };
        let effects = effects(&mut members)?;
        let schedule = Schedule::parse(&mut members, matches!(effects, Effects::Each(_)))?;
        members.parsed("metadata", |value, pointer| Ok(object(value, pointer)?))?;
        members.take("persistent");
        members.finish("a fault")?;
        let definition = Self {
            id: id.or(uuid),
            name,
            priority,
            place,
            pattern,
            account,
            effects,
            schedule,
            document: document(value),
        };
        definition.check_place(pointer)?;
        Ok(definition)
    }

    /// Parses a list of faults; `pointer` is its place in the body.
    pub(crate) fn parse_all(value: &Value, pointer: &str) -> Result<Vec<Self>, FaultError> {
        let Value::Array(faults) = value else { return Err(FaultError::new(pointer, "a list is expected")) };
        let parse = |(index, value): (usize, &Value)| Self::parse(value, &child(pointer, &index.to_string()));
        faults.iter().enumerate().map(parse).collect()
    }

    pub(super) fn with_id(self, id: &str) -> Self {
        Self { id: Some(id.to_owned()), ..self }
    }

    /// Whether a request matches that concerns the account with these names.
    pub(super) fn matches(&self, request: &dyn RequestView, account: &[String]) -> bool {
        let names = || account.iter().map(|name| Cow::Borrowed(name.as_str()));
        self.account.as_ref().is_none_or(|pattern| pattern.matches(names())) && self.pattern.matches(request)
    }

    /// Whether the fault concerns certain accounts only.
    pub(super) fn has_account(&self) -> bool {
        self.account.is_some()
    }

    /// The number of times that the fault can be injected; `None` without a limit.
    pub(super) fn uses(&self) -> Option<u64> {
        match &self.effects {
            Effects::Same(_) => None,
            Effects::Each(effects) => Some(effects.len() as u64),
        }
    }

    /// The effect of the injection with this number, from 0.
    pub(super) fn effect(&self, number: u64) -> Option<&Effect> {
        match &self.effects {
            Effects::Same(effect) => Some(effect),
            Effects::Each(effects) => effects.get(usize::try_from(number).ok()?),
        }
    }

    /// The document with this id.
    pub(super) fn document(&self, id: &str) -> Map<String, Value> {
        let mut document = self.document.clone();
        document.extend([("id".to_owned(), json!(id)), ("uuid".to_owned(), json!(id))]);
        document
    }

    /// Whether both have the same request pattern.
    pub(crate) fn has_request_of(&self, other: &Self) -> bool {
        self.document.get("request") == other.document.get("request")
    }

    /// The id in the document.
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The name, or else the request pattern.
    pub(super) fn label(&self) -> String {
        match (&self.name, self.document.get("request")) {
            (Some(name), _) => format!("`{name}`"),
            (None, Some(request)) => format!("on {request}"),
            (None, None) => "on each request".to_owned(),
        }
    }

    /// Refuses what the token source can't do: it has neither a connection nor a body.
    fn check_place(&self, pointer: &str) -> Result<(), FaultError> {
        if self.place == Place::Request {
            return Ok(());
        }
        for name in ["method", "headers", "queryParameters", "clientIp"] {
            if self.document.get("request").is_some_and(|request| request.get(name).is_some()) {
                let pointer = child(&child(pointer, "request"), name);
                return Err(FaultError::new(pointer, "the source has only a path and an account: remove `at` or this"));
            }
        }
        let is_possible = |effect: &Effect| {
            let fails = |status: http::StatusCode| status.is_client_error() || status.is_server_error();
            let outcome = match &effect.outcome {
                Outcome::PassOn => true,
                Outcome::Answer(answer) => fails(answer.status),
                Outcome::Reset | Outcome::Close => false,
            };
            outcome && effect.body.is_none_or(|fault| fault == BodyFault::new())
        };
        let detail = "the source can be delayed, or fail with a status from 400 on";
        match &self.effects {
            Effects::Same(effect) if is_possible(effect) => Ok(()),
            Effects::Same(_) => Err(FaultError::new(child(pointer, "response"), detail)),
            Effects::Each(effects) => match effects.iter().position(|effect| !is_possible(effect)) {
                None => Ok(()),
                Some(index) => {
                    let pointer = child(&child(pointer, "instructions"), &index.to_string());
                    Err(FaultError::new(pointer, detail))
                }
            },
        }
    }
}

/// The request pattern, and its member `account`, which the journal does not have.
fn condition(value: &Value, pointer: &str) -> Result<(Pattern, Option<StringPattern>), FaultError> {
    let Some((account, rest)) = value.as_object().and_then(|object| {
        let mut rest = object.clone();
        Some((rest.remove("account")?, Value::Object(rest)))
    }) else {
        return Ok((Pattern::parse(value, pointer)?, None));
    };
    let account = StringPattern::parse(&account, &child(pointer, "account"))?;
    Ok((Pattern::parse(&rest, pointer)?, Some(account)))
}

/// `response` or `instructions`.
fn effects(members: &mut Members<'_>) -> Result<Effects, FaultError> {
    let same = members.parsed("response", response::parse)?;
    let each = members.parsed("instructions", |value, pointer| {
        let words = value.as_array().filter(|words| !words.is_empty());
        let words = words.ok_or_else(|| FaultError::new(pointer, "a list of instruction words is expected"))?;
        let parse = |(index, word): (usize, &Value)| instruction::parse(word, &child(pointer, &index.to_string()));
        words.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()
    })?;
    match (same, each) {
        (Some(effect), None) => Ok(Effects::Same(effect)),
        (None, Some(effects)) => Ok(Effects::Each(effects)),
        (Some(_), Some(_)) => {
            Err(FaultError::new(members.pointer("instructions"), "`instructions` can't be combined with `response`"))
        }
        (None, None) => Err(FaultError::new(members.pointer("response"), "`response` or `instructions` is missing")),
    }
}

fn place(value: &Value, pointer: &str) -> Result<Place, FaultError> {
    match string(value, pointer)? {
        "request" => Ok(Place::Request),
        "source" => Ok(Place::Source),
        _ => Err(FaultError::new(pointer, "request or source is expected")),
    }
}

/// A UUID, in lower case.
fn uuid(value: &Value, pointer: &str) -> Result<String, FaultError> {
    let text = string(value, pointer)?;
    let lengths = text.split('-').map(str::len);
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if lengths.eq([8, 4, 4, 4, 12]) && is_hex {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(FaultError::new(pointer, "a UUID is expected"))
    }
}

fn document(value: &Value) -> Map<String, Value> {
    let mut document = value.as_object().cloned().unwrap_or_default();
    ["id", "uuid", "persistent"].into_iter().for_each(|name| _ = document.remove(name));
    document.retain(|_, value| !value.is_null());
    if let Some(Value::Object(metadata)) = document.get_mut("metadata") {
        metadata.remove(COUNTERS);
        if metadata.is_empty() {
            document.remove("metadata");
        }
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0f2b9c1e-7a41-4e0c-9a52-6f3c8d1b7e90";

    #[test]
    fn every_other_member_is_an_error_with_its_pointer() {
        let response = json!({"status": 503});
        for (document, pointer) in [
            (json!([]), "/mappings/0"),
            (json!({"response": response, "scenarioName": "a"}), "/mappings/0/scenarioName"),
            (json!({"response": response, "failTwice": true}), "/mappings/0/failTwice"),
            (json!({"response": response, "request": {"bodyPatterns": []}}), "/mappings/0/request/bodyPatterns"),
            (json!({"response": response, "request": {"account": "default"}}), "/mappings/0/request/account"),
            (json!({"response": response, "request": []}), "/mappings/0/request"),
            (json!({"response": response, "priority": 0}), "/mappings/0/priority"),
            (json!({"response": response, "id": "1"}), "/mappings/0/id"),
            (json!({"response": response, "id": ID, "uuid": ID.replace('0', "1")}), "/mappings/0/uuid"),
            (json!({"response": response, "name": 1}), "/mappings/0/name"),
            (json!({"response": response, "at": "cache"}), "/mappings/0/at"),
            (json!({"response": response, "metadata": 1}), "/mappings/0/metadata"),
            (json!({"response": {"status": 1}}), "/mappings/0/response/status"),
            (json!({}), "/mappings/0/response"),
            (json!({"response": response, "instructions": ["return-503"]}), "/mappings/0/instructions"),
            (json!({"instructions": []}), "/mappings/0/instructions"),
            (json!({"instructions": ["return-503", "return"]}), "/mappings/0/instructions/1"),
        ] {
            let error = Definition::parse_all(&json!([document]), "/mappings").unwrap_err();
            assert_eq!(error.pointer, pointer, "{document}");
        }
        assert_eq!(Definition::parse_all(&json!({}), "/mappings").unwrap_err().pointer, "/mappings");
    }

    #[test]
    fn the_token_source_has_neither_headers_nor_a_connection() {
        for (document, pointer) in [
            (json!({"response": {"status": 503}, "request": {"headers": {}}}), "/request/headers"),
            (json!({"response": {"status": 200}}), "/response"),
            (json!({"response": {"fault": "EMPTY_RESPONSE"}}), "/response"),
            (json!({"response": {"status": 503, "malformedBody": true}}), "/response"),
            (json!({"instructions": ["return-503", "return-reset-connection"]}), "/instructions/1"),
        ] {
            let mut document = document;
            document["at"] = "source".into();
            assert_eq!(Definition::parse(&document, "").unwrap_err().pointer, pointer, "{document}");
        }
        let possible = json!({"at": "source", "instructions": ["return-429", "stall-for-2s", "stall-always"]});
        assert_eq!(Definition::parse(&possible, "").unwrap().place, Place::Source);
    }

    #[test]
    fn a_document_is_kept_without_counters_and_nulls() {
        let document = json!({
            "id": ID.to_uppercase(), "uuid": ID, "persistent": true, "priority": null, "request": {"method": "GET"},
            "response": {"status": 503}, "metadata": {"owner": "ada", "metadataServer": {"matched": 1}},
        });
        let definition = Definition::parse(&document, "").unwrap();
        let expected = json!({
            "id": ID, "uuid": ID, "request": {"method": "GET"}, "response": {"status": 503}, "metadata": {"owner": "ada"},
        });
        assert_eq!(Value::Object(definition.document(definition.id().unwrap())), expected);
        assert_eq!(definition.priority, DEFAULT_PRIORITY);
    }
}
