//! A credentials file: opened as token services, and reloaded when it changes.

#[cfg(feature = "device")]
use super::device;
#[cfg(feature = "tpm")]
use super::device::DeviceKey;
use super::error::{CredentialError, Problem, Unusable};
use super::external::ExternalAccount;
use super::iam::{self, ImpersonatedServiceAccount};
use super::key;
use super::loaded::LoadedCredentials;
use super::location::Location;
use super::open_context::OpenContext;
#[cfg(feature = "pkcs11")]
use super::pkcs11::Pkcs11Account;
use super::reloadable::{Loaded, Reloadable};
use super::user::{self, AuthorizedUser};
#[cfg(feature = "tpm")]
use gce_metadata_signer::tpm::TpmKey;
use gce_metadata_support::file::{self, Limit};
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// A credentials file that is reloaded when it changes.
pub(super) struct CredentialFile {
    location: Location,
    context: OpenContext,
    loaded: Reloadable<LoadedCredentials>,
}

impl CredentialFile {
    pub(super) fn open(location: Location, context: OpenContext) -> Result<Arc<Self>, Unusable> {
        let loaded = Reloadable::new(location.files(&context), || read(&location, &context))?;
        Ok(Arc::new(Self { location, context, loaded }))
    }

    pub(super) fn location(&self) -> &Location {
        &self.location
    }

    /// All files whose changes cause a reload.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.loaded.files()
    }

    /// The credentials that were last loaded successfully.
    pub(super) fn current(&self) -> Arc<LoadedCredentials> {
        self.loaded.current()
    }

    /// Reloads the file if it has changed, and returns whether that succeeded.
    pub(super) fn reload(&self) -> Option<bool> {
        let reloaded = self.loaded.reload(|_| read(&self.location, &self.context))?;
        match &reloaded {
            Ok(()) => tracing::info!(file = %self.location, "credentials reloaded"),
            Err(error) => tracing::warn!("credentials not reloaded, keeping the previous ones: {error}"),
        }
        Some(reloaded.is_ok())
    }
}

fn read(location: &Location, context: &OpenContext) -> Loaded<LoadedCredentials> {
    let loaded = match location {
        Location::File(path) => read_file(path, context),
        #[cfg(feature = "device")]
        Location::Device(key) => device::open(key, context).map_err(Problem::from),
        #[cfg(feature = "device")]
        Location::Certificate { key, certificate, audience } => {
            // Its errors already name the key or the certificate, and its type needs no check.
            let loaded = device::federated(key, certificate, audience, context);
            let loaded = loaded.map_err(|error| Unusable { error, files: location.files(context) })?;
            return Ok((loaded, Vec::new()));
        }
    };
    let loaded = loaded.and_then(|loaded| match &context.expected {
        Some(expected) => expected.check(loaded),
        None => Ok(loaded),
    });
    let loaded = loaded.map_err(|Problem { text, files }| Unusable {
        error: CredentialError::File { place: location.to_string(), problem: text },
        files: [location.files(context), files].concat(),
    })?;
    let loaded = if context.acts_as_any { iam::as_any(loaded, context) } else { loaded };
    let files = loaded.files.clone();
    Ok((loaded, files))
}

fn read_file(path: &Path, context: &OpenContext) -> Result<LoadedCredentials, Problem> {
    let bytes = file::read(path, Limit::CREDENTIALS).map(Zeroizing::new).map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "not UTF-8")?;
    // If a key in a TPM is expected, `device::open` reports other content.
    if text.contains("-----BEGIN TSS2") || context.expected.as_ref().is_some_and(|it| it.credential_type == "TPM") {
        #[cfg(feature = "tpm")]
        return Ok(device::open(&DeviceKey::Tpm(TpmKey::File(path.to_owned())), context)?);
        #[cfg(not(feature = "tpm"))]
        return Err("a key of a TPM, which this build does not support: build with --features tpm".into());
    }
    match text.trim_start().starts_with("-----BEGIN") {
        true => Ok(key::bare(text, context)?),
        false => open(text.trim_start_matches('\u{feff}'), context),
    }
}

/// Opens credentials of every type of Application Default Credentials.
fn open(json: &str, context: &OpenContext) -> Result<LoadedCredentials, Problem> {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(default)]
        r#type: Value,
    }
    // serde's own error could quote a secret.
    let kind: Kind = serde_json::from_str(json).map_err(|error| match error.is_data() {
        true => "a JSON object or a key in PEM is expected".to_owned(),
        false => format!("neither JSON nor a key in PEM (line {}, column {})", error.line(), error.column()),
    })?;
    match kind.r#type.as_str() {
        Some("service_account") => Ok(key::open(typed(json)?, context)?),
        Some("authorized_user") => Ok(user::open(typed::<AuthorizedUser>(json)?, context)),
        Some("external_account") => typed::<ExternalAccount>(json)?.open(context),
        Some("impersonated_service_account") => typed::<ImpersonatedServiceAccount<'_>>(json)?.open(context, open),
        #[cfg(feature = "pkcs11")]
        Some("pkcs11") => typed::<Pkcs11Account>(json)?.open(context),
        #[cfg(not(feature = "pkcs11"))]
        Some("pkcs11") => {
            Err("a key in a PKCS#11 token, which this build does not support: build with --features pkcs11".into())
        }
        _ => Err("type: service_account, authorized_user, external_account, impersonated_service_account or pkcs11 \
                  is expected"
            .into()),
    }
}

/// Deserializes credentials. Errors name the missing or mistyped field, and never quote its value.
fn typed<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, String> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(json)).map_err(|error| {
        let (place, problem) = (error.path().to_string(), error.inner().to_string());
        match problem.split_once(" at line").filter(|_| problem.starts_with("missing field")) {
            Some((missing, _)) => format!("at {place}: {missing}"),
            None => format!("at {place}: a value of another type is expected"),
        }
    })
}
