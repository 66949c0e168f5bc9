//! `/__admin/requests`: the journal, in WireMock's form.

use super::call::{Call, Outcome, json};
use super::problem::Problem;
use crate::journal::{Entry, Journal, logged_request, serve_event};
use crate::request_pattern::Pattern;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::SystemTime;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// `GET`: the newest entries first.
pub(super) async fn list(call: Call) -> Outcome {
    let since = since(&call)?;
    let limit = call.parameter_of("limit", "a number")?.unwrap_or(usize::MAX);
    let only_unmatched = call.flag("unmatched")?;
    let entries = entries(&call);
    let total = entries.len();
    let is_wanted = |entry: &&Arc<Entry>| {
        since.is_none_or(|since| entry.received >= since) && !(only_unmatched && entry.is_matched())
    };
    let snapshot = call.admin.vm.reader().snapshot();
    let wanted = entries.iter().rev().filter(is_wanted).take(limit);
    let events: Vec<_> = wanted.map(|entry| serve_event(entry, snapshot.tree())).collect();
    json(&json!({"requests": events, "meta": {"total": total}, "requestJournalDisabled": is_off(&call)}))
}

/// `DELETE`, and `POST …/reset`.
pub(super) async fn clear(call: Call) -> Outcome {
    if let Some(journal) = &call.admin.journal {
        journal.clear();
    }
    json(&json!({}))
}

/// `GET …/{id}`.
pub(super) async fn get(call: Call) -> Outcome {
    let (_, entry) = entry(&call)?;
    json(&serve_event(&entry, call.admin.vm.reader().snapshot().tree()))
}

/// `DELETE …/{id}`.
pub(super) async fn delete(call: Call) -> Outcome {
    let (journal, entry) = entry(&call)?;
    journal.remove(&[entry]);
    json(&json!({}))
}

/// `POST …/count`.
pub(super) async fn count(call: Call) -> Outcome {
    json(&json!({"count": matching(&call)?.len(), "requestJournalDisabled": is_off(&call)}))
}

/// `POST …/find`: the oldest entries first, as in WireMock.
pub(super) async fn find(call: Call) -> Outcome {
    let matching = matching(&call)?;
    json(&json!({"requests": logged(&call, &matching), "requestJournalDisabled": is_off(&call)}))
}

/// `POST …/remove`: removes the entries that match.
pub(super) async fn remove(call: Call) -> Outcome {
    let matching = matching(&call)?;
    if let Some(journal) = &call.admin.journal {
        journal.remove(&matching);
    }
    let snapshot = call.admin.vm.reader().snapshot();
    let events: Vec<_> = matching.iter().map(|entry| serve_event(entry, snapshot.tree())).collect();
    json(&json!({"serveEvents": events}))
}

/// `GET …/unmatched`: the requests whose path names nothing.
pub(super) async fn unmatched(call: Call) -> Outcome {
    let unmatched: Vec<_> = entries(&call).into_iter().filter(|entry| !entry.is_matched()).collect();
    json(&json!({"requests": logged(&call, &unmatched), "requestJournalDisabled": is_off(&call)}))
}

/// All entries, the oldest first.
pub(super) fn entries(call: &Call) -> Vec<Arc<Entry>> {
    call.admin.journal.as_ref().map(Journal::entries).unwrap_or_default()
}

/// The pattern in the body.
pub(super) fn pattern(call: &Call) -> Result<Pattern, Problem> {
    Pattern::parse(&call.value()?, "").map_err(Problem::wrong_pattern)
}

fn matching(call: &Call) -> Result<Vec<Arc<Entry>>, Problem> {
    let pattern = pattern(call)?;
    Ok(call.admin.journal.as_ref().map(|journal| journal.matching(&pattern)).unwrap_or_default())
}

fn logged(call: &Call, entries: &[Arc<Entry>]) -> Vec<Value> {
    let snapshot = call.admin.vm.reader().snapshot();
    entries.iter().map(|entry| logged_request(entry, snapshot.tree())).collect()
}

fn entry(call: &Call) -> Result<(&Journal, Arc<Entry>), Problem> {
    let found = call.admin.journal.as_ref().and_then(|journal| {
        let number = Entry::number_of(&call.parameter)?;
        Some((journal, journal.entry(number)?))
    });
    found.ok_or_else(|| Problem::not_found(format!("{}: the journal has no such request", call.parameter)))
}

fn is_off(call: &Call) -> bool {
    call.admin.journal.is_none()
}

/// The parameter `since`: a date in RFC 3339.
fn since(call: &Call) -> Result<Option<SystemTime>, Problem> {
    let Some(given) = call.parameter_of::<String>("since", "a date")? else { return Ok(None) };
    // A client that does not encode `+` sends a space.
    let date = OffsetDateTime::parse(&given.replace(' ', "+"), &Rfc3339);
    let wrong = |_| Problem::bad_request("query parameter since: expected a date such as 2026-11-28T12:00:00Z");
    date.map(|date| Some(date.into())).map_err(wrong)
}
