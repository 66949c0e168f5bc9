//! `/__admin/metadata`: the metadata in the form of a config, as a whole or below a path.

use super::call::{Answer, Call, JSON, Outcome, empty, with_type};
use super::problem::Problem;
use crate::config::ConfigDocument;
use crate::json_pointer::child;
use gce_metadata_layers::entity_tag;
use gce_metadata_routes::{Snapshot, Tree};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use std::sync::Arc;

const GENERATION: HeaderName = HeaderName::from_static("metadata-generation");

/// The name of a config's section. A document without it is a dump of `?recursive=true`.
const SECTION: &str = "computeMetadata";
const OS_LOGIN: &str = "osLogin";

/// `GET`: the document, or the JSON of a node.
pub(super) async fn get(call: Call) -> Outcome {
    let snapshot = call.admin.vm.reader().snapshot();
    let tag = tag(snapshot.tree(), &call.parameter).ok_or_else(|| not_found(&call.parameter))?;
    let is_known = call.headers.get_all(header::IF_NONE_MATCH).iter().any(|known| matches(known, Some(&tag)));
    let mut answer = if is_known { empty(StatusCode::NOT_MODIFIED) } else { shown(&snapshot, &call.parameter)? };
    set_tag(&mut answer, &tag, &snapshot);
    Ok(answer)
}

/// `PUT` of the whole document, which is read as a config file is.
pub(super) async fn put_root(call: Call) -> Outcome {
    let document: Value = serde_json::from_slice(&call.body).map_err(|error| Problem::not_json(&error))?;
    let metadata = ConfigDocument::from_json(document);
    let metadata = metadata.map_err(|error| Problem::unprocessable(error.to_string()).at(pointer(error.path())))?;
    let tree = call.admin.vm.overridden(metadata.metadata).tree();
    let edited = edit(&call, |_| Ok(tree))?;
    done(&call, &edited, StatusCode::NO_CONTENT)
}

/// `PUT` of a value: JSON, or text for a string.
pub(super) async fn put(call: Call) -> Outcome {
    let value = if call.is_text() {
        let text = std::str::from_utf8(&call.body);
        Value::from(text.map_err(|_| Problem::bad_request("the text of the body is not UTF-8"))?)
    } else {
        serde_json::from_slice(&call.body).map_err(|error| Problem::not_json(&error))?
    };
    let mut is_new = false;
    let edited = edit(&call, |tree| {
        is_new = tree.config_json(&call.parameter).is_none();
        Ok(tree.with(&call.parameter, &value)?)
    })?;
    done(&call, &edited, if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT })
}

/// `PATCH`: a merge patch (RFC 7396) of a node or of the document.
pub(super) async fn patch(call: Call) -> Outcome {
    let patch: Value = serde_json::from_slice(&call.body).map_err(|error| Problem::not_json(&error))?;
    let patch = if call.parameter.is_empty() { below_v1(patch)? } else { patch };
    let edited = edit(&call, |tree| Ok(tree.with_merged(&call.parameter, &patch)?))?;
    done(&call, &edited, StatusCode::NO_CONTENT)
}

/// `DELETE`: removes a node.
pub(super) async fn delete(call: Call) -> Outcome {
    edit(&call, |tree| Ok(tree.without(&call.parameter)?))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// `POST /__admin/metadata/reset`: the metadata as after a start.
pub(super) async fn reset(call: Call) -> Outcome {
    let with_guest_attributes = call.flag("guest-attributes")?;
    let reset = call.admin.vm.reset(with_guest_attributes).await;
    reset.map_err(|error| Problem::unprocessable(error.to_string()))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Edits the tree, if the conditions of the request hold, and returns the state after the edit. One edit is one snapshot: waiting
/// requests wake once.
fn edit(call: &Call, change: impl FnOnce(&Tree) -> Result<Tree, Problem>) -> Result<Arc<Snapshot>, Problem> {
    call.admin.vm.publisher().edit(|tree| {
        check_conditions(call, tag(tree, &call.parameter).as_ref())?;
        change(tree)
    })
}

/// Checks `If-Match` and `If-None-Match` (RFC 9110). `tag` is that of the node; `None` if there is no node.
fn check_conditions(call: &Call, tag: Option<&HeaderValue>) -> Result<(), Problem> {
    let names = |name: HeaderName| call.headers.get_all(name).iter().any(|known| matches(known, tag));
    let fails = |detail: &str| Err(Problem::new(StatusCode::PRECONDITION_FAILED, detail));
    if call.headers.contains_key(header::IF_MATCH) && !names(header::IF_MATCH) {
        return fails("the value has changed: its ETag is not that of If-Match");
    }
    if names(header::IF_NONE_MATCH) {
        return fails("the value exists, or its ETag is that of If-None-Match");
    }
    Ok(())
}

/// Whether a list of entity tags has this one. `*` stands for any node that exists.
fn matches(list: &HeaderValue, tag: Option<&HeaderValue>) -> bool {
    let (Ok(list), Some(Ok(tag))) = (list.to_str(), tag.map(HeaderValue::to_str)) else { return false };
    list.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

/// The entity tag of a node, in quotes: that of guests if they see the same value. Guests don't see OS Login, nor guest attributes and
/// private keys in a directory above them; values with these have a tag of their own, so that each change of a value changes its tag.
/// `None` if the config has no such node.
fn tag(tree: &Tree, path: &str) -> Option<HeaderValue> {
    let value = tree.config_json(path)?;
    let of_guests = tree.get(path)?.json();
    let has_os_login = path.is_empty() && tree.os_login_config().is_some();
    let is_same = !has_os_login && serde_json::from_slice(&of_guests).is_ok_and(|seen: Value| seen == value);
    let tag = match is_same {
        true => entity_tag(&of_guests),
        false => entity_tag(shown_json(tree, path)?.to_string().as_bytes()),
    };
    HeaderValue::from_str(&format!("\"{}\"", tag.to_str().ok()?)).ok()
}

fn set_tag(answer: &mut Answer, tag: &HeaderValue, snapshot: &Snapshot) {
    answer.headers_mut().insert(header::ETAG, tag.clone());
    answer.headers_mut().insert(GENERATION, snapshot.generation().into());
}

/// 200 with the JSON of the node at this path, or of the document.
fn shown(snapshot: &Snapshot, path: &str) -> Outcome {
    let json = shown_json(snapshot.tree(), path).ok_or_else(|| not_found(path))?;
    Ok(with_type(StatusCode::OK, JSON, json.to_string()))
}

fn shown_json(tree: &Tree, path: &str) -> Option<Value> {
    if path.is_empty() { Some(document(tree)) } else { tree.config_json(path) }
}

/// The config document of a tree: what a config file with this metadata has.
pub(super) fn document(tree: &Tree) -> Value {
    let mut document = Map::new();
    document.insert(SECTION.to_owned(), json!({"v1": tree.config_json("")}));
    if let Some(os_login) = tree.os_login_config() {
        document.insert(OS_LOGIN.to_owned(), os_login.clone());
    }
    document.into()
}

/// The part of a patch that concerns the tree.
fn below_v1(patch: Value) -> Result<Value, Problem> {
    let Value::Object(mut patch) = patch else {
        return Err(Problem::unprocessable("the patch of the document is an object"));
    };
    match patch.remove(SECTION) {
        None => Ok(patch.into()),
        Some(_) if patch.contains_key(OS_LOGIN) => {
            Err(Problem::unprocessable("OS Login can't be patched: PUT the whole document").at(format!("/{OS_LOGIN}")))
        }
        Some(Value::Object(mut section)) => match section.remove("v1") {
            Some(v1 @ Value::Object(_)) => Ok(v1),
            _ => Err(Problem::unprocessable("`v1` is an object, and can't be removed").at(format!("/{SECTION}/v1"))),
        },
        Some(_) => Err(Problem::unprocessable("an object is expected").at(format!("/{SECTION}"))),
    }
}

/// The answer to an edit that led to this state: with `Prefer: return=representation` the new value. The current state may be that of
/// a later edit, whose tag would let the client overwrite a value that it has not seen.
fn done(call: &Call, edited: &Snapshot, status: StatusCode) -> Outcome {
    let is_wanted = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.contains("return=representation"));
    let mut answer = if call.headers.get_all("prefer").iter().any(is_wanted) {
        shown(edited, &call.parameter)?
    } else {
        empty(status)
    };
    if let Some(tag) = tag(edited.tree(), &call.parameter) {
        set_tag(&mut answer, &tag, edited);
    }
    Ok(answer)
}

fn not_found(path: &str) -> Problem {
    Problem::not_found(format!("{path}: the metadata has no such value"))
}

/// The JSON pointer (RFC 6901) of the path of an error, in which the index of a list is in brackets.
fn pointer(path: &[String]) -> String {
    let index = |key: &str| key.strip_prefix('[')?.strip_suffix(']')?.parse::<usize>().ok();
    path.iter().fold(String::new(), |pointer, key| match index(key) {
        Some(index) => child(&pointer, &index.to_string()),
        None => child(&pointer, key),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_pointer_has_indices_without_brackets_and_escaped_keys() {
        let path = ["osLogin", "loginProfiles", "[0]", "a/b~c", "[x]"].map(str::to_owned);
        assert_eq!(pointer(&path), "/osLogin/loginProfiles/0/a~1b~0c/[x]");
        assert_eq!(pointer(&[]), "");
    }
}
