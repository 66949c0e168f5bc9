//! Tests that parse command lines.

use super::*;
use crate::cli::{self, Command};
use clap::{CommandFactory, Parser};
use std::ffi::OsString;
use tracing::Level;
use tracing_subscriber::filter::Targets;

fn parse_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<ServeOptions, String> {
    let words = ["gce-metadata-server"].into_iter().chain(words).map(OsString::from);
    match cli::parse(words).map_err(|error| cli::one_line(&error))? {
        Command::Serve(options) => Ok(*options),
        other => panic!("{other:?}"),
    }
}

fn parse(line: &str) -> Result<ServeOptions, String> {
    parse_words(line.split(' ').filter(|word| !word.is_empty()))
}

#[test]
fn command_lines_of_the_go_emulator_are_parsed() {
    let debug = Targets::new().with_default(Level::DEBUG);
    for line in [
        "-logtostderr --configFile=x.json -alsologtostderr -v 5 -port :9090 -interface 0.0.0.0",
        "--logtostderr=true -configFile x.json --alsologtostderr -v=5 --port=:9090 --interface=0.0.0.0",
        "--config-file x.json -v5 --port 9090 -interface=0.0.0.0 -stderrthreshold=INFO -log_dir /tmp",
    ] {
        let args = parse(line).unwrap();
        assert_eq!(args.config_file.as_deref(), Some(Path::new("x.json")), "{line}");
        assert_eq!(
            (args.port, &*args.interface, args.logging.filter(Level::INFO)),
            (9090, "0.0.0.0", debug.clone()),
            "{line}"
        );
    }
    let args = parse("-domainsocket /tmp/metadata.sock --socket-mode 0660").unwrap();
    assert_eq!((args.domain_socket.as_deref(), args.socket_mode), (Some(Path::new("/tmp/metadata.sock")), Some(0o660)));
}

#[test]
fn an_empty_value_is_unset_and_the_last_value_counts() {
    let words = ["--domainsocket=", "-configFile", "", "-offline-key=", "-port", ":1", "--port=2", "-interface", ""];
    let args = parse_words(words).unwrap();
    assert_eq!((args.domain_socket, args.config_file, args.port, &*args.interface), (None, None, 2, ""));
    let args = parse("-logtostderr -logtostderr=false -v 1 -v 10 --interface=").unwrap();
    assert_eq!(args.logging.filter(Level::INFO), Targets::new().with_default(Level::TRACE));
}

#[tokio::test]
async fn an_empty_interface_is_all_interfaces() {
    assert_eq!(address("--interface", "", 80).unwrap().to_string(), "0.0.0.0:80");
    assert_eq!(address("--interface", "[::1]", 80).unwrap().to_string(), "[::1]:80");
}

#[test]
fn usage_errors_are_one_line() {
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
}

#[test]
fn errors_of_numbers_say_what_is_expected() {
    for (line, expected) in [
        ("--threads 0", "--threads <NUMBER>': at least 1 is expected"),
        ("--threads few", "--threads <NUMBER>': a number is expected"),
        ("--max-connections 0", "--max-connections <NUMBER>': at least 1 is expected"),
        ("--max-waiters=-1", "--max-waiters <NUMBER>': a number is expected"),
        ("-v high", "--v [<LEVEL>]': a number is expected"),
        (
            "--drain-timeout soon",
            "--drain-timeout <SECONDS>': a number of seconds is expected, such as 10, or a number with a unit",
        ),
        ("--offline-token-lifetime 0", "--offline-token-lifetime <SECONDS>': 1 to 43200 seconds are allowed"),
        ("certs init certs --days 0", "--days <NUMBER>': a number of days from 1 to 3650 is expected"),
    ] {
        let error = parse(line).unwrap_err();
        assert!(error.starts_with("invalid value '") && error.contains(expected), "{line}: {error}");
    }
}

#[test]
fn durations_have_optional_units() {
    let drain_timeout = |line: &str| parse(line).unwrap().drain_timeout;
    assert_eq!(drain_timeout("--drain-timeout 15s --offline-token-lifetime 2m"), Duration::from_secs(15));
    assert_eq!(drain_timeout("--drain-timeout 90"), Duration::from_secs(90));
    assert_eq!(drain_timeout(""), ServerBuilder::DRAIN);
}

#[test]
fn verbosity_sets_the_log_level() {
    for (v, level) in [(0, Level::INFO), (1, Level::DEBUG), (5, Level::DEBUG), (10, Level::TRACE)] {
        let args = parse(&format!("-v {v}")).unwrap();
        assert_eq!(args.logging.filter(Level::INFO), Targets::new().with_default(level), "{v}");
    }
}

#[test]
fn the_limit_on_open_files_limits_connections() {
    let args = parse("--max-connections 100").unwrap();
    assert_eq!(args.max_connections(None), 100);
    assert_eq!(args.max_connections(Some(1000)), 100);
    assert_eq!(args.max_connections(Some(50)), 50);
}

#[test]
fn serve_options_can_be_flattened_into_another_command() {
    #[derive(Debug, Parser)]
    struct Exec {
        #[command(flatten)]
        serve: ServeOptions,
        #[arg(last = true)]
        command: Vec<String>,
    }
    let words = ["exec", "-port", ":0", "-tpm=false", "--use-mtls", "--", "curl", "-port"].map(OsString::from);
    let exec = Exec::try_parse_from(go::normalized(&Exec::command(), words.into_iter())).unwrap();
    assert_eq!((exec.serve.port, exec.serve.authentication.tpm.tpm), (0, false));
    assert_eq!(exec.command, ["curl", "-port"]);
}

#[test]
fn a_boolean_flag_takes_a_value_after_an_equals_sign_only() {
    let tpm = |line: &str| parse(line).map(|options| options.authentication.tpm.tpm);
    assert_eq!(tpm(""), Ok(false));
    for (value, on) in [("", true), ("=true", true), ("=1", true), ("=false", false), ("=no", false)] {
        assert_eq!(tpm(&format!("--tpm{value}")), Ok(on), "{value}");
        assert_eq!(tpm(&format!("-tpm=true -tpm{value}")), Ok(on), "the last one counts: {value}");
    }
    assert!(tpm("--tpm=maybe").unwrap_err().starts_with("invalid value 'maybe' for '--tpm[=<BOOL>]'"));
    assert!(tpm("--tpm false").unwrap_err().starts_with("unexpected argument 'false'"));
}

/// The error for these options of a TPM.
fn tpm_error(line: &str) -> Option<String> {
    let checked = parse(line)
        .and_then(|options| options.authentication.tpm.check(false, false).map_err(|error| error.to_string()));
    checked.err()
}

#[test]
fn tpm_options_without_tpm_are_refused() {
    for (line, without) in [
        ("--key-pass x", "--tpm"),
        ("--use-tpm-mtls --projectNumber 1 --poolID p --providerID q --pubCert c", "--tpm"),
        ("--projectNumber 1", "--use-tpm-mtls"),
        ("--tpm --poolID p", "--use-tpm-mtls"),
        ("--tpm --providerID q --use-tpm-mtls=false", "--use-tpm-mtls"),
        ("--tpm --persistentHandle 0x81010002 --projectNumber 1 --pubCert c", "--use-tpm-mtls"),
    ] {
        let error = tpm_error(line).unwrap_or_default();
        assert!(error.ends_with(&format!("does nothing without {without}")), "{line}: {error}");
    }
    for option in ["--tpm-path /dev/tpm0", "--parent-pass x", "--parent-pass-file x"] {
        let error = tpm_error(option).unwrap_or_default();
        assert!(error.contains("--tpm") && error.contains("--mds-mtls-dir"), "{option}: {error}");
        for user in ["--tpm", "--credentials all.json", "--mds-mtls-dir mds"] {
            assert_eq!(tpm_error(&format!("{option} {user}")), None);
        }
    }
}
