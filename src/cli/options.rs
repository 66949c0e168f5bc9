//! The options of the command `serve`: [`ServeOptions`], which [`ServeOptions::server`] turns into a `ServerBuilder`.
//!
//! Options are in kebab-case; the Go emulator's spellings are aliases. Each heading of `--help` is a file of this folder.

/// The error of a build without the feature `tpm`, as a literal for `concat!`.
#[cfg(not(feature = "tpm"))]
macro_rules! missing_tpm {
    () => {
        "this program was built without TPM support: build it with `cargo build --release --features tpm`"
    };
}

/// The error of a build without the feature `pkcs11`, as a literal for `concat!`.
#[cfg(not(feature = "pkcs11"))]
macro_rules! missing_pkcs11 {
    () => {
        "this program has no PKCS#11 support: build it with `cargo build --release --features pkcs11`"
    };
}

mod admin;
mod authentication;
mod config_source;
mod endpoints;
mod federation;
mod logging;
mod monitoring;
mod pkcs11;
mod simulation;
mod tls;
mod tpm;

pub(super) use logging::{LogFormat, Logging};
#[cfg(not(feature = "pkcs11"))]
pub(super) use pkcs11::MISSING as MISSING_PKCS11;
#[cfg(feature = "pkcs11")]
pub(super) use pkcs11::Pkcs11Access;
#[cfg(not(feature = "tpm"))]
pub(super) use tpm::MISSING as MISSING_TPM;
#[cfg(feature = "tpm")]
pub(super) use tpm::TpmAccess;

use super::go;
use super::values::{address, duration, file_mode, host, number, port, positive};
use admin::Admin;
use anyhow::bail;
use authentication::Authentication;
use clap::{Arg, Args};
pub(super) use config_source::ConfigSource;
use endpoints::Endpoints;
use gce_metadata_server::{Environment, Server, ServerBuilder};
use monitoring::Monitoring;
use simulation::Simulation;
pub(super) use simulation::words as instruction_words;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;
use tls::Tls;

pub(super) const BASE: &str = "Base Options";
pub(super) const MISC: &str = "Misc Options";

/// The environment variables below `--help`, as a literal for `concat!`.
macro_rules! environment {
    () => {
        "\
Environment Variables:
  GCE_METADATA_CONFIG        the config in JSON, without a file; --config-file overrides it
  GOOGLE_PROJECT_ID          overrides project/project-id of the config
  GOOGLE_NUMERIC_PROJECT_ID  overrides project/numeric-project-id; a word is served as a string
  GOOGLE_SERVICE_ACCOUNT     overrides the e-mail of the default service account
  GOOGLE_ACCESS_TOKEN        the access token of the default account, before any other source
  GOOGLE_ID_TOKEN            the identity token of the default account, before any other source
  GOOGLE_APPLICATION_CREDENTIALS
                             credentials for --impersonate and --federate [default: gcloud's own]
  CLOUDSDK_CONFIG            gcloud's folder [default: ~/.config/gcloud]
  GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES
                             1 allows credentials to run a program
  AWS_REGION, AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
                             identity of a federated workload on AWS
  GOOGLE_API_CERTIFICATE_CONFIG
                             certificates of a federated workload [default: gcloud's file]
  SSL_CERT_FILE, SSL_CERT_DIR
                             trusted root certificates, instead of the system's
  GCE_METADATA_KEY_PASS, GCE_METADATA_PARENT_PASS
                             passwords of a TPM key and of its parent key
  GCE_METADATA_PKCS11_PIN    PIN of a PKCS#11 token
  GCE_METADATA_ADMIN_TOKEN   token of the admin API, for the server, get, set and the like
  GCE_METADATA_ADMIN         URL of the admin API for get, set and the like, or unix:PATH
  TSS2_LOG                   log level of tpm2-tss on standard error; all+none is silent
  RUST_LOG                   log filter, such as debug or hyper=trace; overrides --log-level and -v"
    };
}

/// Options that the short help lists. `--help` lists all.
const IN_SHORT_HELP: [&str; 6] = ["config_file", "port", "service_account_file", "v", "quiet", "help"];

pub(super) const SHORT_HELP: &str = "--help lists all options and the environment variables.";

/// The text below `--help` for the options that the build lacks.
#[cfg(feature = "tpm")]
macro_rules! without_tpm {
    () => {
        ""
    };
}
#[cfg(not(feature = "tpm"))]
macro_rules! without_tpm {
    () => {
        concat!("TPM Authentication Options:\n  ", missing_tpm!(), "\n\n")
    };
}
#[cfg(feature = "pkcs11")]
macro_rules! without_pkcs11 {
    () => {
        ""
    };
}
#[cfg(not(feature = "pkcs11"))]
macro_rules! without_pkcs11 {
    () => {
        concat!("PKCS#11 Authentication Options:\n  ", missing_pkcs11!(), "\n\n")
    };
}

pub(super) const LONG_HELP: &str = concat!(without_tpm!(), without_pkcs11!(), environment!());

/// Lets boolean flags take a value. Options of a device that the build does not support are hidden.
fn adapted(arg: Arg) -> Arg {
    let arg = go::bool_flag(arg);
    let is_missing = match arg.get_help_heading() {
        Some(tpm::HEADING) => cfg!(not(feature = "tpm")),
        Some(pkcs11::HEADING) => cfg!(not(feature = "pkcs11")),
        _ => false,
    };
    let is_hidden = arg.is_hide_set() || is_missing;
    arg.hide(is_hidden)
}

/// Hides an option from the short help, unless it is one of the most used.
pub(super) fn in_short_help(arg: Arg) -> Arg {
    let is_other = arg.get_help_heading() == Some(super::exec::EXEC) || arg.get_long().is_none();
    let is_shown = is_other || IN_SHORT_HELP.contains(&arg.get_id().as_str());
    arg.hide_short_help(!is_shown)
}

/// The options of a server. Every command that starts one flattens them into its own options.
#[derive(Debug, Args)]
#[command(after_help = LONG_HELP, mut_args = adapted)]
pub(crate) struct ServeOptions {
    /// Config file, reloaded when it changes [default: GCE_METADATA_CONFIG, else config.json if it exists, else a built-in
    /// sample]
    #[arg(long, visible_alias = "configFile", value_name = "FILE", help_heading = BASE)]
    config_file: Option<PathBuf>,

    /// IP address or host name to listen at; an empty value is all interfaces [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS", help_heading = BASE)]
    interface: Option<String>,

    /// Port to listen at, with or without a colon before it; 0 is any free port [default: 8080]
    #[arg(long, value_name = "PORT", value_parser = port, help_heading = BASE)]
    pub(super) port: Option<u16>,

    /// Host name to allow in the Host header, a suffix such as .example.com, or * for any name; may be repeated. Always allowed are
    /// IP addresses, GCE's names, names of one label, and names below .internal, .localhost and .svc. Requests with another name
    /// are answered 403, to prevent DNS rebinding
    #[arg(long, value_name = "NAME", value_parser = host, help_heading = BASE)]
    allow_host: Vec<String>,

    #[command(flatten)]
    authentication: Authentication,

    #[command(flatten)]
    endpoints: Endpoints,

    #[command(flatten)]
    monitoring: Monitoring,

    #[command(flatten)]
    pub(super) admin: Admin,

    #[command(flatten)]
    simulation: Simulation,

    #[command(flatten)]
    tls: Tls,

    /// Listen at a Unix socket at this path instead of TCP
    #[arg(long, visible_alias = "domainsocket", value_name = "PATH", help_heading = MISC)]
    domain_socket: Option<PathBuf>,

    /// File mode of the Unix socket in octal, such as 660 [default: set by the umask]
    #[arg(long, value_name = "MODE", value_parser = file_mode, help_heading = MISC)]
    socket_mode: Option<u32>,

    /// Threads that serve connections; on one or two processors the first one serves up to a thousand connections without TLS alone
    /// [default: one for each processor, four at most]
    #[arg(long, value_name = "NUMBER", value_parser = positive, help_heading = MISC)]
    threads: Option<usize>,

    /// Open connections at most, or fewer if the limit on open files is lower; further ones wait in the kernel's queue
    #[arg(long, default_value_t = ServerBuilder::MAX_CONNECTIONS, value_name = "NUMBER", value_parser = positive,
        help_heading = MISC)]
    max_connections: usize,

    /// Requests that wait for a change at most, and never more than three quarters of the connections; further ones are answered 503
    #[arg(long, default_value_t = ServerBuilder::MAX_WAITERS, value_name = "NUMBER", value_parser = number::<usize>,
        help_heading = MISC)]
    max_waiters: usize,

    /// Look for the next request for this many microseconds after an answer before the thread sleeps, on a connection that has its thread
    /// to itself: with 50, an idle machine answers one connection more than twice as often, a busy one half as often
    #[arg(long, default_value_t = 0, value_name = "MICROSECONDS", value_parser = number::<u64>, help_heading = MISC)]
    busy_poll: u64,

    /// How long a stopping server waits for open requests, in seconds or with a unit: 10s, 1m
    #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = duration, help_heading = MISC)]
    drain_timeout: Duration,

    #[command(flatten)]
    pub(super) logging: Logging,
}

impl ServeOptions {
    /// A builder of a server with these options.
    pub(super) fn server(&self, environment: &Environment) -> anyhow::Result<ServerBuilder> {
        let builder = Server::builder()
            .overrides(environment.overrides.clone())
            // The program's runtime runs nothing but the server.
            .on_current_runtime()
            .threads(self.threads())
            .max_waiters(self.max_waiters)
            .busy_poll(Duration::from_micros(self.busy_poll))
            .drain(self.drain_timeout);
        let config = self.config(environment);
        config.log_conflict(environment);
        let builder = config.apply(builder)?;
        let builder = match &self.domain_socket {
            Some(path) => builder.unix_socket(path, self.socket_mode),
            None => builder.listen(address("--interface", self.interface(), self.port.unwrap_or(8080))?),
        };
        // Clients send the name of the interface in their Host header.
        let interface = Some(self.interface()).filter(|name| host(name).is_ok());
        let allowed = interface.into_iter().chain(self.allow_host.iter().map(String::as_str));
        let builder = allowed.fold(builder, ServerBuilder::allow_host);
        let builder = self.endpoints.apply(builder)?;
        let builder = self.tls.apply(builder, self.interface(), &self.authentication.tpm, environment)?;
        let builder = self.monitoring.apply(builder)?;
        let builder = self.admin.apply(builder, environment)?;
        let builder = self.simulation.apply(builder);
        let project_number = || self.project_number(environment);
        let builder = builder.credentials(self.authentication.source(environment, &project_number)?);
        for warning in self.without_effect(environment) {
            tracing::warn!("{warning}");
        }
        Ok(builder)
    }

    /// Warnings about options and tokens that are given without effect.
    fn without_effect(&self, environment: &Environment) -> Vec<String> {
        let mut warnings = self.authentication.without_effect(environment);
        let has_user = self.tls.uses_tpm() || self.authentication.is_per_account();
        warnings.extend(self.authentication.tpm.without_effect(has_user));
        warnings.extend(self.monitoring.without_effect());
        warnings.extend(self.admin.without_effect());
        warnings.extend(self.simulation.without_effect(self.admin.is_enabled()));
        warnings.extend(self.tls.without_effect());
        warnings.extend(self.logging.without_effect(environment.log_filter.is_some()));
        let tcp = [("--interface", self.interface.is_some() && !self.tls.has_port()), ("--port", self.port.is_some())];
        warnings.extend(match self.domain_socket {
            Some(_) => ignored(&tcp, "--domain-socket replaces TCP"),
            None => ignored(&[("--socket-mode", self.socket_mode.is_some())], "add --domain-socket"),
        });
        warnings
    }

    fn interface(&self) -> &str {
        self.interface.as_deref().unwrap_or("127.0.0.1")
    }

    /// The project number of the environment or else of the config file. That of the built-in sample is made up.
    fn project_number(&self, environment: &Environment) -> anyhow::Result<Option<String>> {
        let overrides = environment.overrides.clone();
        let number = match self.config(environment).load(overrides.clone())? {
            Some(metadata) => metadata.tree().text("project/numeric-project-id"),
            None => overrides.numeric_project_id,
        };
        // The Go emulator writes 0 for a number that it does not have.
        Ok(number.filter(|number| !number.is_empty() && number != "0"))
    }

    /// Fails if clients on this machine can't be directed to the server by environment variables.
    pub(super) fn require_http(&self) -> anyhow::Result<()> {
        if self.domain_socket.is_some() {
            bail!("--domain-socket: clients have no environment variable for a Unix socket; exec serves TCP only");
        }
        self.tls.require_http()
    }

    /// Whether the server issues client certificates to a folder of the clients.
    pub(super) fn issues_client_certificates(&self) -> bool {
        self.tls.issues_client_certificates()
    }

    /// Whether the server runs scenarios.
    pub(super) fn has_scenarios(&self) -> bool {
        self.simulation.is_given() || self.admin.simulates()
    }

    /// The number of threads that serve connections.
    fn threads(&self) -> NonZeroUsize {
        self.threads.and_then(NonZeroUsize::new).unwrap_or_else(ServerBuilder::default_threads)
    }

    /// The source of the config.
    pub(super) fn config<'a>(&'a self, environment: &'a Environment) -> ConfigSource<'a> {
        ConfigSource::choose(self.config_file.as_deref(), environment)
    }

    /// The limit on connections: that of the options, lowered to the number that the limit on open files allows.
    pub(super) fn max_connections(&self, open_files: Option<usize>) -> usize {
        open_files.map_or(self.max_connections, |open_files| open_files.clamp(1, self.max_connections))
    }
}

/// A warning about the options that are given: they do nothing, for this reason or with this remedy.
fn ignored(options: &[(&str, bool)], reason: &str) -> Option<String> {
    let given: Vec<_> = options.iter().filter(|(_, is_given)| *is_given).map(|(option, _)| *option).collect();
    match &given[..] {
        [] => None,
        [option] => Some(format!("{option} does nothing: {reason}")),
        _ => Some(format!("{} do nothing: {reason}", given.join(", "))),
    }
}

#[cfg(test)]
mod tests;
