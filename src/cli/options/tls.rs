//! Options of HTTPS with client certificates (mTLS).

use super::ignored;
use super::tpm::Tpm;
use crate::cli::file;
use crate::cli::values::{address, file_mode, port};
use anyhow::{Context, bail};
use clap::Args;
use gce_metadata_server::certs::EndorsementKey;
use gce_metadata_server::{Certificates, Environment, MdsFolder, MtlsOptions, ServerBuilder};
use std::path::{Path, PathBuf};

const ROOT: &str = "certs/root.crt";
const CERTIFICATE: &str = "certs/server.crt";
const KEY: &str = "certs/server.key";

#[derive(Debug, Args)]
#[command(next_help_heading = "mTLS Options")]
pub(crate) struct Tls {
    /// Serve HTTPS instead of HTTP, to clients with a certificate
    #[arg(long, visible_alias = "usemTLS")]
    use_mtls: bool,

    /// Serve HTTPS at this port in addition to HTTP; GCE uses 443
    #[arg(long, value_name = "PORT", value_parser = port, conflicts_with = "use_mtls")]
    tls_port: Option<u16>,

    /// CA certificates that client certificates must chain to, in PEM [default: certs/root.crt]
    #[arg(long, visible_alias = "rootCAmTLS", value_name = "FILE")]
    root_ca_mtls: Option<PathBuf>,

    /// Certificate chain of the server, in PEM [default: certs/server.crt]
    #[arg(long, visible_alias = "serverCert", value_name = "FILE")]
    server_cert: Option<PathBuf>,

    /// Private key of the server, in PEM: PKCS#8, PKCS#1 or SEC1, RSA or EC [default: certs/server.key]
    #[arg(long, visible_alias = "serverKey", value_name = "FILE")]
    server_key: Option<PathBuf>,

    /// Revocation lists for client certificates: version 2 CRLs, in PEM
    #[arg(long, value_name = "FILE", conflicts_with = "mds_mtls_dir")]
    mtls_crl: Option<PathBuf>,

    /// Client to allow, by a name in its certificate or by the SHA-256 of its certificate; may be repeated [default: all clients]
    #[arg(long, value_name = "NAME")]
    mtls_allow: Vec<String>,

    /// Issue the certificates and keep them in this folder; Google's libraries read them from /run/google-mds-mtls
    #[arg(long, value_name = "FOLDER")]
    mds_mtls_dir: Option<PathBuf>,

    /// Name of the client in the issued certificate [default: instance/name of the metadata]
    #[arg(long, value_name = "NAME")]
    mds_mtls_client: Option<String>,

    /// File mode of the issued client key in octal; 644 makes it readable for every user, as on GCE [default: 600]
    #[arg(long, value_name = "MODE", value_parser = file_mode)]
    mds_mtls_mode: Option<u32>,

    /// Elliptic-curve endorsement key of the VM's TPM or its certificate, in PEM. instance/credentials/mds-client-certificate
    /// serves the client certificate sealed to it [default: key of the TPM of --tpm or --tpm-path, if given]
    #[arg(long, value_name = "FILE")]
    mds_ek: Option<PathBuf>,
}

impl Tls {
    /// Fails if only HTTPS is served.
    pub(super) fn require_http(&self) -> anyhow::Result<()> {
        if self.use_mtls {
            bail!(
                "--use-mtls: Google's libraries use HTTPS at metadata.google.internal only; give exec --tls-port, which serves \
                 HTTP too"
            );
        }
        Ok(())
    }

    pub(super) fn issues_client_certificates(&self) -> bool {
        self.mds_mtls_dir.is_some()
    }

    pub(super) fn apply(
        &self,
        builder: ServerBuilder,
        interface: &str,
        tpm: &Tpm,
        environment: &Environment,
    ) -> anyhow::Result<ServerBuilder> {
        self.check()?;
        let beside_http = match self.tls_port {
            Some(port) => Some(address("--interface", interface, port)?),
            None if self.use_mtls => None,
            None => return Ok(builder),
        };
        let certificates = match &self.mds_mtls_dir {
            Some(folder) => Certificates::Minted(self.mds_folder(folder, tpm, environment)?),
            None => self.files()?,
        };
        let options = MtlsOptions::new(certificates);
        let options = if self.mtls_allow.is_empty() { options } else { options.allowed(&self.mtls_allow) };
        Ok(match beside_http {
            Some(address) => builder.mtls_beside(address, options),
            None => builder.mtls(options),
        })
    }

    /// Refuses options that have no effect.
    fn check(&self) -> anyhow::Result<()> {
        let mds = [
            ("--mds-mtls-client", self.mds_mtls_client.is_some()),
            ("--mds-mtls-mode", self.mds_mtls_mode.is_some()),
            ("--mds-ek", self.mds_ek.is_some()),
        ];
        let https = [
            ("--mds-mtls-dir", self.mds_mtls_dir.is_some()),
            ("--mtls-crl", self.mtls_crl.is_some()),
            ("--mtls-allow", !self.mtls_allow.is_empty()),
        ];
        let first_given =
            |options: &[(&'static str, bool)]| options.iter().find(|(_, given)| *given).map(|(name, _)| *name);
        if let (Some(option), None) = (first_given(&mds), &self.mds_mtls_dir) {
            bail!("{option} does nothing without --mds-mtls-dir");
        }
        if let (Some(option), false) = (first_given(&https), self.use_mtls || self.tls_port.is_some()) {
            bail!("{option} does nothing without HTTPS: add --use-mtls or --tls-port 443");
        }
        if self.mtls_allow.iter().any(String::is_empty) {
            bail!("--mtls-allow: the name is empty; omit the option to allow every client with a certificate");
        }
        Ok(())
    }

    /// Whether HTTPS has a port of its own.
    pub(super) fn has_port(&self) -> bool {
        self.tls_port.is_some()
    }

    /// Whether the issued certificate is sealed to the endorsement key of the TPM.
    pub(super) fn uses_tpm(&self) -> bool {
        self.mds_mtls_dir.is_some() && self.mds_ek.is_none()
    }

    /// A warning about options that are given without effect.
    pub(super) fn without_effect(&self) -> Option<String> {
        let files = [
            ("--root-ca-mtls", self.root_ca_mtls.is_some()),
            ("--server-cert", self.server_cert.is_some()),
            ("--server-key", self.server_key.is_some()),
        ];
        if !self.use_mtls && self.tls_port.is_none() {
            return ignored(&files, "add --use-mtls or --tls-port 443");
        }
        self.mds_mtls_dir.as_ref().and_then(|_| ignored(&files, "--mds-mtls-dir issues the certificates"))
    }

    /// The certificate files. If there are none at the default paths, the error names the command that creates them.
    fn files(&self) -> anyhow::Result<Certificates> {
        let or = |given: &Option<PathBuf>, default: &str| given.clone().unwrap_or_else(|| default.into());
        let key = or(&self.server_key, KEY);
        if key == Path::new(KEY) && matches!(key.try_exists(), Ok(false)) {
            bail!(
                "HTTPS: {KEY} does not exist: create the certificates with `gce-metadata-server certs init certs`, or name your \
                 own with --server-key, --server-cert and --root-ca-mtls"
            );
        }
        Ok(Certificates::Files {
            certificate: or(&self.server_cert, CERTIFICATE),
            key,
            client_roots: or(&self.root_ca_mtls, ROOT),
            revoked: self.mtls_crl.clone(),
        })
    }

    fn mds_folder(&self, path: &Path, tpm: &Tpm, environment: &Environment) -> anyhow::Result<MdsFolder> {
        let mut folder = MdsFolder::new(path);
        if let Some(name) = &self.mds_mtls_client {
            folder = folder.client(name);
        }
        if let Some(mode) = self.mds_mtls_mode {
            folder = folder.key_mode(mode);
        }
        if let Some(key) = self.endorsement_key(tpm, environment)? {
            folder = folder.endorsement_key(key);
        }
        Ok(folder)
    }

    fn endorsement_key(&self, tpm: &Tpm, environment: &Environment) -> anyhow::Result<Option<EndorsementKey>> {
        let Some(path) = &self.mds_ek else {
            return tpm.is_configured().then(|| tpm.endorsement_key(environment)).transpose();
        };
        let context = || format!("--mds-ek {}", path.display());
        let pem = file::read(path).with_context(context)?;
        EndorsementKey::from_pem(pem.as_bytes()).map(Some).with_context(context)
    }
}
