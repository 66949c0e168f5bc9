//! Which account's tokens come from where. Never from another account's.

use super::CredentialError;
use super::file::{CredentialFile, Opened, Origin, Plan, Unusable};
use super::seen::Seen;
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
        let seen = Mutex::new(Seen::of([path.to_owned()]));
        let current = Mutex::new(Arc::new(read(path, plan, &Files::new())?));
        Ok(Self::Named(Box::new(Named { path: path.to_owned(), plan: plan.clone(), current, seen })))
    }

    fn file(&self, account: &ServiceAccount) -> Option<Arc<CredentialFile>> {
        let mut names = [&account.email].into_iter().chain(&account.aliases);
        match self {
            Self::Default(file) => account.is_default().then(|| Arc::clone(file)),
            Self::Every(file) => Some(Arc::clone(file)),
            Self::Named(named) => {
                let files = named.current();
                names.find_map(|name| files.get(name).cloned())
            }
        }
    }

    /// What the account's tokens come from now.
    pub(super) fn current(&self, account: &ServiceAccount) -> Option<Arc<Opened>> {
        self.file(account).map(|file| file.current())
    }

    /// The one file, if there is one for all.
    pub(super) fn only(&self) -> Option<Arc<Opened>> {
        match self {
            Self::Default(file) | Self::Every(file) => Some(file.current()),
            Self::Named(_) => None,
        }
    }

    pub(super) fn found(&self, account: &ServiceAccount) -> Option<Found> {
        let file = self.file(account)?;
        let opened = file.current();
        Some(Found {
            file: file.origin().to_string(),
            credential_type: opened.credential_type,
            email: opened.email.clone(),
            project: opened.project.clone(),
        })
    }

    /// All files in which a change would matter.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Default(file) | Self::Every(file) => file.files(),
            Self::Named(named) => {
                let accounts = named.current();
                named.files().into_iter().chain(accounts.values().flat_map(|file| file.files())).collect()
            }
        }
    }

    /// Takes over what has changed on disk, and says of each change whether it could be.
    pub(super) fn renew(&self) -> Vec<bool> {
        match self {
            Self::Default(file) | Self::Every(file) => file.renew().into_iter().collect(),
            Self::Named(named) => {
                let renewed = named.renew();
                renewed.into_iter().chain(named.current().values().filter_map(|file| file.renew())).collect()
            }
        }
    }
}

/// A file that names the others.
pub(super) struct Named {
    path: PathBuf,
    plan: Plan,
    /// Locked for as long as a look takes: requests wait for it.
    current: Mutex<Arc<Files>>,
    /// Locked for as long as the disk takes: only who looks after the files waits for it.
    seen: Mutex<Seen>,
}

/// By the names of their accounts.
type Files = BTreeMap<String, Arc<CredentialFile>>;

impl Named {
    fn current(&self) -> Arc<Files> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// It, and whatever keeps it from being taken over.
    fn files(&self) -> Vec<PathBuf> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).files().cloned().collect()
    }

    /// A mistake changes nothing.
    fn renew(&self) -> Option<bool> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = seen.again()?;
        let own = self.path.clone();
        match read(&self.path, &self.plan, &self.current()) {
            Ok(files) => {
                tracing::info!(file = %self.path.display(), "new accounts");
                *seen = now.with_files([own]);
                let new = Arc::new(files);
                let old = std::mem::replace(&mut *self.current.lock().unwrap_or_else(PoisonError::into_inner), new);
                // What goes with it may take its time, so not while anything is locked.
                drop(seen);
                drop(old);
                Some(true)
            }
            Err(Unusable { error, files }) => {
                tracing::warn!("the accounts stay as they were: {error}");
                *seen = now.with_files(std::iter::once(own).chain(files));
                Some(false)
            }
        }
    }
}

/// What was open before under the same name stays so.
fn read(path: &Path, plan: &Plan, before: &Files) -> Result<Files, Unusable> {
    let wrong = |problem: String| {
        let error = CredentialError::File { place: path.display().to_string(), problem };
        Unusable { error, files: Vec::new() }
    };
    let text = files::read(path).map_err(|error| wrong(error.to_string()))?;
    let names: BTreeMap<String, PathBuf> = serde_json::from_slice(&text)
        .map_err(|_| wrong("an object is expected: a credentials file by the e-mail of each account".to_owned()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let open = |(name, file): (String, PathBuf)| {
        let origin = Origin::File(folder.join(file));
        if let Some(known) = before.get(&name).filter(|known| *known.origin() == origin) {
            return Ok((name, Arc::clone(known)));
        }
        let plan = Plan { key_email: name.contains('@').then(|| name.clone()), ..plan.clone() };
        Ok((name, CredentialFile::open(origin, plan)?))
    };
    names.into_iter().map(open).collect()
}
