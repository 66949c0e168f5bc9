//! Options for keys in PKCS#11 tokens, such as hardware security modules.
//!
//! Every build has the options, so that one without the feature `pkcs11` can print a helpful error.

use super::federation::{Federation, ProjectNumber};
use anyhow::bail;
use clap::Args;
use gce_metadata_server::LiveSource;
use std::path::PathBuf;

#[cfg(feature = "pkcs11")]
use anyhow::Context;
#[cfg(feature = "pkcs11")]
use gce_metadata_server::Environment;
#[cfg(feature = "pkcs11")]
use gce_metadata_server::signer::pkcs11::{Pkcs11Key, Pkcs11Options, Pkcs11Pin, Pkcs11Uri};

pub(super) const HEADING: &str = "PKCS#11 Authentication Options";

/// The module, and the PIN of its token.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
pub(crate) struct Pkcs11Access {
    /// PKCS#11 module of the token, a library of its vendor [default: module-path of the URI]
    #[arg(long, value_name = "FILE")]
    pub(crate) pkcs11_module: Option<PathBuf>,

    /// File with the PIN of the token; GCE_METADATA_PKCS11_PIN and pin-source=file:PATH in the URI are other ways to give it
    #[arg(long, value_name = "FILE")]
    pkcs11_pin_file: Option<PathBuf>,
}

/// The default account's key in a PKCS#11 token. `--credentials` uses the module and the PIN too.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
pub(crate) struct Pkcs11 {
    /// Use this key for the tokens of the default account: pkcs11:token=LABEL;object=LABEL;id=%01 (RFC 7512)
    #[arg(long, value_name = "URI")]
    pkcs11_uri: Option<String>,

    #[command(flatten)]
    access: Pkcs11Access,

    /// Use workload identity federation: the key in the token is that of the workload's certificate
    #[arg(long, requires_ifs = [("true", "pool_id"), ("true", "provider_id"), ("true", "pub_cert")])]
    pub(super) use_pkcs11_mtls: bool,
}

#[cfg(feature = "pkcs11")]
impl Pkcs11Access {
    /// The PIN of these options, or else of the environment.
    pub(crate) fn options(&self, environment: &Environment) -> Pkcs11Options {
        let file = self.pkcs11_pin_file.clone().map(Pkcs11Pin::File);
        let pin = file.or_else(|| environment.pkcs11_pin.clone().map(Pkcs11Pin::Value));
        Pkcs11Options { pin, ..Pkcs11Options::default() }
    }

    /// Parses `--pkcs11-uri`. The error does not quote the URI, which could have a PIN.
    pub(crate) fn uri(&self, uri: &str) -> anyhow::Result<Pkcs11Uri> {
        let uri: Pkcs11Uri = uri.parse().context("--pkcs11-uri")?;
        if uri.has_pin_source() && self.pkcs11_pin_file.is_some() {
            bail!("--pkcs11-pin-file and the pin-source of --pkcs11-uri exclude each other: give one of them");
        }
        Ok(uri)
    }
}

impl Pkcs11 {
    /// Whether the default account's key is in a token.
    pub(super) fn is_given(&self) -> bool {
        self.pkcs11_uri.is_some()
    }

    /// Refuses options that have no effect without `--pkcs11-uri`. `per_account`: whether `--credentials` is given; its keys may
    /// be in a token too.
    pub(super) fn check(&self, per_account: bool) -> anyhow::Result<()> {
        let access = [
            ("--pkcs11-module", self.access.pkcs11_module.is_some()),
            ("--pkcs11-pin-file", self.access.pkcs11_pin_file.is_some()),
        ];
        let access = access.into_iter().find(|(_, is_given)| *is_given);
        match access {
            _ if self.is_given() => Ok(()),
            _ if self.use_pkcs11_mtls => bail!("--use-pkcs11-mtls does nothing without --pkcs11-uri"),
            Some((option, _)) if !per_account => bail!("{option} does nothing without --pkcs11-uri or --credentials"),
            _ => Ok(()),
        }
    }

    #[cfg(not(feature = "pkcs11"))]
    pub(super) fn source(&self, _: &Federation, _: &ProjectNumber<'_>) -> anyhow::Result<LiveSource> {
        bail!(MISSING)
    }
}

#[cfg(feature = "pkcs11")]
impl Pkcs11 {
    pub(super) fn options(&self, environment: &Environment) -> Pkcs11Options {
        self.access.options(environment)
    }

    pub(super) fn module(&self) -> Option<PathBuf> {
        self.access.pkcs11_module.clone()
    }

    /// The token source of `--pkcs11-uri`.
    pub(super) fn source(&self, federation: &Federation, number: &ProjectNumber<'_>) -> anyhow::Result<LiveSource> {
        let uri = self.access.uri(self.pkcs11_uri.as_deref().unwrap_or_default())?;
        let key = Pkcs11Key::new(self.module(), uri)?;
        if !self.use_pkcs11_mtls {
            return Ok(LiveSource::Pkcs11 { key });
        }
        let workload = federation.workload("--use-pkcs11-mtls", number)?;
        Ok(LiveSource::Pkcs11Federated { key, certificate: workload.certificate, audience: workload.audience })
    }
}

/// The error of a build without the feature `pkcs11` if the command line uses a PKCS#11 token.
#[cfg(not(feature = "pkcs11"))]
pub(crate) const MISSING: &str = missing_pkcs11!();
