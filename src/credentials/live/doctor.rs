//! A look at the accounts when the server starts: which of them gets its tokens where, whether a first one could be had, and
//! what credentials and config disagree on. It only tells the log; a network that isn't there yet is no reason not to start.
//! An account that goes without, or that came later, is looked at again: a server that is not ready for want of tokens is
//! asked for none, and would never find out that it is.

use super::accounts::Accounts;
use super::{AccessSource, IdSource};
use crate::blocking::retrying;
use crate::credentials::cache::{CacheTokens, Fate};
use crate::credentials::failure::Failure;
use crate::credentials::kind::TokenRequest;
use crate::follow::Follow;
use crate::metrics::Metrics;
use gce_metadata_routes::token::{AccessTokenRequest, IdTokenRequest};
use gce_metadata_routes::{Reader, ServiceAccount};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::{Service, ServiceExt};

/// How long an account that goes without tokens is left alone.
const REVISIT: Duration = Duration::from_secs(30);
/// How many accounts are tried out at a time.
const AT_A_TIME: usize = 16;
/// Whom an identity token is for that nobody is shown.
const AUDIENCE: &str = "https://metadata.google.internal";

/// Where the tokens of an account come from.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: String,
    pub(super) credential_type: &'static str,
    pub(super) email: Option<String>,
    pub(super) project: Option<String>,
}

/// An account, and of which kinds its source is to be asked for a token.
struct Patient {
    account: Arc<ServiceAccount>,
    found: Found,
    wants_access: bool,
    wants_id: bool,
}

/// Looks after sources of live tokens.
pub(super) struct Doctor {
    pub(super) accounts: Arc<Accounts>,
    /// What it asks for first tokens. They are nobody's requests.
    pub(super) access: CacheTokens<AccessSource, AccessTokenRequest>,
    pub(super) id: CacheTokens<IdSource, IdTokenRequest>,
    /// Which accounts go without tokens, if anybody wants to know.
    pub(super) metrics: Option<Metrics>,
}

impl Doctor {
    /// Looks at every account once, and then at those that go without or are new, and after the files, for ever.
    pub(super) async fn attend(self: Arc<Self>, reader: Reader) {
        let patients = async {
            self.examine(&reader).await;
            self.revisit(&reader).await;
        };
        tokio::join!(patients, self.look_after_files(&reader));
    }

    async fn look_after_files(self: &Arc<Self>, reader: &Reader) {
        let (mut followed, mut follow) = (Vec::new(), Follow::new(Vec::new()));
        let mut trials = JoinSet::new();
        loop {
            // New credentials may have come with files of their own.
            let files = self.accounts.files();
            if files != followed {
                follow = Follow::new(files.clone());
                followed = files;
            }
            follow.changed().await;
            let (this, reader) = (Arc::clone(self), reader.clone());
            let changed = retrying(move || this.renew(&reader)).await;
            // What was known of the old credentials says nothing of these. The next change need not wait for that.
            let this = Arc::clone(self);
            trials.spawn(async move { this.try_out(changed, true).await });
            while trials.try_join_next().is_some() {}
        }
    }

    /// Takes over what has changed on disk, and says whose credentials are others now. It may block.
    fn renew(&self, reader: &Reader) -> Vec<Patient> {
        let mut changed = Vec::new();
        self.accounts.renew(|good, fate| {
            self.access.revise(fate);
            self.id.revise(fate);
            for account in reader.snapshot().tree().service_accounts() {
                let fate = fate(&account);
                if let (Fate::Forget, Some(metrics)) = (fate, &self.metrics) {
                    metrics.tokens_forgotten(&account.email);
                }
                changed.extend((fate != Fate::Keep).then_some(account));
            }
            if let Some(metrics) = &self.metrics {
                metrics.credential_reload(good);
            }
        });
        changed.into_iter().filter_map(|account| self.patient(account)).collect()
    }

    async fn examine(&self, reader: &Reader) {
        let snapshot = reader.snapshot();
        let project = snapshot.tree().text("project/project-id").filter(|project| !project.is_empty());
        let mut patients = Vec::new();
        for account in snapshot.tree().service_accounts() {
            let Some(patient) = self.patient(Arc::clone(&account)) else {
                tracing::warn!(account = account.email, "no credentials: its tokens are answered 404");
                continue;
            };
            for doubt in doubts(&patient.found, &account, project.as_deref()) {
                tracing::warn!("{doubt}");
            }
            patients.push(patient);
        }
        self.try_out(patients, false).await;
    }

    async fn revisit(&self, reader: &Reader) {
        let Some(metrics) = &self.metrics else { return };
        loop {
            sleep(REVISIT).await;
            let mut unwell = Vec::new();
            for account in reader.snapshot().tree().service_accounts() {
                let wants_access = metrics.is_well(&account.email, AccessTokenRequest::KIND) != Some(true);
                // Nobody may want identity tokens at all.
                let wants_id = metrics.is_well(&account.email, IdTokenRequest::KIND) == Some(false);
                let patient = (wants_access || wants_id).then(|| self.patient(account)).flatten();
                unwell.extend(patient.map(|patient| Patient { wants_access, wants_id, ..patient }));
            }
            // Of a source that has failed since, a token from the cache says nothing.
            self.try_out(unwell, true).await;
        }
    }

    /// An account that has credentials, to be asked for an access token.
    fn patient(&self, account: Arc<ServiceAccount>) -> Option<Patient> {
        let found = self.accounts.found(&account)?;
        Some(Patient { account, found, wants_access: true, wants_id: false })
    }

    /// Asks for tokens of each, for several at a time: one whose source is silent must not keep the log from the others'.
    async fn try_out(&self, patients: Vec<Patient>, anew: bool) {
        let mut asked = JoinSet::new();
        for Patient { account, found, wants_access, wants_id } in patients {
            if asked.len() >= AT_A_TIME {
                asked.join_next().await;
            }
            let found = Arc::new(found);
            if wants_id {
                let request = IdTokenRequest::new(Arc::clone(&account), AUDIENCE);
                asked.spawn(try_out(self.id.clone(), request, Arc::clone(&found), anew));
            }
            if wants_access {
                let scopes = Arc::clone(&account.scopes);
                asked.spawn(try_out(self.access.clone(), AccessTokenRequest::new(account, scopes), found, anew));
            }
        }
        while asked.join_next().await.is_some() {}
    }
}

async fn try_out<S, R>(cache: CacheTokens<S, R>, request: R, found: Arc<Found>, anew: bool)
where
    S: Service<R, Response = R::Token, Error: Into<Failure>, Future: Send> + Clone + Send + Sync + 'static,
    R: TokenRequest,
{
    let Found { file, credential_type, .. } = &*found;
    let (account, kind) = (request.account().email.clone(), R::KIND);
    match if anew { cache.renew(&request).await } else { cache.oneshot(request).await } {
        Ok(_) => tracing::info!(account, kind, credential_type, file, "tokens can be had"),
        Err(error) => tracing::warn!(account, kind, credential_type, file, "no token: {error}"),
    }
}

fn doubts(found: &Found, account: &ServiceAccount, project: Option<&str>) -> Vec<String> {
    let mut doubts = Vec::new();
    if let Some(email) = found.email.as_ref().filter(|email| **email != account.email) {
        doubts.push(format!("{}: credentials of {email} serve {}, as the config calls it", found.file, account.email));
    }
    if let Some(own) = found.project.as_deref().filter(|own| Some(*own) != project) {
        let said = project.map_or_else(|| "has none".to_owned(), |project| format!("says {project}"));
        doubts.push(format!("{}: a key of the project {own}; the config {said}", found.file));
    }
    doubts
}

#[cfg(test)]
mod tests;
