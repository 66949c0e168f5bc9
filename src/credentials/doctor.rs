//! A look at the accounts when the server starts: which of them gets its tokens where, whether a first one could be had, and
//! what credentials and config disagree on. It only tells the log; a network that isn't there yet is no reason not to start.

use super::cache::Forget;
use crate::follow::Follow;
use gce_metadata_routes::token::AccessTokenRequest;
use gce_metadata_routes::{Reader, ServiceAccount, TokenSources};
use std::path::PathBuf;
use std::sync::Arc;
use tower::ServiceExt;

/// Where the tokens of an account come from.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) file: String,
    pub(crate) credential_type: &'static str,
    pub(crate) email: Option<String>,
    pub(crate) project: Option<String>,
}

/// Where the tokens of an account come from, if from anywhere.
pub(crate) type Find = Arc<dyn Fn(&ServiceAccount) -> Option<Found> + Send + Sync>;

/// Looks after sources of live tokens.
#[derive(Clone)]
pub(crate) struct Doctor {
    pub(crate) tokens: TokenSources,
    pub(crate) found: Find,
    /// In which a change would matter.
    pub(crate) files: Arc<dyn Fn() -> Vec<PathBuf> + Send + Sync>,
    /// Takes over what has changed on disk, and says whether anything has. It may block.
    pub(crate) renew: Arc<dyn Fn() -> bool + Send + Sync>,
    /// The caches of tokens that the old credentials made.
    pub(crate) caches: Vec<Forget>,
}

impl Doctor {
    /// Looks at every account once, and then after the files for ever.
    pub(crate) async fn attend(self, reader: Reader) {
        tokio::join!(self.examine(reader), self.look_after_files());
    }

    async fn look_after_files(&self) {
        let (mut followed, mut follow) = (Vec::new(), Follow::new(Vec::new()));
        loop {
            // New credentials may have come with files of their own.
            let files = (self.files)();
            if files != followed {
                follow = Follow::new(files.clone());
                followed = files;
            }
            follow.changed().await;
            let renew = Arc::clone(&self.renew);
            if tokio::task::spawn_blocking(move || renew()).await.unwrap_or(false) {
                self.caches.iter().for_each(Forget::now);
            }
        }
    }

    async fn examine(&self, reader: Reader) {
        let snapshot = reader.snapshot();
        let project = snapshot.tree().text("project/project-id").unwrap_or_default();
        for account in snapshot.tree().service_accounts() {
            let found = (self.found)(&account);
            let Some(found) = found else {
                tracing::warn!(account = account.email, "no credentials: its tokens are answered 404");
                continue;
            };
            for doubt in doubts(&found, &account, &project) {
                tracing::warn!("{doubt}");
            }
            let (file, credential_type) = (found.file, found.credential_type);
            let Some(source) = self.tokens.access.clone() else { continue };
            let (email, scopes) = (account.email.clone(), Arc::clone(&account.scopes));
            match source.oneshot(AccessTokenRequest { account, scopes }).await {
                Ok(_) => tracing::info!(account = email, credential_type, file, "tokens can be had"),
                Err(error) => tracing::warn!(account = email, credential_type, file, "no first token: {error}"),
            }
        }
    }
}

fn doubts(found: &Found, account: &ServiceAccount, project: &str) -> Vec<String> {
    let mut doubts = Vec::new();
    if let Some(email) = found.email.as_ref().filter(|email| **email != account.email) {
        doubts.push(format!("{}: credentials of {email} serve {}, as the config calls it", found.file, account.email));
    }
    if let Some(own) = found.project.as_ref().filter(|own| *own != project) {
        doubts.push(format!("{}: a key of the project {own}; the config says {project}", found.file));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_disagrees_is_said() {
        let found = |email: &str, project: &str| Found {
            file: "key.json".into(),
            credential_type: "serviceAccountKey",
            email: Some(email.into()),
            project: Some(project.into()),
        };
        let account = ServiceAccount::new("a@example.com", Vec::new(), Vec::new());
        assert!(doubts(&found("a@example.com", "p"), &account, "p").is_empty());
        assert_eq!(doubts(&found("b@example.com", "q"), &account, "p").len(), 2);
    }
}
