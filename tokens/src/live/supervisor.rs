//! Supervises the accounts while they are served: reloads their credentials files and probes their sources.
//!
//! A probe at start logs the credentials file of each account, whether a token could be fetched, and where credentials
//! and config disagree. A failed probe does not fail the start, because the network may not be up yet. Failed and new
//! accounts are probed periodically: a server that is not ready gets no requests, and would never detect that its
//! source has recovered.

use super::accounts::{Accounts, CredentialSummary};
use crate::cache::{CacheTokens, Invalidation};
use crate::events::SharedTokenEvents;
use crate::fetch_error::FetchError;
use crate::follow::Follow;
use crate::health::SourceHealth;
use crate::token_request::TokenRequest;
use gce_metadata_routes::token::{AccessTokenRequest, IdTokenRequest};
use gce_metadata_routes::{Reader, ServiceAccount};
use gce_metadata_support::blocking::{blocking, retrying};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::{Service, ServiceExt};

/// The time between two probes of a failed account.
const REPROBE: Duration = Duration::from_secs(30);
/// The maximum of concurrent probes.
const MAX_PROBES: usize = 16;
/// The audience of identity tokens fetched by probes. No client gets them.
const AUDIENCE: &str = "https://metadata.google.internal";

/// A probe to run: the account and the kinds of tokens.
struct Check {
    account: Arc<ServiceAccount>,
    summary: CredentialSummary,
    access: bool,
    id: bool,
}

/// The supervisor of the accounts. It probes through the caches, below the layer that records requests, so that probes
/// are not counted as requests.
pub(super) struct Supervisor<A, I> {
    pub(super) accounts: Arc<Accounts>,
    pub(super) access: CacheTokens<A, AccessTokenRequest>,
    pub(super) id: CacheTokens<I, IdTokenRequest>,
    pub(super) health: SourceHealth,
    pub(super) events: SharedTokenEvents,
}

/// The service below a cache.
pub(super) trait Fetch<R: TokenRequest>:
    Service<R, Response = R::Token, Error: Into<FetchError>, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S, R: TokenRequest> Fetch<R> for S where
    S: Service<R, Response = R::Token, Error: Into<FetchError>, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<A: Fetch<AccessTokenRequest>, I: Fetch<IdTokenRequest>> Supervisor<A, I> {
    /// Probes every account once, then failed and new accounts periodically, and reloads changed files. It never
    /// returns.
    pub(super) async fn run(self: Arc<Self>, reader: Reader) {
        let probes = async {
            self.probe(&reader).await;
            self.reprobe(&reader).await;
        };
        tokio::join!(probes, self.follow_files(&reader));
    }

    async fn follow_files(self: &Arc<Self>, reader: &Reader) {
        let (mut followed, mut follow) = (Vec::new(), Follow::new(Vec::new()));
        let mut probes = JoinSet::new();
        loop {
            // Reloaded credentials may name other files.
            let files = self.accounts.files();
            if files != followed {
                follow = Follow::new(files.clone());
                followed = files;
            }
            follow.changed().await;
            let changed = retrying(|| {
                let (this, reader) = (Arc::clone(self), reader.clone());
                blocking(move || this.reload(&reader))
            });
            let changed = changed.await;
            // Probes the new credentials, because the recorded health is that of the old ones. In a task, so that the
            // next change does not wait for the probe.
            let this = Arc::clone(self);
            probes.spawn(async move { this.run_checks(changed, true).await });
            while probes.try_join_next().is_some() {}
        }
    }

    /// Reloads changed files, invalidates the tokens of their accounts, and returns a check for each account whose
    /// credentials have changed. It may block.
    fn reload(&self, reader: &Reader) -> Vec<Check> {
        let mut changed = Vec::new();
        self.accounts.reload(|ok, invalidation| {
            self.access.invalidate(invalidation);
            self.id.invalidate(invalidation);
            for account in reader.snapshot().tree().service_accounts() {
                let invalidation = invalidation(&account);
                if invalidation == Invalidation::Evict {
                    self.health.forget(&account.email);
                    self.events.evicted(&account.email);
                }
                changed.extend((invalidation != Invalidation::Keep).then_some(account));
            }
            self.events.reloaded(ok);
        });
        changed.into_iter().filter_map(|account| self.check(account)).collect()
    }

    /// Probes every account, and logs accounts without credentials and disagreements with the config as warnings.
    async fn probe(&self, reader: &Reader) {
        let snapshot = reader.snapshot();
        let project = snapshot.tree().text("project/project-id").filter(|project| !project.is_empty());
        let mut checks = Vec::new();
        for account in snapshot.tree().service_accounts() {
            let Some(check) = self.check(Arc::clone(&account)) else {
                tracing::warn!(account = account.email, "no credentials: its tokens are answered 404");
                continue;
            };
            for disagreement in disagreements(&check.summary, &account, project.as_deref()) {
                tracing::warn!("{disagreement}");
            }
            checks.push(check);
        }
        self.run_checks(checks, false).await;
    }

    /// Probes failed and new accounts periodically.
    async fn reprobe(&self, reader: &Reader) {
        loop {
            sleep(REPROBE).await;
            let mut checks = Vec::new();
            for account in reader.snapshot().tree().service_accounts() {
                let access = self.health.answered(&account.email, AccessTokenRequest::KIND) != Some(true);
                // Not for accounts without a fetch: clients of this server may never request identity tokens.
                let id = self.health.answered(&account.email, IdTokenRequest::KIND) == Some(false);
                let check = (access || id).then(|| self.check(account)).flatten();
                checks.extend(check.map(|check| Check { access: access && check.access, id, ..check }));
            }
            // With `refresh`, because a cached token does not show whether the source has recovered.
            self.run_checks(checks, true).await;
        }
    }

    /// A check of an account's access tokens; `None` without credentials. An account without scopes has no access tokens.
    fn check(&self, account: Arc<ServiceAccount>) -> Option<Check> {
        let summary = self.accounts.summary(&account)?;
        let access = !account.scopes.is_empty();
        Some(Check { account, summary, access, id: false })
    }

    /// Fetches the tokens of these checks concurrently, so that an unresponsive source does not delay the others. With
    /// `refresh` the source is called even if a token is cached.
    async fn run_checks(&self, checks: Vec<Check>, refresh: bool) {
        let mut in_flight = JoinSet::new();
        for Check { account, summary, access, id } in checks {
            if in_flight.len() >= MAX_PROBES {
                in_flight.join_next().await;
            }
            let summary = Arc::new(summary);
            if id {
                let request = IdTokenRequest::new(Arc::clone(&account), AUDIENCE);
                in_flight.spawn(run_check(self.id.clone(), request, Arc::clone(&summary), refresh));
            }
            if access {
                let scopes = Arc::clone(&account.scopes);
                let request = AccessTokenRequest::new(account, scopes);
                in_flight.spawn(run_check(self.access.clone(), request, summary, refresh));
            }
        }
        while in_flight.join_next().await.is_some() {}
    }
}

async fn run_check<S, R>(cache: CacheTokens<S, R>, request: R, summary: Arc<CredentialSummary>, refresh: bool)
where
    S: Fetch<R>,
    R: TokenRequest,
{
    let CredentialSummary { file, credential_type, .. } = &*summary;
    let (account, kind) = (request.account().email.clone(), R::KIND);
    match if refresh { cache.refresh(&request).await } else { cache.oneshot(request).await } {
        Ok(_) => tracing::info!(account, kind, credential_type, file, "token source healthy"),
        Err(error) => tracing::warn!(account, kind, credential_type, file, "no token: {error}"),
    }
}

/// The disagreements between credentials and config, as log lines.
fn disagreements(summary: &CredentialSummary, account: &ServiceAccount, project: Option<&str>) -> Vec<String> {
    let (file, mut found) = (&summary.file, Vec::new());
    if let Some(email) = summary.email.as_ref().filter(|email| **email != account.email) {
        let configured = &account.email;
        found.push(format!(
            "{file}: the config says {configured}, the credentials belong to {email}: tokens will be {email}'s"
        ));
    }
    if let Some(own) = summary.project.as_deref().filter(|own| Some(*own) != project) {
        let config =
            project.map_or_else(|| "has no project ID".to_owned(), |project| format!("says project {project}"));
        found.push(format!("{file}: the config {config}, the credentials belong to project {own}"));
    }
    found
}

#[cfg(test)]
mod tests;
