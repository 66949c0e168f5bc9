//! Which account's tokens come from where. Never from another account's.

use super::CredentialError;
use super::file::{CredentialFile, Opened, Origin, Plan};
use crate::credentials::doctor::Found;
use crate::files;
use gce_metadata_routes::ServiceAccount;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub(super) enum Accounts {
    /// One file is the default account's, and the others have none.
    Default(Arc<CredentialFile>),
    /// One file is everybody's.
    Every(Arc<CredentialFile>),
    /// Each account has a file of its own.
    Named(Box<Named>),
}

impl Accounts {
    pub(super) fn named(path: &Path, plan: &Plan) -> Result<Self, CredentialError> {
        let read = Files::read(path, plan, &Files::default())?;
        Ok(Self::Named(Box::new(Named { path: path.to_owned(), plan: plan.clone(), current: Mutex::new(read) })))
    }

    fn file(&self, account: &ServiceAccount) -> Option<Arc<CredentialFile>> {
        let mut names = [&account.email].into_iter().chain(&account.aliases);
        match self {
            Self::Default(file) => account.is_default().then(|| Arc::clone(file)),
            Self::Every(file) => Some(Arc::clone(file)),
            Self::Named(named) => {
                let files = named.current().by_name;
                names.find_map(|name| files.get(name).cloned())
            }
        }
    }

    /// What the account's tokens come from now.
    pub(super) fn current(&self, account: &ServiceAccount) -> Option<Opened> {
        self.file(account).map(|file| file.current())
    }

    /// The one file, if there is one for all.
    pub(super) fn only(&self) -> Option<Opened> {
        match self {
            Self::Default(file) | Self::Every(file) => Some(file.current()),
            Self::Named(_) => None,
        }
    }

    pub(super) fn found(&self, account: &ServiceAccount) -> Option<Found> {
        let file = self.file(account)?;
        let Opened { credential_type, email, project, .. } = file.current();
        Some(Found { file: file.origin().to_string(), credential_type, email, project })
    }

    /// All files in which a change would matter.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Default(file) | Self::Every(file) => file.files(),
            Self::Named(named) => {
                let of_accounts = named.current().by_name.into_values().flat_map(|file| file.files());
                std::iter::once(named.path.clone()).chain(of_accounts).collect()
            }
        }
    }

    /// Takes over what has changed on disk, and says whether anything has.
    pub(super) fn renew(&self) -> bool {
        match self {
            Self::Default(file) | Self::Every(file) => file.renew(),
            Self::Named(named) => {
                let renewed = named.renew();
                named.current().by_name.values().filter(|file| file.renew()).count() > 0 || renewed
            }
        }
    }
}

/// A file that names the others.
pub(super) struct Named {
    path: PathBuf,
    plan: Plan,
    current: Mutex<Files>,
}

#[derive(Clone, Default)]
struct Files {
    /// What was read last, good or bad. There are only names in it.
    text: Vec<u8>,
    by_name: BTreeMap<String, Arc<CredentialFile>>,
}

impl Named {
    fn current(&self) -> Files {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A mistake changes nothing.
    fn renew(&self) -> bool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let text = files::read(&self.path).unwrap_or_default();
        if text == current.text {
            return false;
        }
        current.text = text;
        match Files::read(&self.path, &self.plan, &current) {
            Ok(files) => {
                tracing::info!(file = %self.path.display(), "new accounts");
                *current = files;
                true
            }
            Err(error) => {
                tracing::warn!("the accounts stay as they were: {error}");
                false
            }
        }
    }
}

impl Files {
    /// What was open before under the same name stays so.
    fn read(path: &Path, plan: &Plan, before: &Self) -> Result<Self, CredentialError> {
        let wrong = |problem: String| CredentialError::File { place: path.display().to_string(), problem };
        let text = files::read(path).map_err(|error| wrong(error.to_string()))?;
        let names: BTreeMap<String, PathBuf> = serde_json::from_slice(&text)
            .map_err(|_| wrong("an object is expected: a credentials file by the e-mail of each account".to_owned()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let open = |(name, file): (String, PathBuf)| {
            let origin = Origin::File(folder.join(file));
            if let Some(known) = before.by_name.get(&name).filter(|known| *known.origin() == origin) {
                return Ok((name, Arc::clone(known)));
            }
            let plan = Plan { key_email: name.contains('@').then(|| name.clone()), ..plan.clone() };
            Ok((name, CredentialFile::open(origin, plan)?))
        };
        Ok(Self { by_name: names.into_iter().map(open).collect::<Result<_, _>>()?, text })
    }
}
