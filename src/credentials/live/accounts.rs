//! Which account's tokens come from where. Never from another account's.

use super::CredentialError;
use super::doctor::Found;
use super::file::{CredentialFile, Opened, Origin, Plan, Unusable};
use super::renewed::{Made, Renewed};
use crate::credentials::cache::Fate;
use crate::files::{self, Limit};
use gce_metadata_routes::ServiceAccount;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
        let files = Renewed::new(vec![path.to_owned()], || read(path, plan, &Files::new()))?;
        Ok(Self::Named(Box::new(Named { path: path.to_owned(), plan: plan.clone(), files })))
    }

    fn file(&self, account: &ServiceAccount) -> Option<Arc<CredentialFile>> {
        match self {
            Self::Default(file) => account.is_default().then(|| Arc::clone(file)),
            Self::Every(file) => Some(Arc::clone(file)),
            Self::Named(named) => of(&named.files.current(), account),
        }
    }

    fn all(&self) -> Vec<Arc<CredentialFile>> {
        match self {
            Self::Default(file) | Self::Every(file) => vec![Arc::clone(file)],
            Self::Named(named) => named.files.current().values().cloned().collect(),
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
        let own = if let Self::Named(named) = self { named.files.files() } else { Vec::new() };
        own.into_iter().chain(self.all().iter().flat_map(|file| file.files())).collect()
    }

    /// Takes over what has changed on disk. Of each change `settle` learns whether it could be taken over, and what becomes of
    /// each account's tokens.
    pub(super) fn renew(&self, mut settle: impl FnMut(bool, &dyn Fn(&ServiceAccount) -> Fate)) {
        if let Self::Named(named) = self {
            let before = named.files.current();
            if let Some(good) = named.renew() {
                let after = named.files.current();
                let opened = |files: &Files, account: &_| of(files, account).map(|file| file.current());
                settle(good, &|account| fate(opened(&before, account), opened(&after, account)));
            }
        }
        for file in self.all() {
            let before = file.current();
            if let Some(good) = file.renew() {
                let after = file.current();
                let is_its = |account: &_| self.file(account).is_some_and(|its| Arc::ptr_eq(&its, &file));
                settle(good, &|account| match is_its(account) {
                    true => fate(Some(Arc::clone(&before)), Some(Arc::clone(&after))),
                    false => Fate::Keep,
                });
            }
        }
    }
}

/// What becomes of the tokens of an account whose credentials were these and are those.
fn fate(before: Option<Arc<Opened>>, after: Option<Arc<Opened>>) -> Fate {
    match (before, after) {
        (None, None) => Fate::Keep,
        (Some(before), Some(after)) if Arc::ptr_eq(&before, &after) => Fate::Keep,
        (Some(before), Some(after)) if before.serves_for(&after) => Fate::Renew,
        _ => Fate::Forget,
    }
}

/// A file that names the others.
pub(super) struct Named {
    path: PathBuf,
    plan: Plan,
    files: Renewed<Files>,
}

/// By the names of their accounts.
type Files = BTreeMap<String, Arc<CredentialFile>>;

/// The file of an account, by whichever of its names.
fn of(files: &Files, account: &ServiceAccount) -> Option<Arc<CredentialFile>> {
    let mut names = [&account.email].into_iter().chain(&account.aliases);
    names.find_map(|name| files.get(name).cloned())
}

impl Named {
    fn renew(&self) -> Option<bool> {
        let renewed = self.files.renew(|before| read(&self.path, &self.plan, before))?;
        match &renewed {
            Ok(()) => tracing::info!(file = %self.path.display(), "new accounts"),
            Err(error) => tracing::warn!("the accounts stay as they were: {error}"),
        }
        Some(renewed.is_ok())
    }
}

/// What was open before under the same name stays so.
fn read(path: &Path, plan: &Plan, before: &Files) -> Made<Files> {
    let wrong_at = |place: &str, problem: String| {
        let error = CredentialError::File { place: format!("{}{place}", path.display()), problem };
        Unusable { error, files: Vec::new() }
    };
    let text = files::read(path, Limit::CREDENTIALS).map_err(|error| wrong_at("", error.to_string()))?;
    let names = names(&text).map_err(|(place, problem)| wrong_at(&place, problem))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let open = |(name, file): (String, PathBuf)| {
        let origin = Origin::File(folder.join(file));
        if let Some(known) = before.get(&name).filter(|known| *known.origin() == origin) {
            return Ok((name, Arc::clone(known)));
        }
        let plan = Plan {
            key_email: name.contains('@').then(|| name.clone()),
            whose: format!("give its account's e-mail, instead of `{name}`, in {}", path.display()),
            ..plan.clone()
        };
        Ok((name, CredentialFile::open(origin, plan)?))
    };
    Ok((names.into_iter().map(open).collect::<Result<_, Unusable>>()?, Vec::new()))
}

/// The files by account, or the line and column of what is wrong, and what is.
fn names(text: &[u8]) -> Result<BTreeMap<String, PathBuf>, (String, String)> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let names = serde_path_to_error::deserialize(&mut deserializer);
    let names = names.map_err(|error| (error.path().to_string(), error.into_inner()));
    let names = names.and_then(|names| deserializer.end().map(|()| names).map_err(|error| (String::new(), error)));
    names.map_err(|(key, error)| {
        let problem = match &*key {
            _ if !error.is_data() => error.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
            "." => "an object is expected: a credentials file by the e-mail of each account".to_owned(),
            // Of what is there instead nothing is said: it could be a key.
            key => format!("at {key}: the path of a credentials file is expected"),
        };
        (format!(":{}:{}", error.line(), error.column()), problem)
    })
}
