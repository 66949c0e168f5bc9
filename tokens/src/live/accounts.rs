//! The assignment of credentials files to accounts. An account never gets the tokens of another account.

use super::error::{CredentialError, Unusable};
use super::file::CredentialFile;
use super::loaded::LoadedCredentials;
use super::location::Location;
use super::open_context::OpenContext;
use super::reloadable::{Loaded, Reloadable};
use crate::cache::Invalidation;
use gce_metadata_routes::ServiceAccount;
use gce_metadata_support::file::{self, Limit};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The accounts and their credentials files.
pub(super) enum Accounts {
    /// One file for the default account. Other accounts get no tokens.
    Default(Arc<CredentialFile>),
    /// One file for all accounts.
    Every(Arc<CredentialFile>),
    /// A file for each account.
    Named(Box<Named>),
}

/// A summary of an account's credentials, for the log.
#[derive(Debug)]
pub(super) struct CredentialSummary {
    pub(super) file: String,
    pub(super) credential_type: &'static str,
    pub(super) email: Option<String>,
    pub(super) project: Option<String>,
}

impl Accounts {
    pub(super) fn named(path: &Path, context: &OpenContext) -> Result<Self, CredentialError> {
        let files = Reloadable::new(vec![path.to_owned()], || read(path, context, &Files::new()))?;
        Ok(Self::Named(Box::new(Named { path: path.to_owned(), context: context.clone(), files })))
    }

    fn file(&self, account: &ServiceAccount) -> Option<Arc<CredentialFile>> {
        match self {
            Self::Default(file) => account.is_default().then(|| Arc::clone(file)),
            Self::Every(file) => Some(Arc::clone(file)),
            Self::Named(named) => file_of(&named.files.current(), account),
        }
    }

    fn all(&self) -> Vec<Arc<CredentialFile>> {
        match self {
            Self::Default(file) | Self::Every(file) => vec![Arc::clone(file)],
            Self::Named(named) => named.files.current().values().cloned().collect(),
        }
    }

    /// The account's current credentials.
    pub(super) fn current(&self, account: &ServiceAccount) -> Option<Arc<LoadedCredentials>> {
        self.file(account).map(|file| file.current())
    }

    /// The credentials of the only file; `None` if each account has its own.
    pub(super) fn only(&self) -> Option<Arc<LoadedCredentials>> {
        match self {
            Self::Default(file) | Self::Every(file) => Some(file.current()),
            Self::Named(_) => None,
        }
    }

    pub(super) fn summary(&self, account: &ServiceAccount) -> Option<CredentialSummary> {
        let file = self.file(account)?;
        let loaded = file.current();
        Some(CredentialSummary {
            file: file.location().to_string(),
            credential_type: loaded.credential_type,
            email: loaded.email.clone(),
            project: loaded.project.clone(),
        })
    }

    /// All files whose changes cause a reload.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let own = if let Self::Named(named) = self { named.files.files() } else { Vec::new() };
        own.into_iter().chain(self.all().iter().flat_map(|file| file.files())).collect()
    }

    /// Reloads changed files. After each reload it calls `apply` with whether the reload succeeded, and with the
    /// invalidation of each account's tokens.
    pub(super) fn reload(&self, mut apply: impl FnMut(bool, &dyn Fn(&ServiceAccount) -> Invalidation)) {
        if let Self::Named(named) = self {
            let before = named.files.current();
            if let Some(ok) = named.reload() {
                let after = named.files.current();
                let loaded = |files: &Files, account: &_| file_of(files, account).map(|file| file.current());
                apply(ok, &|account| invalidation(loaded(&before, account), loaded(&after, account)));
            }
        }
        for file in self.all() {
            let before = file.current();
            if let Some(ok) = file.reload() {
                let after = file.current();
                let uses_file = |account: &_| self.file(account).is_some_and(|used| Arc::ptr_eq(&used, &file));
                apply(ok, &|account| match uses_file(account) {
                    true => invalidation(Some(Arc::clone(&before)), Some(Arc::clone(&after))),
                    false => Invalidation::Keep,
                });
            }
        }
    }
}

/// The invalidation of an account's tokens when its credentials `before` are replaced by `after`.
fn invalidation(before: Option<Arc<LoadedCredentials>>, after: Option<Arc<LoadedCredentials>>) -> Invalidation {
    match (before, after) {
        (None, None) => Invalidation::Keep,
        (Some(before), Some(after)) if Arc::ptr_eq(&before, &after) => Invalidation::Keep,
        (Some(before), Some(after)) if before.serves_for(&after) => Invalidation::Refresh,
        _ => Invalidation::Evict,
    }
}

/// The file of `--credentials`, which names the credentials file of each account.
pub(super) struct Named {
    path: PathBuf,
    context: OpenContext,
    files: Reloadable<Files>,
}

/// Credentials files by the e-mail or alias of their account.
type Files = BTreeMap<String, Arc<CredentialFile>>;

/// The file of an account, by its e-mail or one of its aliases.
fn file_of(files: &Files, account: &ServiceAccount) -> Option<Arc<CredentialFile>> {
    let mut names = [&account.email].into_iter().chain(&account.aliases);
    names.find_map(|name| files.get(name).cloned())
}

impl Named {
    fn reload(&self) -> Option<bool> {
        let reloaded = self.files.reload(|before| read(&self.path, &self.context, before))?;
        match &reloaded {
            Ok(()) => tracing::info!(file = %self.path.display(), "credentials of accounts reloaded"),
            Err(error) => tracing::warn!("credentials of accounts not reloaded, keeping the previous ones: {error}"),
        }
        Some(reloaded.is_ok())
    }
}

/// Reads the file, and opens the credentials files that it names. A file that is already open for the same account is
/// kept.
fn read(path: &Path, context: &OpenContext, before: &Files) -> Loaded<Files> {
    let unusable = |position: &str, problem: String| {
        let error = CredentialError::File { place: format!("{}{position}", path.display()), problem };
        Unusable { error, files: Vec::new() }
    };
    let text = file::read(path, Limit::CREDENTIALS).map_err(|error| unusable("", error.to_string()))?;
    let names = names(&text).map_err(|(position, problem)| unusable(&position, problem))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let open = |(name, file): (String, PathBuf)| {
        let location = Location::File(folder.join(file));
        if let Some(known) = before.get(&name).filter(|known| *known.location() == location) {
            return Ok((name, Arc::clone(known)));
        }
        let context = OpenContext {
            key_email: name.contains('@').then(|| name.clone()),
            key_email_hint: format!("give its account's e-mail, instead of `{name}`, in {}", path.display()),
            ..context.clone()
        };
        Ok((name, CredentialFile::open(location, context)?))
    };
    Ok((names.into_iter().map(open).collect::<Result<_, Unusable>>()?, Vec::new()))
}

/// Parses the files by account. An error is the position of a mistake (`:LINE:COLUMN`) and the problem.
fn names(text: &[u8]) -> Result<BTreeMap<String, PathBuf>, (String, String)> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let names = serde_path_to_error::deserialize(&mut deserializer);
    let names = names.map_err(|error| (error.path().to_string(), error.into_inner()));
    let names = names.and_then(|names| deserializer.end().map(|()| names).map_err(|error| (String::new(), error)));
    names.map_err(|(key, error)| {
        let problem = match &*key {
            _ if !error.is_data() => error.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
            "." => "an object is expected: a credentials file by the e-mail of each account".to_owned(),
            // The value is not quoted: it could be a key.
            key => format!("at {key}: the path of a credentials file is expected"),
        };
        (format!(":{}:{}", error.line(), error.column()), problem)
    })
}
