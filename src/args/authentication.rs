//! Where tokens come from.

use anyhow::Context;
use clap::Args;
use gce_metadata_server::signer::PemSigner;
use gce_metadata_server::{CredentialSource, Environment, OfflineOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Args)]
#[command(next_help_heading = "Authentication Options")]
pub(crate) struct Authentication {
    /// The `iss` of identity tokens that are made offline
    #[arg(long, default_value = OfflineOptions::GOOGLE, value_name = "URL")]
    offline_issuer: String,

    /// RSA private key in PEM that signs identity tokens offline [default: a new one at each start]
    #[arg(long, value_name = "FILE")]
    offline_key: Option<PathBuf>,

    /// How long tokens that are made offline live
    #[arg(long, default_value_t = 3600, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=43200))]
    offline_token_lifetime: u64,
}

impl Authentication {
    /// The source that was asked for, on the command line or by the environment.
    pub(super) fn source(&self, environment: &Environment) -> anyhow::Result<CredentialSource> {
        match &environment.fixed_tokens {
            Some(fixed) => Ok(fixed.clone()),
            None => self.offline(),
        }
    }

    fn offline(&self) -> anyhow::Result<CredentialSource> {
        let key = self.offline_key.as_deref().map(read_key).transpose()?;
        let token_lifetime = Duration::from_secs(self.offline_token_lifetime);
        Ok(CredentialSource::Offline(OfflineOptions { issuer: self.offline_issuer.clone(), token_lifetime, key }))
    }
}

fn read_key(path: &Path) -> anyhow::Result<PemSigner> {
    let named = || format!("--offline-key {}", path.display());
    let pem = std::fs::read_to_string(path).with_context(named)?;
    PemSigner::from_pem(&pem).with_context(named)
}
