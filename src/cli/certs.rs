//! `certs init FOLDER`: a root, a server's and a client's certificate, such as those of GCE; `certs renew FOLDER`: the latter two
//! again, by the same root.

use super::file;
use anyhow::{Context, bail};
use clap::{Args, Subcommand, value_parser};
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
    /// Make a root, a server's and a client's certificate
    Init {
        /// Where to; nothing is overwritten
        folder: PathBuf,

        /// The client's name
        #[arg(long, default_value = "vm-1", value_name = "NAME")]
        client: String,

        /// A DNS name of the client, such as vm-1.c.my-project.internal; may be repeated
        #[arg(long, value_name = "NAME")]
        dns_name: Vec<String>,

        #[command(flatten)]
        lifetime: Lifetime,
    },

    /// Make new keys and certificates for the server and the client of such a folder, by the same root
    Renew {
        /// The folder that `certs init` made
        folder: PathBuf,

        #[command(flatten)]
        lifetime: Lifetime,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Lifetime {
    /// How many days the server's and the client's certificate are valid, 3650 at most; the root is valid for ten years
    #[arg(long, default_value_t = 7, value_name = "NUMBER", value_parser = value_parser!(u16).range(1..=3650))]
    days: u16,
}

impl Lifetime {
    fn of(&self, authority: Authority) -> Authority {
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
    let authority = lifetime.of(Authority::new()?);
    let root_key = authority.key();
    let root = [("root.crt", authority.certificate().to_owned().into(), PUBLIC), ("root.key", root_key, PRIVATE)];
    let files = root.into_iter().chain(issue(&authority, client, dns_names)?).collect::<Vec<_>>();
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for (name, _, _) in &files {
        let path = folder.join(name);
        if path.exists() {
            bail!(
                "{} is there already: choose another folder, or remove it (`certs renew {}` makes new certificates by the \
                 same root)",
                path.display(),
                folder.display()
            );
        }
    }
    for (name, content, mode) in &files {
        let path = folder.join(name);
        create_file(&path, content, *mode).with_context(|| path.display().to_string())?;
    }
    say(folder, &files);
    Ok(())
}

/// Replaces all files but those of the root. The client keeps its names.
fn renew(folder: &Path, lifetime: &Lifetime) -> anyhow::Result<()> {
    let read = |name: &str| {
        let path = folder.join(name);
        let needed = || format!("{}: needed to renew; make certificates anew with `certs init`", path.display());
        file::read(&path).with_context(needed)
    };
    let at = |name: &str| folder.join(name).display().to_string();
    let (root, key) = (read("root.crt")?, read("root.key")?);
    let authority = lifetime.of(Authority::from_pem(&root, &key).with_context(|| at("root.crt"))?);
    let old = CertificateDer::from_pem_slice(read("client.crt")?.as_bytes()).with_context(|| at("client.crt"))?;
    let client = peer_identity(&[old]).with_context(|| at("client.crt"))?;
    let mut files = issue(&authority, client.common_name.as_deref().unwrap_or_default(), &client.dns_names)?;
    for (name, _, mode) in &mut files {
        // The owner may have let others read it.
        if let Ok(metadata) = folder.join(name).metadata() {
            *mode = metadata.permissions().mode() & 0o777;
        }
    }
    let borrowed = files.iter().map(|(name, content, mode)| (*name, &***content, *mode)).collect::<Vec<_>>();
    replace_files(folder, &borrowed).with_context(|| folder.display().to_string())?;
    say(folder, &files);
    Ok(())
}

/// A file's name, its content, which may be a key, and its mode.
type File = (&'static str, zeroize::Zeroizing<String>, u32);

/// New keys and certificates for the server and for a client of these names.
fn issue(authority: &Authority, client: &str, dns_names: &[String]) -> anyhow::Result<[File; 4]> {
    let (server, client) = (authority.server()?, authority.client(client, dns_names)?);
    let combined = client.combined();
    Ok([
        ("server.crt", server.certificate.into(), PUBLIC),
        ("server.key", server.key, PRIVATE),
        ("client.crt", client.certificate.into(), PUBLIC),
        // With the certificate in it, as Google's libraries read it. Other clients find the key there too.
        ("client.key", combined, PRIVATE),
    ])
}

fn say(folder: &Path, files: &[File]) {
    let mut out = std::io::stdout();
    for (name, _, _) in files {
        let _ = writeln!(out, "{}", folder.join(name).display());
    }
}
