//! `certs init FOLDER` creates a root, a server and a client certificate with the properties of GCE's; `certs renew FOLDER` reissues
//! the server and the client certificate from the same root.

use super::file;
use super::values::days;
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use gce_metadata_server::certs::{Authority, create_file, peer_identity, replace_files};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PUBLIC: u32 = 0o644;
const PRIVATE: u32 = 0o600;

#[derive(Debug, Subcommand)]
pub(crate) enum Certs {
    /// Create a root, a server and a client certificate
    Init {
        /// Folder for the files, created if it does not exist; existing files are not overwritten
        folder: PathBuf,

        /// Common name of the client
        #[arg(long, default_value = "vm-1", value_name = "NAME")]
        client: String,

        /// DNS name of the client, such as vm-1.c.my-project.internal; may be repeated
        #[arg(long, value_name = "NAME")]
        dns_name: Vec<String>,

        #[command(flatten)]
        lifetime: Lifetime,
    },

    /// Replace the keys and certificates of the server and the client, issued by the same root
    Renew {
        /// Folder that `certs init` created
        folder: PathBuf,

        #[command(flatten)]
        lifetime: Lifetime,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Lifetime {
    /// Days that the server and the client certificate are valid, 1 to 3650; the root is valid for ten years
    #[arg(long, default_value_t = 7, value_name = "NUMBER", value_parser = days)]
    days: u16,
}

impl Lifetime {
    fn apply_to(&self, authority: Authority) -> Authority {
        authority.lifetime(Duration::from_secs(u64::from(self.days) * 24 * 3600))
    }
}

impl Certs {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        match self {
            Self::Init { folder, client, dns_name, lifetime } => init(folder, client, dns_name, lifetime),
            Self::Renew { folder, lifetime } => renew(folder, lifetime),
        }
    }
}

fn init(folder: &Path, client: &str, dns_names: &[String], lifetime: &Lifetime) -> anyhow::Result<()> {
    let authority = lifetime.apply_to(Authority::new()?);
    let root_key = authority.key();
    let root = [("root.crt", authority.certificate().to_owned().into(), PUBLIC), ("root.key", root_key, PRIVATE)];
    let files = root.into_iter().chain(issue(&authority, client, dns_names)?).collect::<Vec<_>>();
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for (name, _, _) in &files {
        let path = folder.join(name);
        if path.exists() {
            bail!(
                "{} already exists: choose another folder, or remove the file (`certs renew {}` issues new certificates from the same \
                 root)",
                path.display(),
                folder.display()
            );
        }
    }
    for (name, content, mode) in &files {
        let path = folder.join(name);
        create_file(&path, content, *mode).with_context(|| path.display().to_string())?;
    }
    print_paths(folder, &files);
    Ok(())
}

/// Replaces all files but those of the root. The new client certificate has the names of the old one.
fn renew(folder: &Path, lifetime: &Lifetime) -> anyhow::Result<()> {
    let read = |name: &str| {
        let path = folder.join(name);
        let needed = || format!("{}: needed to renew; create new certificates with `certs init`", path.display());
        file::read(&path).with_context(needed)
    };
    let at = |name: &str| folder.join(name).display().to_string();
    let (root, key) = (read("root.crt")?, read("root.key")?);
    let authority = lifetime.apply_to(Authority::from_pem(&root, &key).with_context(|| at("root.crt"))?);
    let old = CertificateDer::from_pem_slice(read("client.crt")?.as_bytes()).with_context(|| at("client.crt"))?;
    let client = peer_identity(&[old]).with_context(|| at("client.crt"))?;
    let mut files = issue(&authority, client.common_name.as_deref().unwrap_or_default(), &client.dns_names)?;
    for (name, _, mode) in &mut files {
        // Keep the mode: the owner may have made the file readable for other users.
        if let Ok(metadata) = folder.join(name).metadata() {
            *mode = metadata.permissions().mode() & 0o777;
        }
    }
    let borrowed = files.iter().map(|(name, content, mode)| (*name, &***content, *mode)).collect::<Vec<_>>();
    replace_files(folder, &borrowed).with_context(|| folder.display().to_string())?;
    print_paths(folder, &files);
    Ok(())
}

/// Name, content and mode of a file. The content may be a private key.
type File = (&'static str, zeroize::Zeroizing<String>, u32);

/// Issues keys and certificates for the server, and for a client with these names.
fn issue(authority: &Authority, client: &str, dns_names: &[String]) -> anyhow::Result<[File; 4]> {
    let (server, client) = (authority.server()?, authority.client(client, dns_names)?);
    let combined = client.combined();
    Ok([
        ("server.crt", server.certificate.into(), PUBLIC),
        ("server.key", server.key, PRIVATE),
        ("client.crt", client.certificate.into(), PUBLIC),
        // Key and certificate, as Google's libraries expect it. Other clients ignore the certificate.
        ("client.key", combined, PRIVATE),
    ])
}

fn print_paths(folder: &Path, files: &[File]) {
    let mut out = std::io::stdout();
    for (name, _, _) in files {
        let _ = writeln!(out, "{}", folder.join(name).display());
    }
}
