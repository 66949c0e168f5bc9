//! The command line.
//!
//! Options are in kebab-case. The Go emulator's spellings are aliases of them, and what is Go's own about flags is taken
//! care of in one place. Each heading of `--help` is a file of this folder.

mod authentication;
mod endpoints;
mod go;
mod logging;
mod monitoring;
mod tls;
pub(crate) mod tpm;
mod values;

pub(crate) use go::{normalized, one_line};
pub(crate) use logging::{LogFormat, Logging};
#[cfg(feature = "tpm")]
pub(crate) use values::tpm_handle;

use crate::commands::Command;
use authentication::Authentication;
use clap::{ArgAction, Parser};
use endpoints::Endpoints;
use gce_metadata_server::{Environment, Metadata, Server, ServerBuilder};
use monitoring::Monitoring;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tls::Tls;
use values::{address, file_mode, host, port, positive};

const BASE: &str = "Base Options";
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

/// An emulator of Google Compute Engine's metadata server.
#[derive(Debug, Parser)]
#[command(name = "gce-metadata-server", version, after_help = ENVIRONMENT, disable_help_flag = true, disable_version_flag = true,
    args_override_self = true, args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Configuration file; changes of it are followed [default: config.json if there is one, else a built-in sample]
    #[arg(long, visible_alias = "configFile", value_name = "FILE", help_heading = BASE)]
    config_file: Option<PathBuf>,

    /// Address, or name of one, to listen at
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS", help_heading = BASE)]
    interface: String,

    /// Port to listen at; a colon before it changes nothing, and 0 is any free one
    #[arg(long, default_value = "8080", value_name = "PORT", value_parser = port, help_heading = BASE)]
    port: u16,

    /// Print version
    #[arg(long, short = 'V', action = ArgAction::Version, help_heading = BASE)]
    version: Option<bool>,

    /// Print help
    #[arg(long, short, global = true, action = ArgAction::Help, help_heading = BASE)]
    help: Option<bool>,

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
    #[arg(long, default_value_t = ServerBuilder::MOST_CONNECTIONS, value_name = "NUMBER", value_parser = positive,
        help_heading = MISC)]
    max_connections: usize,

    /// Requests that wait for a change at a time; more are answered 503
    #[arg(long, default_value_t = ServerBuilder::MOST_WAITERS, value_name = "NUMBER", help_heading = MISC)]
    max_waiters: usize,

    /// How long a stopping server waits for its connections
    #[arg(long, default_value_t = ServerBuilder::DRAIN.as_secs(), value_name = "SECONDS", help_heading = MISC)]
    drain_timeout: u64,

    #[command(flatten)]
    pub(crate) logging: Logging,
}

impl Args {
    /// The server that was asked for.
    pub(crate) fn server(&self, environment: &Environment) -> anyhow::Result<ServerBuilder> {
        let builder = Server::builder()
            .overrides(environment.overrides.clone())
            // The program's runtime has nothing else to do.
            .on_current_runtime()
            .threads(self.threads())
            .most_waiters(self.max_waiters)
            .drain(Duration::from_secs(self.drain_timeout));
        let builder = match self.config() {
            Some(file) => builder.metadata_file(file),
            None => builder.metadata(Metadata::sample()),
        };
        let builder = match &self.domain_socket {
            Some(path) => builder.unix_socket(path, self.socket_mode),
            None => builder.listen(address("--interface", &self.interface, self.port)?),
        };
        // A name that is listened at is one that clients call the server by.
        let interface = Some(&self.interface).filter(|name| host(name).is_ok());
        let builder = interface.into_iter().chain(&self.allow_host).fold(builder, ServerBuilder::allow_host);
        let builder = self.endpoints.apply(builder);
        let builder = self.tls.apply(builder, &self.interface, &self.authentication.tpm, environment)?;
        let builder = self.monitoring.apply(builder)?;
        Ok(builder.credentials(self.authentication.source(environment)?))
    }

    /// As many threads as serve connections. What waits for somebody else needs none.
    fn threads(&self) -> NonZeroUsize {
        self.threads.unwrap_or_else(ServerBuilder::default_threads)
    }

    /// The config file: the one that is named, or the default one if it exists.
    fn config(&self) -> Option<&Path> {
        let default = Path::new(DEFAULT_CONFIG);
        self.config_file.as_deref().or_else(|| default.exists().then_some(default))
    }

    /// What is served, for people.
    pub(crate) fn served(&self) -> String {
        self.config().map_or_else(|| "the built-in sample".to_owned(), |file| file.display().to_string())
    }

    /// The cap on connections, given how many files may be open.
    pub(crate) fn most_connections(&self, open_files: Option<usize>) -> usize {
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
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::ffi::OsString;
    use tracing::Level;
    use tracing_subscriber::filter::Targets;

    fn parse(line: &str) -> Result<Args, String> {
        let words = ["gce-metadata-server"].into_iter().chain(line.split(' ').filter(|word| !word.is_empty()));
        Args::try_parse_from(normalized(words.map(OsString::from))).map_err(|error| one_line(&error))
    }

    #[test]
    fn options_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_go_emulators_command_lines_are_understood() {
        let debug = Targets::new().with_default(Level::DEBUG);
        for line in [
            "-logtostderr --configFile=x.json -alsologtostderr -v 5 -port :9090 -interface 0.0.0.0",
            "--logtostderr=true -configFile x.json --alsologtostderr -v=5 --port=:9090 --interface=0.0.0.0",
            "--config-file x.json -v5 --port 9090 -interface=0.0.0.0 -stderrthreshold=INFO -log_dir /tmp",
        ] {
            let args = parse(line).unwrap();
            assert_eq!(args.config_file.as_deref(), Some(Path::new("x.json")), "{line}");
            assert_eq!(
                (args.port, &*args.interface, args.logging.filter()),
                (9090, "0.0.0.0", debug.clone()),
                "{line}"
            );
        }
        let args = parse("-domainsocket /tmp/metadata.sock --socket-mode 0660").unwrap();
        assert_eq!(
            (args.domain_socket.as_deref(), args.socket_mode),
            (Some(Path::new("/tmp/metadata.sock")), Some(0o660))
        );
    }

    #[test]
    fn what_is_empty_is_not_given_and_the_last_one_counts() {
        let words =
            ["x", "--domainsocket=", "-configFile", "", "-offline-key=", "-port", ":1", "--port=2", "-interface", ""];
        let args = Args::try_parse_from(normalized(words.map(OsString::from).into_iter())).unwrap();
        assert_eq!((args.domain_socket, args.config_file, args.port, &*args.interface), (None, None, 2, ""));
        let args = parse("-logtostderr -logtostderr=false -v 1 -v 10 --interface=").unwrap();
        assert_eq!(args.logging.filter(), Targets::new().with_default(Level::TRACE));
    }

    #[tokio::test]
    async fn no_interface_is_all_of_them() {
        assert_eq!(address("--interface", "", 80).unwrap().to_string(), "0.0.0.0:80");
        assert_eq!(address("--interface", "[::1]", 80).unwrap().to_string(), "[::1]:80");
    }

    #[test]
    fn a_bad_option_is_one_line() {
        assert_eq!(
            parse("--prot 8080").unwrap_err(),
            "unexpected argument '--prot' found; tip: a similar argument exists: '--port' (see --help)"
        );
        assert_eq!(parse("-nothing").unwrap_err(), "unexpected argument '--nothing' found (see --help)");
        let error = parse("-port http").unwrap_err();
        assert_eq!(
            error,
            "invalid value 'http' for '--port <PORT>': a port is a number from 0 to 65535, such as 8080 or :8080 (see --help)"
        );
        assert!(parse("--socket-mode 999").unwrap_err().contains("octal"));
        assert!(parse("--offline-token-lifetime 0").is_err());
        assert!(parse("extra").unwrap_err().contains("unrecognized subcommand 'extra'"));
    }

    #[test]
    fn verbosity_is_a_level() {
        for (v, level) in [(0, Level::INFO), (1, Level::DEBUG), (5, Level::DEBUG), (10, Level::TRACE)] {
            let args = parse(&format!("-v {v}")).unwrap();
            assert_eq!(args.logging.filter(), Targets::new().with_default(level), "{v}");
        }
    }

    #[test]
    fn open_files_cap_the_connections() {
        let args = parse("--max-connections 100").unwrap();
        assert_eq!(args.most_connections(None), 100);
        assert_eq!(args.most_connections(Some(1000)), 100);
        assert_eq!(args.most_connections(Some(50)), 50);
    }
}
