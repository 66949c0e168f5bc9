//! A look at the accounts when the server starts: which of them gets its tokens where, whether a first one could be had, and
//! what credentials and config disagree on. It only tells the log; a network that isn't there yet is no reason not to start.
//! An account that goes without, or that came later, is looked at again: a server that is not ready for want of tokens is
//! asked for none, and would never find out that it is.

use super::accounts::Accounts;
use crate::credentials::cache::Fate;
use crate::follow::Follow;
use crate::metrics::Metrics;
use gce_metadata_routes::token::{AccessTokenRequest, AccessTokenSource};
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

/// Takes from a cache what is not to be served any more.
pub(super) type Revise = Box<dyn Fn(&dyn Fn(&ServiceAccount) -> Fate) + Send + Sync>;

/// Looks after sources of live tokens.
pub(super) struct Doctor {
    pub(super) accounts: Arc<Accounts>,
    /// What it asks for first tokens. They are nobody's requests.
    pub(super) access: AccessTokenSource,
    /// The caches of tokens that older credentials made.
    pub(super) caches: Vec<Revise>,
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
            self.caches.iter().for_each(|revise| revise(fate));
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
        self.try_out(patients).await;
    }

    async fn revisit(&self, reader: &Reader) {
        let Some(metrics) = &self.metrics else { return };
        loop {
            sleep(REVISIT).await;
            let accounts = reader.snapshot().tree().service_accounts().into_iter();
            let unwell = accounts.filter(|account| metrics.is_well(&account.email) != Some(true));
            self.try_out(unwell.filter_map(|account| Some((account.clone(), self.accounts.found(&account)?)))).await;
        }
    }

    /// Asks for a token of each, for several at a time: one whose source is silent must not keep the log from the others'.
    async fn try_out(&self, patients: impl IntoIterator<Item = (Arc<ServiceAccount>, Found)>) {
        let mut asked = JoinSet::new();
        for (account, found) in patients {
            if asked.len() == AT_A_TIME {
                asked.join_next().await;
            }
            asked.spawn(try_out(self.access.clone(), account, found));
        }
        while asked.join_next().await.is_some() {}
    }
}

async fn try_out(source: AccessTokenSource, account: Arc<ServiceAccount>, found: Found) {
    let Found { file, credential_type, .. } = found;
    let (email, scopes) = (account.email.clone(), Arc::clone(&account.scopes));
    match source.oneshot(AccessTokenRequest { account, scopes }).await {
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
mod tests {
    use super::*;
    use crate::credentials::live::{LiveOptions, LiveSource};
    use crate::credentials::observe;
    use gce_metadata_routes::token::{AccessToken, TokenError};
    use gce_metadata_routes::{Metadata, Publisher};
    use std::sync::atomic::{AtomicU64, Ordering};
    use tower::service_fn;

    #[test]
    fn what_disagrees_is_said() {
        let found = |email: &str, project: &str| Found {
            file: "key.json".into(),
            credential_type: "serviceAccountKey",
            email: Some(email.into()),
            project: Some(project.into()),
        };
        let account = ServiceAccount::new("a@example.com", Vec::new(), Vec::new());
        assert!(doubts(&found("a@example.com", "p"), &account, Some("p")).is_empty());
        assert_eq!(doubts(&found("b@example.com", "q"), &account, Some("p")).len(), 2);
        let said = ["key.json: a key of the project p; the config has none"];
        assert_eq!(doubts(&found("a@example.com", "p"), &account, None), said);
    }

    /// Whose credentials are somebody's that is never asked.
    fn accounts() -> Arc<Accounts> {
        let person = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&person, r#"{"type": "authorized_user", "client_id": "c", "refresh_token": "r"}"#).unwrap();
        let source = LiveSource::Impersonate { path: person.path().to_owned() };
        Arc::new(LiveOptions::new(source).accounts().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_goes_without_is_looked_at_until_it_does_not() {
        let metrics = Metrics::new();
        let asked = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&asked);
        let access = service_fn(move |_: AccessTokenRequest| {
            let outcome = match count.fetch_add(1, Ordering::Relaxed) {
                0..3 => Err(TokenError::Unavailable { reason: "no network yet".into() }),
                _ => Ok(AccessToken { token: "t".into(), expires_in: Duration::from_secs(3600) }),
            };
            std::future::ready(outcome)
        });
        let access =
            AccessTokenSource::new(observe::watched(access, "test", Some(metrics.clone())).map_err(TokenError::from));
        let doctor = Doctor { accounts: accounts(), access, caches: Vec::new(), metrics: Some(metrics.clone()) };
        let account = serde_json::json!({"instance": {"serviceAccounts": {"default": {"email": "a@example.com"}}}});
        let publisher = Publisher::new(Metadata::from_json(account).unwrap().tree());
        let reader = publisher.reader();
        doctor.examine(&reader).await;
        assert!(!metrics.tokens_are_well());
        tokio::time::timeout(REVISIT * 10, doctor.revisit(&reader)).await.unwrap_err();
        assert!(metrics.tokens_are_well());
        assert_eq!(asked.load(Ordering::Relaxed), 4, "whoever has tokens is left alone");
        // Whoever comes later is new.
        publisher.set("instance/service-accounts/default/email", "b@example.com").unwrap();
        tokio::time::timeout(REVISIT * 10, doctor.revisit(&reader)).await.unwrap_err();
        assert_eq!(asked.load(Ordering::Relaxed), 5);
    }
    #[tokio::test(start_paused = true)]
    async fn a_silent_source_holds_up_no_other() {
        let access = AccessTokenSource::new(service_fn(|_: AccessTokenRequest| async {
            sleep(Duration::from_secs(30)).await;
            Err(TokenError::Unavailable { reason: "did not answer in time".into() })
        }));
        let doctor = Doctor { accounts: accounts(), access, caches: Vec::new(), metrics: None };
        let names: serde_json::Map<_, _> =
            (0..2 * AT_A_TIME).map(|number| (format!("{number}@example.com"), serde_json::json!({}))).collect();
        let json = serde_json::json!({"instance": {"serviceAccounts": names}});
        let publisher = Publisher::new(Metadata::from_json(json).unwrap().tree());
        let start = tokio::time::Instant::now();
        doctor.examine(&publisher.reader()).await;
        assert_eq!(start.elapsed().as_secs(), 60, "half of them at a time");
    }
}
