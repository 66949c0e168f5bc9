//! `/__admin/mappings`: faults, as WireMock's stub mappings.

use super::call::{Call, JSON, Outcome, json, with_type};
use super::problem::Problem;
use crate::faults::{Definition, Duplicates, Faults};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

/// `GET /__admin/mappings`: in the order in which the faults are tried.
pub(super) async fn list(call: Call) -> Outcome {
    let mappings = faults(&call)?.documents();
    let total = mappings.len();
    json(&json!({"mappings": mappings, "meta": {"total": total}}))
}

/// `POST /__admin/mappings`: adds a fault, or replaces the one with the same id.
pub(super) async fn add(call: Call) -> Outcome {
    let definition = Definition::parse(&call.value()?, "")?;
    let added = faults(&call)?.insert(definition)?;
    Ok(with_type(StatusCode::CREATED, JSON, added.to_string()))
}

/// `DELETE /__admin/mappings`: removes all faults, those of the file too.
pub(super) async fn clear(call: Call) -> Outcome {
    faults(&call)?.clear();
    json(&json!({}))
}

/// `POST /__admin/mappings/reset`: only the faults of the file stay, with new counters.
pub(super) async fn reset(call: Call) -> Outcome {
    faults(&call)?.reset();
    json(&json!({}))
}

/// `GET /__admin/mappings/{id}`.
pub(super) async fn get(call: Call) -> Outcome {
    let found = faults(&call)?.document(&call.parameter);
    json(&found.ok_or_else(|| missing(&call))?)
}

/// `PUT /__admin/mappings/{id}`: replaces a fault, whose counters start again.
pub(super) async fn put(call: Call) -> Outcome {
    let definition = Definition::parse(&call.value()?, "")?;
    let replaced = faults(&call)?.replace(&call.parameter, definition);
    json(&replaced.ok_or_else(|| missing(&call))?)
}

/// `DELETE /__admin/mappings/{id}`.
pub(super) async fn delete(call: Call) -> Outcome {
    if faults(&call)?.remove(&call.parameter) { json(&json!({})) } else { Err(missing(&call)) }
}

/// `POST /__admin/mappings/remove`: removes the fault with the id of this one, or else those with the same request pattern.
pub(super) async fn remove(call: Call) -> Outcome {
    let definition = Definition::parse(&call.value()?, "")?;
    let faults = faults(&call)?;
    if !definition.id().is_some_and(|id| faults.remove(id)) {
        faults.remove_like(&definition);
    }
    json(&json!({}))
}

/// The body of an import.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Import {
    mappings: Value,
    #[serde(default)]
    import_options: ImportOptions,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ImportOptions {
    #[serde(default)]
    duplicate_policy: DuplicatePolicy,
    #[serde(default)]
    delete_all_not_in_import: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum DuplicatePolicy {
    #[default]
    Overwrite,
    Ignore,
}

/// `POST /__admin/mappings/import`: adds all faults of the body or none.
pub(super) async fn import(call: Call) -> Outcome {
    let Import { mappings, import_options: options } = call.json()?;
    let definitions = Definition::parse_all(&mappings, "/mappings")?;
    let duplicates = match options.duplicate_policy {
        DuplicatePolicy::Overwrite => Duplicates::Overwrite,
        DuplicatePolicy::Ignore => Duplicates::Ignore,
    };
    faults(&call)?.import(definitions, duplicates, options.delete_all_not_in_import)?;
    json(&json!({}))
}

fn faults(call: &Call) -> Result<&Faults, Problem> {
    call.admin.vm.faults().ok_or_else(|| Problem::unprocessable("this server injects no faults"))
}

fn missing(call: &Call) -> Problem {
    Problem::not_found(format!("{}: there is no fault with this id", call.parameter))
}
