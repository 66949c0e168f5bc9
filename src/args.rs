//! The command line.
//!
//! Options are in kebab-case. The Go emulator's spellings are aliases of them, and a single dash is as good as two, so
//! that command lines, Dockerfiles and manifests written for it work as they stand.

use anyhow::Context;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, CommandFactory, Parser, ValueEnum};
use gce_metadata_server::signer::PemSigner;
use gce_metadata_server::{CredentialSource, Environment, Metadata, OfflineOptions, Server, ServerBuilder};
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::lookup_host;
use tracing::Level;
use tracing_subscriber::filter::Targets;

const BASE: &str = "Base Options";
const AUTHENTICATION: &str = "Authentication Options";
const MONITORING: &str = "Monitoring Options";
const MISC: &str = "Misc Options";
const LOGGING: &str = "Logging Options";

const DEFAULT_CONFIG: &str = "config.json";

const ENVIRONMENT: &str = "\
Environment Variables:
  GOOGLE_PROJECT_ID          stands over project/project-id of the config
  GOOGLE_NUMERIC_PROJECT_ID  stands over project/numeric-project-id
  GOOGLE_SERVICE_ACCOUNT     stands over the e-mail of the default service account
  GOOGLE_ACCESS_TOKEN        the access token to hand out, instead of the offline issuer's
  GOOGLE_ID_TOKEN            the identity token to hand out, instead of the offline issuer's
  RUST_LOG                   what to log, such as debug or hyper=trace; stands over -v";

/// An emulator of Google Compute Engine's metadata server.
#[derive(Debug, Parser)]
#[command(name = "gce-metadata-server", version, after_help = ENVIRONMENT, disable_version_flag = true)]
pub(crate) struct Args {
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

    /// The `iss` of identity tokens that are made offline
    #[arg(long, default_value = OfflineOptions::GOOGLE, value_name = "URL", help_heading = AUTHENTICATION)]
    offline_issuer: String,

    /// RSA private key in PEM that signs identity tokens offline [default: a new one at each start]
    #[arg(long, value_name = "FILE", help_heading = AUTHENTICATION)]
    offline_key: Option<PathBuf>,

    /// How long tokens that are made offline live
    #[arg(long, default_value_t = 3600, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=43200),
        help_heading = AUTHENTICATION)]
    offline_token_lifetime: u64,

    /// Serve metrics, /healthz and /readyz on a listener of their own
    #[arg(long, visible_alias = "metricsEnabled", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value = "false", hide_default_value = true, hide_possible_values = true, value_name = "BOOL",
        value_parser = BoolishValueParser::new(), help_heading = MONITORING)]
    metrics_enabled: bool,

    /// Address, or name of one, of that listener
    #[arg(long, visible_alias = "metricsInterface", default_value = "127.0.0.1", value_name = "ADDRESS",
        help_heading = MONITORING)]
    metrics_interface: String,

    /// Port of that listener
    #[arg(long, visible_alias = "metricsPort", default_value = "9000", value_name = "PORT", value_parser = port,
        help_heading = MONITORING)]
    metrics_port: u16,

    /// Path of the metrics
    #[arg(long, visible_alias = "metricsPath", default_value = "/metrics", value_name = "PATH", value_parser = url_path,
        help_heading = MONITORING)]
    metrics_path: String,

    /// Listen at a Unix socket at this path instead of TCP
    #[arg(long, visible_alias = "domainsocket", value_name = "PATH", help_heading = MISC)]
    domain_socket: Option<PathBuf>,

    /// File mode of the Unix socket in octal, such as 660 [default: as the umask has it]
    #[arg(long, value_name = "MODE", value_parser = file_mode, help_heading = MISC)]
    socket_mode: Option<u32>,

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

    /// Log verbosity: 0 is info, 1 to 9 is debug, from 10 on it is trace
    #[arg(short, long = "v", default_value_t = 0, value_name = "LEVEL", help_heading = LOGGING)]
    v: u32,

    /// Form of log lines
    #[arg(long, default_value = "text", value_name = "FORMAT", help_heading = LOGGING)]
    log_format: LogFormat,

    /// Accepted for compatibility: logs always go to stderr
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL",
        hide_possible_values = true, value_parser = BoolishValueParser::new(), help_heading = LOGGING)]
    logtostderr: Option<bool>,

    /// Accepted for compatibility: logs always go to stderr
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL",
        hide_possible_values = true, value_parser = BoolishValueParser::new(), help_heading = LOGGING)]
    alsologtostderr: Option<bool>,

    /// glog's other options, which have nothing to set here
    #[arg(long, hide = true, aliases = ["log_dir", "log_link", "log_backtrace_at", "vmodule", "logbuflevel"])]
    stderrthreshold: Vec<String>,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// The Go emulator's default is `:8080`, and that is how its command lines spell it.
fn port(port: &str) -> Result<u16, String> {
    let digits = port.strip_prefix(':').unwrap_or(port);
    digits.parse().map_err(|_| "a port is a number from 0 to 65535, such as 8080 or :8080".to_owned())
}

fn url_path(path: &str) -> Result<String, String> {
    if path.starts_with('/') {
        Ok(path.to_owned())
    } else {
        Err("a path starts with a slash, as /metrics does".to_owned())
    }
}

fn file_mode(mode: &str) -> Result<u32, String> {
    let parsed = u32::from_str_radix(mode.trim_start_matches("0o"), 8).ok().filter(|mode| *mode <= 0o777);
    parsed.ok_or_else(|| "a file mode is three octal digits, such as 660".to_owned())
}

fn positive(number: &str) -> Result<usize, String> {
    number.parse().ok().filter(|number| *number > 0).ok_or_else(|| "a number from 1 on is needed".to_owned())
}

impl Args {
    /// The server that was asked for.
    pub(crate) async fn server(&self, environment: Environment) -> anyhow::Result<ServerBuilder> {
        let builder = Server::builder()
            .overrides(environment.overrides)
            .most_waiters(self.max_waiters)
            .drain(Duration::from_secs(self.drain_timeout));
        let builder = match self.config() {
            Some(file) => builder.metadata_file(file),
            None => builder.metadata(Metadata::sample()),
        };
        let builder = match &self.domain_socket {
            Some(path) => builder.unix_socket(path, self.socket_mode),
            None => builder.listen(address("--interface", &self.interface, self.port).await?),
        };
        let builder = if self.metrics_enabled {
            let admin = address("--metrics-interface", &self.metrics_interface, self.metrics_port).await?;
            builder.admin(admin, &self.metrics_path)
        } else {
            builder
        };
        Ok(builder.credentials(match environment.fixed_tokens {
            Some(fixed) => fixed,
            None => self.offline()?,
        }))
    }

    fn offline(&self) -> anyhow::Result<CredentialSource> {
        let key = self.offline_key.as_deref().map(read_key).transpose()?;
        let token_lifetime = Duration::from_secs(self.offline_token_lifetime);
        Ok(CredentialSource::Offline(OfflineOptions { issuer: self.offline_issuer.clone(), token_lifetime, key }))
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

    pub(crate) fn log_format(&self) -> LogFormat {
        self.log_format
    }

    pub(crate) fn log_filter(&self) -> Targets {
        let level = match self.v {
            0 => Level::INFO,
            1..=9 => Level::DEBUG,
            _ => Level::TRACE,
        };
        Targets::new().with_default(level)
    }
}

async fn address(option: &str, name: &str, port: u16) -> anyhow::Result<SocketAddr> {
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok((ip, port).into());
    }
    let mut found = lookup_host((name, port))
        .await
        .with_context(|| format!("{option} {name}: neither an IP address nor a name that has one"))?;
    found.next().with_context(|| format!("{option} {name}: the name has no address"))
}

fn read_key(path: &Path) -> anyhow::Result<PemSigner> {
    let named = || format!("--offline-key {}", path.display());
    let pem = std::fs::read_to_string(path).with_context(named)?;
    PemSigner::from_pem(&pem).with_context(named)
}

/// Doubles the dash of long options that have a single one, as Go's flags may.
pub(crate) fn normalized(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let command = Args::command();
    let shorts: Vec<char> = command.get_arguments().filter_map(|arg| arg.get_short()).chain(['h']).collect();
    let mut options_ended = false;
    let doubled = |arg: OsString| {
        options_ended |= arg == "--";
        let Some(text) = arg.to_str() else { return arg };
        let Some(name) = text.strip_prefix('-').filter(|name| !name.starts_with('-') && !options_ended) else {
            return arg;
        };
        let bare = name.split('=').next().unwrap_or(name);
        let is_long = |known: &clap::Arg| {
            known.get_long_and_visible_aliases().unwrap_or_default().contains(&bare)
                || known.get_all_aliases().unwrap_or_default().contains(&bare)
        };
        let is_short = name.starts_with(|first| shorts.contains(&first));
        let is_long = bare.len() > 1 && (command.get_arguments().any(is_long) || bare == "help" || !is_short);
        if is_long { format!("-{text}").into() } else { arg }
    };
    args.map(doubled).collect()
}

/// What is wrong with the options, and what may have been meant, without the usage.
pub(crate) fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let told: Vec<_> = lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more")).collect();
    format!("{} (see --help)", told.join("; ").trim_start_matches("error: "))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for line in [
            "-logtostderr --configFile=x.json -alsologtostderr -v 5 -port :9090 -interface 0.0.0.0",
            "--logtostderr=true -configFile x.json --alsologtostderr -v=5 --port=:9090 --interface=0.0.0.0",
            "--config-file x.json -v5 --port 9090 -interface=0.0.0.0 -stderrthreshold=INFO -log_dir /tmp",
        ] {
            let args = parse(line).unwrap();
            assert_eq!(args.config_file.as_deref(), Some(Path::new("x.json")), "{line}");
            assert_eq!((args.port, &*args.interface, args.v), (9090, "0.0.0.0", 5), "{line}");
        }
        let args = parse("-domainsocket /tmp/metadata.sock --socket-mode 0660").unwrap();
        assert_eq!(
            (args.domain_socket.as_deref(), args.socket_mode),
            (Some(Path::new("/tmp/metadata.sock")), Some(0o660))
        );
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
        assert!(parse("extra").unwrap_err().contains("unexpected argument 'extra'"));
    }

    #[test]
    fn verbosity_is_a_level() {
        for (v, level) in [(0, Level::INFO), (1, Level::DEBUG), (5, Level::DEBUG), (10, Level::TRACE)] {
            let args = parse(&format!("-v {v}")).unwrap();
            assert_eq!(args.log_filter(), Targets::new().with_default(level), "{v}");
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
