//! A credentials file: what is in it becomes token services, and again when it has changed on disk.

use super::external::{AwsEnvironment, ExternalAccount};
use super::iam::{self, ImpersonatedServiceAccount};
use super::jwt_bearer::AccessTokenKind;
#[cfg(feature = "tpm")]
use super::tpm;
use super::upstream::Upstream;
use super::user::{self, AuthorizedUser};
use super::{CredentialError, Endpoints, key};
use crate::files;
#[cfg(feature = "tpm")]
use crate::signer::tpm::{TpmKey, TpmOptions};
use aws_lc_rs::digest;
use gce_metadata_routes::TokenSources;
use serde::Deserialize;
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// What every credentials file is opened with.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) upstream: Upstream,
    pub(super) endpoints: Endpoints,
    pub(super) kind: Option<AccessTokenKind>,
    pub(super) allow_executables: bool,
    pub(super) certificate_config: Option<PathBuf>,
    pub(super) aws: AwsEnvironment,
    #[cfg(feature = "tpm")]
    pub(super) tpm: TpmOptions,
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

/// Where credentials are.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Origin {
    File(PathBuf),
    /// A key in a TPM that no file stands for.
    #[cfg(feature = "tpm")]
    Handle(u32),
    /// A certificate, and its key in a TPM.
    #[cfg(feature = "tpm")]
    Certificate {
        key: TpmKey,
        certificate: PathBuf,
        audience: String,
    },
}

impl Origin {
    #[cfg(feature = "tpm")]
    pub(super) fn of(key: TpmKey) -> Self {
        match key {
            TpmKey::Persistent(handle) => Self::Handle(handle),
            TpmKey::File(path) => Self::File(path),
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::File(path) => vec![path.clone()],
            #[cfg(feature = "tpm")]
            Self::Handle(_) => Vec::new(),
            #[cfg(feature = "tpm")]
            Self::Certificate { key, certificate, .. } => {
                [Self::of(key.clone()).files(), vec![certificate.clone()]].concat()
            }
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            #[cfg(feature = "tpm")]
            Self::Handle(handle) => write!(f, "the TPM's handle {handle:#x}"),
            #[cfg(feature = "tpm")]
            Self::Certificate { certificate, .. } => certificate.display().fmt(f),
        }
    }
}

/// A file that is read again when it has changed.
pub(super) struct CredentialFile {
    origin: Origin,
    plan: Plan,
    current: Mutex<(Contents, Opened)>,
}

impl CredentialFile {
    pub(super) fn open(origin: Origin, plan: Plan) -> Result<Arc<Self>, CredentialError> {
        let opened = read(&origin, &plan)?;
        let contents = Contents::of(&origin, &opened.files);
        Ok(Arc::new(Self { origin, plan, current: Mutex::new((contents, opened)) }))
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// All files in which a change would matter.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        [self.origin.files(), self.current().files].concat()
    }

    /// What the file said when it could last be read.
    pub(super) fn current(&self) -> Opened {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// Takes over what has changed on disk. A file that is gone or has a mistake changes nothing.
    pub(super) fn renew(&self) -> bool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Contents::of(&self.origin, &current.1.files);
        if current.0 == now {
            return false;
        }
        // Tried once for each change, good or bad.
        current.0 = now;
        match read(&self.origin, &self.plan) {
            Ok(opened) => {
                tracing::info!(file = %self.origin, "new credentials");
                *current = (Contents::of(&self.origin, &opened.files), opened);
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
    fn of(origin: &Origin, more: &[PathBuf]) -> Self {
        let hash = |path: &PathBuf| match files::read(path).map(Zeroizing::new) {
            Ok(bytes) => Ok(digest::digest(&digest::SHA256, &bytes).as_ref().to_vec()),
            Err(error) => Err(error.kind()),
        };
        Self(origin.files().iter().chain(more).map(hash).collect())
    }
}

fn read(origin: &Origin, plan: &Plan) -> Result<Opened, CredentialError> {
    let opened = match origin {
        Origin::File(path) => read_file(path, plan),
        #[cfg(feature = "tpm")]
        Origin::Handle(handle) => tpm::open(TpmKey::Persistent(*handle), plan),
        #[cfg(feature = "tpm")]
        Origin::Certificate { key, certificate, audience } => tpm::federated(key.clone(), certificate, audience, plan),
    };
    let opened = opened.map_err(|problem| CredentialError::File { place: origin.to_string(), problem })?;
    Ok(if plan.acts_as_any { iam::as_any(opened, plan) } else { opened })
}

fn read_file(path: &Path, plan: &Plan) -> Result<Opened, String> {
    let bytes = files::read(path).map(Zeroizing::new).map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "not UTF-8".to_owned())?;
    if text.contains("-----BEGIN TSS2") {
        #[cfg(feature = "tpm")]
        return tpm::open(TpmKey::File(path.to_owned()), plan);
        #[cfg(not(feature = "tpm"))]
        return Err("a key of a TPM, which this build does not know: build with --features tpm".to_owned());
    }
    match text.trim_start().starts_with("-----BEGIN") {
        true => key::bare(text, plan),
        false => open(text.trim_start_matches('\u{feff}'), plan),
    }
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
