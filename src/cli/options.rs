//! The options of serving: [`ServeOptions`], from which [`ServeOptions::server`] makes a server's builder.
//!
//! Options are in kebab-case; the Go emulator's spellings are aliases. Each heading of `--help` is a file of this folder.

mod authentication;
mod endpoints;
mod logging;
mod monitoring;
mod tls;
mod tpm;

pub(super) use logging::{LogFormat, Logging};
#[cfg(not(feature = "tpm"))]
pub(super) use tpm::MISSING as MISSING_TPM;
#[cfg(feature = "tpm")]
pub(super) use tpm::TpmAccess;

use super::go;
use super::values::{address, file_mode, host, port, positive};
use authentication::Authentication;
use clap::Args;
use endpoints::Endpoints;
use gce_metadata_server::{Environment, Metadata, Server, ServerBuilder};
use monitoring::Monitoring;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tls::Tls;

pub(super) const BASE: &str = "Base Options";
const MISC: &str = "Misc Options";

const DEFAULT_CONFIG: &str = "config.json";

const ENVIRONMENT: &str = "\
Environment Variables:
  GOOGLE_PROJECT_ID          overrides project/project-id of the config
  GOOGLE_NUMERIC_PROJECT_ID  overrides project/numeric-project-id
  GOOGLE_SERVICE_ACCOUNT     overrides the e-mail of the default service account
  GOOGLE_ACCESS_TOKEN        the access token to hand out, instead of the offline issuer's
  GOOGLE_ID_TOKEN            the identity token to hand out, instead of the offline issuer's
  GOOGLE_APPLICATION_CREDENTIALS
                             the credentials that --impersonate and --federate use [default: gcloud's own]
  CLOUDSDK_CONFIG            gcloud's folder [default: ~/.config/gcloud]
  GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES
                             1 lets credentials name a program to run
  AWS_REGION, AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
                             for a federated workload on AWS
  GOOGLE_API_CERTIFICATE_CONFIG
                             which certificate a federated workload has [default: gcloud's file]
  SSL_CERT_FILE, SSL_CERT_DIR
                             roots to trust instead of the system's
  GCE_METADATA_KEY_PASS, GCE_METADATA_PARENT_PASS
                             passwords of a key in a TPM and of its parent
  RUST_LOG                   what to log, such as debug or hyper=trace; overrides -v";

/// How a server serves. Commands that start one flatten this into their own options.
#[derive(Debug, Args)]
#[command(after_help = ENVIRONMENT, mut_args = go::boolean)]
pub(crate) struct ServeOptions {
    /// Configuration file; changes of it are followed [default: config.json if there is one, else a built-in sample]
    #[arg(long, visible_alias = "configFile", value_name = "FILE", help_heading = BASE)]
    config_file: Option<PathBuf>,

    /// Address, or name of one, to listen at
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS", help_heading = BASE)]
    interface: String,

    /// Port to listen at; a colon before it changes nothing, and 0 is any free one
    #[arg(long, default_value = "8080", value_name = "PORT", value_parser = port, help_heading = BASE)]
    port: u16,

    /// Host name that clients may call the server by, a suffix such as .example.com, or * for any; may be repeated. IP addresses,
    /// names of GCE's, of one label, below .internal, .localhost and .svc always are; others are answered 403 [DNS rebinding]
    #[arg(long, value_name = "NAME", value_parser = host, help_heading = BASE)]
    allow_host: Vec<String>,

    #[command(flatten)]
    authentication: Authentication,

    #[command(flatten)]
    endpoints: Endpoints,

    #[command(flatten)]
    monitoring: Monitoring,

    #[command(flatten)]
    tls: Tls,

    /// Listen at a Unix socket at this path instead of TCP
    #[arg(long, visible_alias = "domainsocket", value_name = "PATH", help_heading = MISC)]
    domain_socket: Option<PathBuf>,

    /// File mode of the Unix socket in octal, such as 660 [default: as the umask has it]
    #[arg(long, value_name = "MODE", value_parser = file_mode, help_heading = MISC)]
    socket_mode: Option<u32>,

    /// Threads that serve connections; up to a thousand without TLS are all served by the first [default: one for each processor, four at most]
    #[arg(long, value_name = "NUMBER", help_heading = MISC)]
    threads: Option<NonZeroUsize>,

    /// Connections at a time; more wait in the kernel's queue
    #[arg(long, default_value_t = ServerBuilder::MAX_CONNECTIONS, value_name = "NUMBER", value_parser = positive,
        help_heading = MISC)]
    max_connections: usize,

    /// Requests that wait for a change at a time, three quarters of the connections at most; more are answered 503
    #[arg(long, default_value_t = ServerBuilder::MAX_WAITERS, value_name = "NUMBER", help_heading = MISC)]
    max_waiters: usize,

    /// How long a stopping server waits for its connections
    #[arg(long, default_value_t = ServerBuilder::DRAIN.as_secs(), value_name = "SECONDS", help_heading = MISC)]
    drain_timeout: u64,

    #[command(flatten)]
    pub(super) logging: Logging,
}

impl ServeOptions {
    /// A server with these options.
    pub(super) fn server(&self, environment: &Environment) -> anyhow::Result<ServerBuilder> {
        let builder = Server::builder()
            .overrides(environment.overrides.clone())
            // The program's runtime has nothing else to do.
            .on_current_runtime()
            .threads(self.threads())
            .max_waiters(self.max_waiters)
            .drain(Duration::from_secs(self.drain_timeout));
        let builder = match self.config() {
            Some(file) => builder.metadata_file(file),
            None => builder.metadata(Metadata::sample()),
        };
        let builder = match &self.domain_socket {
            Some(path) => builder.unix_socket(path, self.socket_mode),
            None => builder.listen(address("--interface", &self.interface, self.port)?),
        };
        // Clients call the server by the name that it listens at.
        let interface = Some(&self.interface).filter(|name| host(name).is_ok());
        let builder = interface.into_iter().chain(&self.allow_host).fold(builder, ServerBuilder::allow_host);
        let builder = self.endpoints.apply(builder);
        let builder = self.tls.apply(builder, &self.interface, &self.authentication.tpm, environment)?;
        let builder = self.monitoring.apply(builder)?;
        Ok(builder.credentials(self.authentication.source(environment)?))
    }

    /// How many threads serve connections.
    fn threads(&self) -> NonZeroUsize {
        self.threads.unwrap_or_else(ServerBuilder::default_threads)
    }

    /// The config file: the one that is named, or the default one if it exists.
    fn config(&self) -> Option<&Path> {
        let default = Path::new(DEFAULT_CONFIG);
        self.config_file.as_deref().or_else(|| default.exists().then_some(default))
    }

    /// The name of the config file, or of what is served without one.
    pub(super) fn config_name(&self) -> String {
        self.config().map_or_else(|| "the built-in sample".to_owned(), |file| file.display().to_string())
    }

    /// The cap on connections, given how many of them the limit on open files allows.
    pub(super) fn max_connections(&self, open_files: Option<usize>) -> usize {
        match open_files {
            Some(open_files) if open_files < self.max_connections => {
                tracing::warn!(
                    open_files,
                    "fewer connections than asked for: the limit on open files (ulimit -n) is lower"
                );
                open_files.max(1)
            }
            _ => self.max_connections,
        }
    }
}

#[cfg(test)]
mod tests;
