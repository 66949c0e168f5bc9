//! The two places where faults are injected: requests of clients, and fetches of tokens.

use super::definition::Place;
use super::effect::Outcome;
use super::injected::InjectedFault;
use super::store::{Faults, Injection};
use super::view::{ClientRequest, Fetch, names};
use crate::events::EventKind;
use crate::request_pattern::RequestView;
use gce_metadata_layers::{FaultAction, FaultPlan, FaultRequest};
use gce_metadata_routes::ServiceAccount;
use gce_metadata_tokens::{FetchError, FetchFault, FetchFaults};
use serde_json::json;
use std::sync::OnceLock;

impl FaultPlan for Faults {
    fn action(&self, request: &FaultRequest<'_>) -> Option<FaultAction> {
        if self.is_idle(Place::Request) {
            return None;
        }
        let view = ClientRequest(request);
        // Only a fault for certain accounts needs the names.
        let account = OnceLock::new();
        let injection = self.decide(Place::Request, |fault| {
            let account: &Vec<String> = if fault.has_account() {
                account.get_or_init(|| view.account(self.0.reader.snapshot().tree()))
            } else {
                const { &Vec::new() }
            };
            fault.matches(&view, account)
        })?;
        self.report(&injection, "request", request.method.as_str(), &view.url_path());
        let effect = injection.effect()?;
        let action = effect.action(request, injection.delay.clone());
        let name = injection.definition.name.clone();
        Some(action.mark(InjectedFault { id: injection.id.clone(), name, is_answer: effect.answers() }))
    }
}

impl FetchFaults for Faults {
    fn fault(&self, account: &ServiceAccount, kind: &'static str) -> Option<FetchFault> {
        if self.is_idle(Place::Source) {
            return None;
        }
        let (names, fetches) = (names(account), Fetch::all(account, kind));
        let injection = self.decide(Place::Source, |fault| fetches.iter().any(|fetch| fault.matches(fetch, &names)))?;
        self.report(&injection, "source", "GET", fetches.first().map_or("", Fetch::path));
        let error = match &injection.effect()?.outcome {
            Outcome::Answer(answer) => {
                let reason = format!("an injected fault answered {}", answer.status.as_u16());
                Some(FetchError::from_status(answer.status, reason, answer.retry_after()))
            }
            Outcome::PassOn | Outcome::Reset | Outcome::Close => None,
        };
        Some(FetchFault { delay: injection.delay, error })
    }
}

impl Faults {
    /// Reports that a fault is injected, to the log and to streams of events. The path is without its query, which may have secrets.
    fn report(&self, injection: &Injection, at: &'static str, method: &str, path: &str) {
        let (id, name) = (&*injection.id, injection.definition.name.as_deref());
        tracing::debug!(fault = id, name, at, path, "fault injected");
        self.0.events.emit(EventKind::Fault, || {
            json!({"id": id, "name": name, "at": at, "method": method, "path": path, "injected": injection.number + 1})
        });
    }
}
