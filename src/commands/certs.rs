//! `certs init FOLDER`: a root, a server's and a client's certificate, such as those of GCE.

use anyhow::{Context, bail};
use clap::Subcommand;
use gce_metadata_server::certs::{Authority, create_file};
use std::io::Write;
use std::path::{Path, PathBuf};

const PUBLIC: u32 = 0o644;
const PRIVATE: u32 = 0o600;

#[derive(Debug, Subcommand)]
pub(crate) enum Certs {
    /// Make a root, a server's and a client's certificate, valid for seven days
    Init {
        /// Where to; nothing is overwritten
        folder: PathBuf,

        /// The client's name
        #[arg(long, default_value = "vm-1", value_name = "NAME")]
        client: String,

        /// A DNS name of the client, such as vm-1.c.my-project.internal; may be repeated
        #[arg(long, value_name = "NAME")]
        dns_name: Vec<String>,
    },
}

impl Certs {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let Self::Init { folder, client, dns_name } = self;
        init(folder, client, dns_name)
    }
}

fn init(folder: &Path, client: &str, dns_names: &[String]) -> anyhow::Result<()> {
    let authority = Authority::new()?;
    let (server, client) = (authority.server()?, authority.client(client, dns_names)?);
    let (root_key, combined) = (authority.key(), client.combined());
    let files = [
        ("root.crt", authority.certificate(), PUBLIC),
        ("root.key", &root_key, PRIVATE),
        ("server.crt", &server.certificate, PUBLIC),
        ("server.key", &server.key, PRIVATE),
        ("client.crt", &client.certificate, PUBLIC),
        // With the certificate in it, as Google's libraries read it. Who wants the key alone finds it there too.
        ("client.key", &combined, PRIVATE),
    ];
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for (name, _, _) in files {
        let path = folder.join(name);
        if path.exists() {
            bail!("{} is there already: remove it, or choose another folder", path.display());
        }
    }
    let mut out = std::io::stdout();
    for (name, content, mode) in files {
        let path = folder.join(name);
        create_file(&path, content, mode).with_context(|| path.display().to_string())?;
        let _ = writeln!(out, "{}", path.display());
    }
    Ok(())
}
