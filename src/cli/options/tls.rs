//! HTTPS with client certificates.

use super::tpm::Tpm;
use crate::cli::file;
use crate::cli::values::{address, file_mode, port};
use anyhow::{Context, bail};
use clap::Args;
use gce_metadata_server::certs::EndorsementKey;
use gce_metadata_server::{Certificates, Environment, MdsFolder, MtlsOptions, ServerBuilder};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(next_help_heading = "mTLS Options")]
pub(crate) struct Tls {
    /// Serve HTTPS, to clients with certificates, instead of HTTP
    #[arg(long, visible_alias = "usemTLS")]
    use_mtls: bool,

    /// Serve HTTPS at this port, beside HTTP, as GCE does at 443
    #[arg(long, value_name = "PORT", value_parser = port, conflicts_with = "use_mtls")]
    tls_port: Option<u16>,

    /// CA certificates that client certificates must chain to, in PEM
    #[arg(long, visible_alias = "rootCAmTLS", default_value = "certs/root.crt", value_name = "FILE")]
    root_ca_mtls: PathBuf,

    /// The server's certificate, in PEM, with those that lead to its root
    #[arg(long, visible_alias = "serverCert", default_value = "certs/server.crt", value_name = "FILE")]
    server_cert: PathBuf,

    /// Its private key, in PEM
    #[arg(long, visible_alias = "serverKey", default_value = "certs/server.key", value_name = "FILE")]
    server_key: PathBuf,

    /// Revoked client certificates: CRLs of version 2, in PEM
    #[arg(long, value_name = "FILE", conflicts_with = "mds_mtls_dir")]
    mtls_crl: Option<PathBuf>,

    /// A client that is welcome, by a name in its certificate or by its SHA-256; may be repeated [default: all of them]
    #[arg(long, value_name = "NAME")]
    mtls_allow: Vec<String>,

    /// Make the certificates, and keep them in this folder as Google's libraries read them (/run/google-mds-mtls)
    #[arg(long, value_name = "FOLDER")]
    mds_mtls_dir: Option<PathBuf>,

    /// The client that these certificates are for [default: instance/name of the metadata]
    #[arg(long, value_name = "NAME", requires = "mds_mtls_dir")]
    mds_mtls_client: Option<String>,

    /// File mode of the client's key in octal, such as 644, with which every user's programs can read it, as on GCE
    /// [default: 600]
    #[arg(long, value_name = "MODE", value_parser = file_mode, requires = "mds_mtls_dir")]
    mds_mtls_mode: Option<u32>,

    /// The elliptic-curve endorsement key of the VM's TPM, or a certificate of it, in PEM, to seal the client's certificate to
    /// as instance/credentials/mds-client-certificate [default: that of the TPM of --tpm or --tpm-path, if one is given]
    #[arg(long, value_name = "FILE", requires = "mds_mtls_dir")]
    mds_ek: Option<PathBuf>,
}

impl Tls {
    pub(super) fn apply(
        &self,
        builder: ServerBuilder,
        interface: &str,
        tpm: &Tpm,
        environment: &Environment,
    ) -> anyhow::Result<ServerBuilder> {
        let place = match self.tls_port {
            Some(port) => Some(address("--interface", interface, port)?),
            None if self.use_mtls => None,
            None if self.mds_mtls_dir.is_some() || self.mtls_crl.is_some() || !self.mtls_allow.is_empty() => {
                bail!(
                    "--mds-mtls-dir, --mtls-crl and --mtls-allow are for HTTPS, which --use-mtls or --tls-port 443 serves"
                )
            }
            None => return Ok(builder),
        };
        let certificates = match &self.mds_mtls_dir {
            Some(folder) => Certificates::Minted(self.mds_folder(folder, tpm, environment)?),
            None => Certificates::Files {
                certificate: self.server_cert.clone(),
                key: self.server_key.clone(),
                client_roots: self.root_ca_mtls.clone(),
                revoked: self.mtls_crl.clone(),
            },
        };
        if self.mtls_allow.iter().any(String::is_empty) {
            bail!(
                "--mtls-allow: nobody has an empty name; without the option, every client with a certificate is welcome"
            );
        }
        let options = MtlsOptions::new(certificates);
        let options = if self.mtls_allow.is_empty() { options } else { options.allowed(&self.mtls_allow) };
        Ok(match place {
            Some(place) => builder.mtls_beside(place, options),
            None => builder.mtls(options),
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
        let named = || format!("--mds-ek {}", path.display());
        let pem = file::read(path).with_context(named)?;
        EndorsementKey::from_pem(pem.as_bytes()).map(Some).with_context(named)
    }
}
