//! A credentials file: what is in it becomes token services, and again when it has changed on disk.

use super::external::{AwsEnvironment, ExternalAccount};
use super::iam::{self, ImpersonatedServiceAccount};
use super::jwt_bearer::AccessTokenKind;
use super::upstream::Upstream;
use super::user::{self, AuthorizedUser};
use super::{CredentialError, Endpoints, key};
use crate::files;
use aws_lc_rs::digest;
use gce_metadata_routes::TokenSources;
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// What every credentials file is opened with.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) upstream: Upstream,
    pub(super) endpoints: Endpoints,
    pub(super) kind: AccessTokenKind,
    pub(super) allow_executables: bool,
    pub(super) certificate_config: Option<PathBuf>,
    pub(super) aws: AwsEnvironment,
    /// Whose a key without an e-mail is.
    pub(super) key_email: Option<String>,
    /// Whether the credentials are only there to act as the account that is asked for.
    pub(super) acts_as_any: bool,
}

/// Token services, and what else a file says.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) tokens: TokenSources,
    pub(super) email: Option<String>,
    pub(super) project: Option<String>,
    /// The label of `credential_type`.
    pub(super) credential_type: &'static str,
    pub(super) fingerprint: Option<[u8; 32]>,
    /// Whose APIs the tokens are for: other clouds on Google's software have a domain of their own.
    pub(super) universe: String,
    /// Other files that were read for it.
    pub(super) files: Vec<PathBuf>,
}

/// The universe of everybody who doesn't say otherwise.
pub(super) const GOOGLE: &str = "googleapis.com";

impl Opened {
    pub(super) fn new(credential_type: &'static str, tokens: TokenSources) -> Self {
        Self {
            tokens,
            email: None,
            project: None,
            credential_type,
            fingerprint: None,
            universe: GOOGLE.to_owned(),
            files: Vec::new(),
        }
    }
}

/// A file that is read again when it has changed.
pub(super) struct CredentialFile {
    path: PathBuf,
    plan: Plan,
    current: Mutex<(Contents, Opened)>,
}

impl CredentialFile {
    pub(super) fn open(path: &Path, plan: Plan) -> Result<Arc<Self>, CredentialError> {
        let opened = read(path, &plan)?;
        let contents = Contents::of(path, &opened.files);
        Ok(Arc::new(Self { path: path.to_owned(), plan, current: Mutex::new((contents, opened)) }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// All files in which a change would matter.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        [vec![self.path.clone()], self.current().files].concat()
    }

    /// What the file said when it could last be read.
    pub(super) fn current(&self) -> Opened {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// Takes over what has changed on disk. A file that is gone or has a mistake changes nothing.
    pub(super) fn renew(&self) -> bool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Contents::of(&self.path, &current.1.files);
        if current.0 == now {
            return false;
        }
        // Tried once for each change, good or bad.
        current.0 = now;
        match read(&self.path, &self.plan) {
            Ok(opened) => {
                tracing::info!(file = %self.path.display(), "new credentials");
                *current = (Contents::of(&self.path, &opened.files), opened);
                true
            }
            Err(error) => {
                tracing::warn!("the credentials stay as they were: {error}");
                false
            }
        }
    }
}

/// What files hold, to see whether it is something else by now: a hash, for there are keys in them.
#[derive(PartialEq)]
struct Contents(Vec<Result<Vec<u8>, std::io::ErrorKind>>);

impl Contents {
    fn of(path: &Path, more: &[PathBuf]) -> Self {
        let hash = |path: &Path| match files::read(path).map(Zeroizing::new) {
            Ok(bytes) => Ok(digest::digest(&digest::SHA256, &bytes).as_ref().to_vec()),
            Err(error) => Err(error.kind()),
        };
        Self(std::iter::once(path).chain(more.iter().map(PathBuf::as_path)).map(hash).collect())
    }
}

fn read(path: &Path, plan: &Plan) -> Result<Opened, CredentialError> {
    let wrong = |problem: String| CredentialError::File { path: path.to_owned(), problem };
    let bytes = files::read(path).map(Zeroizing::new).map_err(|error| wrong(error.to_string()))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("not UTF-8".to_owned()))?;
    let opened = match text.trim_start().starts_with("-----BEGIN") {
        true => key::bare(text, plan),
        false => open(text.trim_start_matches('\u{feff}'), plan),
    };
    let opened = opened.map_err(wrong)?;
    Ok(if plan.acts_as_any { iam::as_any(opened, plan) } else { opened })
}

/// The sources of the kinds that Application Default Credentials have.
pub(super) fn open(json: &str, plan: &Plan) -> Result<Opened, String> {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(default)]
        r#type: Value,
    }
    // An error of serde's could quote what it stumbled over.
    let kind: Kind = serde_json::from_str(json).map_err(|error| match error.is_data() {
        true => "a JSON object or a key in PEM is expected".to_owned(),
        false => format!("neither JSON nor a key in PEM (line {}, column {})", error.line(), error.column()),
    })?;
    match kind.r#type.as_str() {
        Some("service_account") => key::open(typed(json)?, plan),
        Some("authorized_user") => Ok(user::open(typed::<AuthorizedUser>(json)?, plan)),
        Some("external_account") => typed::<ExternalAccount>(json)?.open(plan),
        Some("impersonated_service_account") => typed::<ImpersonatedServiceAccount<'_>>(json)?.open(plan),
        _ => {
            Err("type: service_account, authorized_user, external_account or impersonated_service_account is expected"
                .to_owned())
        }
    }
}

/// Says what is missing or at which place something is of the wrong type, and never what is there instead.
fn typed<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, String> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(json)).map_err(|error| {
        let (place, problem) = (error.path().to_string(), error.inner().to_string());
        match problem.split_once(" at line").filter(|_| problem.starts_with("missing field")) {
            Some((missing, _)) => format!("at {place}: {missing}"),
            None => format!("at {place}: something else is expected here"),
        }
    })
}
