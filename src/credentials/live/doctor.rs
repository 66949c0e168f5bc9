//! A look at the accounts when the server starts: which of them gets its tokens where, whether a first one could be had, and
//! what credentials and config disagree on. It only tells the log; a network that isn't there yet is no reason not to start.
//! An account that goes without, or that came later, is looked at again: a server that is not ready for want of tokens is
//! asked for none, and would never find out that it is.

use super::accounts::Accounts;
use super::{AccessSource, IdSource};
use crate::credentials::cache::{CacheTokens, Fate};
use crate::follow::Follow;
use crate::metrics::Metrics;
use gce_metadata_routes::token::{AccessTokenRequest, IdTokenRequest};
use gce_metadata_routes::{Reader, ServiceAccount};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::ServiceExt;

/// How long an account that goes without tokens is left alone.
const REVISIT: Duration = Duration::from_secs(30);
/// How many accounts are tried out at a time.
const AT_A_TIME: usize = 16;

/// Where the tokens of an account come from.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: String,
    pub(super) credential_type: &'static str,
    pub(super) email: Option<String>,
    pub(super) project: Option<String>,
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
        loop {
            // New credentials may have come with files of their own.
            let files = self.accounts.files();
            if files != followed {
                follow = Follow::new(files.clone());
                followed = files;
            }
            follow.changed().await;
            let (this, reader) = (Arc::clone(self), reader.clone());
            _ = tokio::task::spawn_blocking(move || this.renew(&reader)).await;
        }
    }

    /// Takes over what has changed on disk. It may block.
    fn renew(&self, reader: &Reader) {
        self.accounts.renew(|good, fate| {
            self.access.revise(fate);
            self.id.revise(fate);
            let Some(metrics) = &self.metrics else { return };
            metrics.credential_reload(good);
            for account in reader.snapshot().tree().service_accounts() {
                match fate(&account) {
                    Fate::Keep => {}
                    Fate::Renew => metrics.credentials_changed(&account.email),
                    Fate::Forget => metrics.tokens_forgotten(&account.email),
                }
            }
        });
    }

    async fn examine(&self, reader: &Reader) {
        let snapshot = reader.snapshot();
        let project = snapshot.tree().text("project/project-id").filter(|project| !project.is_empty());
        let mut patients = Vec::new();
        for account in snapshot.tree().service_accounts() {
            let Some(found) = self.accounts.found(&account) else {
                tracing::warn!(account = account.email, "no credentials: its tokens are answered 404");
                continue;
            };
            for doubt in doubts(&found, &account, project.as_deref()) {
                tracing::warn!("{doubt}");
            }
            patients.push((account, found));
        }
        self.try_out(patients, false).await;
    }

    async fn revisit(&self, reader: &Reader) {
        let Some(metrics) = &self.metrics else { return };
        loop {
            sleep(REVISIT).await;
            let accounts = reader.snapshot().tree().service_accounts().into_iter();
            let unwell = accounts.filter(|account| metrics.is_well(&account.email) != Some(true));
            // Of a source that has failed since, a token from the cache says nothing.
            self.try_out(unwell.filter_map(|account| Some((account.clone(), self.accounts.found(&account)?))), true)
                .await;
        }
    }

    /// Asks for a token of each, for several at a time: one whose source is silent must not keep the log from the others'.
    async fn try_out(&self, patients: impl IntoIterator<Item = (Arc<ServiceAccount>, Found)>, anew: bool) {
        let mut asked = JoinSet::new();
        for (account, found) in patients {
            if asked.len() == AT_A_TIME {
                asked.join_next().await;
            }
            asked.spawn(try_out(self.access.clone(), account, found, anew));
        }
        while asked.join_next().await.is_some() {}
    }
}

async fn try_out(
    access: CacheTokens<AccessSource, AccessTokenRequest>,
    account: Arc<ServiceAccount>,
    found: Found,
    anew: bool,
) {
    let Found { file, credential_type, .. } = found;
    let (email, scopes) = (account.email.clone(), Arc::clone(&account.scopes));
    let request = AccessTokenRequest::new(account, scopes);
    match if anew { access.renew(&request).await } else { access.oneshot(request).await } {
        Ok(_) => tracing::info!(account = email, credential_type, file, "tokens can be had"),
        Err(error) => tracing::warn!(account = email, credential_type, file, "no token: {error}"),
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
