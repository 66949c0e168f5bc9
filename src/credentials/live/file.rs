//! A credentials file: what is in it becomes token services, and again when it has changed on disk.

mod origin;

pub(super) use origin::Origin;

use super::external::{AwsEnvironment, ExternalAccount};
use super::iam::{self, ImpersonatedServiceAccount};
use super::jwt_bearer::AccessTokenKind;
use super::renewed::{Made, Renewed};
#[cfg(feature = "tpm")]
use super::tpm;
use super::upstream::Upstream;
use super::user::{self, AuthorizedUser};
use super::{CredentialError, Endpoints, Sources, key};
use crate::files::{self, Limit};
#[cfg(feature = "tpm")]
use crate::signer::tpm::{TpmKey, TpmOptions};
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
    /// How to say whose it is.
    pub(super) whose: String,
    /// Whether the credentials are only there to act as the account that is asked for.
    pub(super) acts_as_any: bool,
    /// The only type that will do, at start and ever after.
    pub(super) wanted: Option<Wanted>,
}

/// A type of credentials.
#[derive(Clone)]
pub(super) struct Wanted {
    /// The label of `credential_type`.
    pub(super) credential_type: &'static str,
    pub(super) in_words: &'static str,
}

impl Wanted {
    fn check(&self, opened: Opened) -> Result<Opened, Problem> {
        match opened.credential_type == self.credential_type {
            true => Ok(opened),
            false => Err(format!("credentials of another type; {} is expected here", self.in_words).into()),
        }
    }
}

/// Token services, and what else a file says.
pub(super) struct Opened {
    pub(super) tokens: Sources,
    pub(super) email: Option<String>,
    /// Whose the tokens are, if they are good whatever becomes of the credentials.
    pub(super) owner: Option<Owner>,
    pub(super) project: Option<String>,
    /// The label of `credential_type`.
    pub(super) credential_type: &'static str,
    pub(super) fingerprint: Option<[u8; 32]>,
    /// Whose APIs the tokens are for: other clouds on Google's software have a domain of their own.
    pub(super) universe: String,
    /// Other files that were read for it.
    pub(super) files: Vec<PathBuf>,
}

/// Whose tokens credentials make.
#[derive(PartialEq)]
pub(super) enum Owner {
    /// This account's.
    Account(String),
    /// Those of whichever account is asked for.
    Asked,
}

/// The universe of everybody who doesn't say otherwise.
pub(super) const GOOGLE: &str = "googleapis.com";

impl Opened {
    pub(super) fn new(credential_type: &'static str, tokens: Sources) -> Self {
        Self {
            tokens,
            email: None,
            owner: None,
            project: None,
            credential_type,
            fingerprint: None,
            universe: GOOGLE.to_owned(),
            files: Vec::new(),
        }
    }

    /// Tokens of this account, which are good whatever becomes of the credentials.
    pub(super) fn of(self, email: String) -> Self {
        Self { owner: Some(Owner::Account(email.clone())), email: Some(email), ..self }
    }

    /// Whether tokens of these credentials may serve where those ones make them now.
    pub(super) fn serves_for(&self, other: &Self) -> bool {
        self.owner.is_some() && (&self.owner, &self.universe) == (&other.owner, &other.universe)
    }
}

/// What is wrong with credentials, without secrets.
pub(super) struct Problem {
    pub(super) text: String,
    /// In which it may be put right, beside the credentials' own.
    pub(super) files: Vec<PathBuf>,
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self { text, files: Vec::new() }
    }
}

impl From<&str> for Problem {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Problem {
    /// With the place in front of it.
    pub(super) fn at(self, place: &str) -> Self {
        Self { text: format!("{place}: {}", self.text), ..self }
    }
}

/// Why there are no credentials, and all files in which that may change.
#[derive(Debug)]
pub(super) struct Unusable {
    pub(super) error: CredentialError,
    pub(super) files: Vec<PathBuf>,
}

impl From<Unusable> for CredentialError {
    fn from(unusable: Unusable) -> Self {
        unusable.error
    }
}

/// A file that is read again when it has changed.
pub(super) struct CredentialFile {
    origin: Origin,
    plan: Plan,
    opened: Renewed<Opened>,
}

impl CredentialFile {
    pub(super) fn open(origin: Origin, plan: Plan) -> Result<Arc<Self>, Unusable> {
        let opened = Renewed::new(origin.files(), || read(&origin, &plan))?;
        Ok(Arc::new(Self { origin, plan, opened }))
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// All files in which a change would matter.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.opened.files()
    }

    /// What the file said when it could last be read.
    pub(super) fn current(&self) -> Arc<Opened> {
        self.opened.current()
    }

    /// Takes over what has changed on disk, and says whether it could be if anything has.
    pub(super) fn renew(&self) -> Option<bool> {
        let renewed = self.opened.renew(|_| read(&self.origin, &self.plan))?;
        match &renewed {
            Ok(()) => tracing::info!(file = %self.origin, "new credentials"),
            Err(error) => tracing::warn!("the credentials stay as they were: {error}"),
        }
        Some(renewed.is_ok())
    }
}

fn read(origin: &Origin, plan: &Plan) -> Made<Opened> {
    let opened = match origin {
        Origin::File(path) => read_file(path, plan),
        #[cfg(feature = "tpm")]
        Origin::Handle(handle) => tpm::open(TpmKey::Persistent(*handle), plan).map_err(Problem::from),
        #[cfg(feature = "tpm")]
        Origin::Certificate { key, certificate, audience } => {
            // Its errors are of one file or the other, and its type is the only one there is.
            let opened = tpm::federated(key.clone(), certificate, audience, plan);
            let opened = opened.map_err(|error| Unusable { error, files: origin.files() })?;
            return Ok((opened, Vec::new()));
        }
    };
    let opened = opened.and_then(|opened| match &plan.wanted {
        Some(wanted) => wanted.check(opened),
        None => Ok(opened),
    });
    let opened = opened.map_err(|Problem { text, files }| Unusable {
        error: CredentialError::File { place: origin.to_string(), problem: text },
        files: [origin.files(), files].concat(),
    })?;
    let opened = if plan.acts_as_any { iam::as_any(opened, plan) } else { opened };
    let files = opened.files.clone();
    Ok((opened, files))
}

fn read_file(path: &Path, plan: &Plan) -> Result<Opened, Problem> {
    let bytes = files::read(path, Limit::CREDENTIALS).map(Zeroizing::new).map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "not UTF-8")?;
    // Where a key in a TPM is expected, whatever else it is is wrong in the same way.
    if text.contains("-----BEGIN TSS2") || plan.wanted.as_ref().is_some_and(|it| it.credential_type == "TPM") {
        #[cfg(feature = "tpm")]
        return Ok(tpm::open(TpmKey::File(path.to_owned()), plan)?);
        #[cfg(not(feature = "tpm"))]
        return Err("a key of a TPM, which this build does not know: build with --features tpm".into());
    }
    match text.trim_start().starts_with("-----BEGIN") {
        true => Ok(key::bare(text, plan)?),
        false => open(text.trim_start_matches('\u{feff}'), plan),
    }
}

/// The sources of the kinds that Application Default Credentials have.
pub(super) fn open(json: &str, plan: &Plan) -> Result<Opened, Problem> {
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
        Some("service_account") => Ok(key::open(typed(json)?, plan)?),
        Some("authorized_user") => Ok(user::open(typed::<AuthorizedUser>(json)?, plan)),
        Some("external_account") => typed::<ExternalAccount>(json)?.open(plan),
        Some("impersonated_service_account") => typed::<ImpersonatedServiceAccount<'_>>(json)?.open(plan),
        _ => {
            Err("type: service_account, authorized_user, external_account or impersonated_service_account is expected"
                .into())
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
