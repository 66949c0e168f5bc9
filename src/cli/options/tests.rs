//! Command lines and the options that they mean.

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
fn the_go_emulators_command_lines_are_understood() {
    let debug = Targets::new().with_default(Level::DEBUG);
    for line in [
        "-logtostderr --configFile=x.json -alsologtostderr -v 5 -port :9090 -interface 0.0.0.0",
        "--logtostderr=true -configFile x.json --alsologtostderr -v=5 --port=:9090 --interface=0.0.0.0",
        "--config-file x.json -v5 --port 9090 -interface=0.0.0.0 -stderrthreshold=INFO -log_dir /tmp",
    ] {
        let args = parse(line).unwrap();
        assert_eq!(args.config_file.as_deref(), Some(Path::new("x.json")), "{line}");
        assert_eq!((args.port, &*args.interface, args.logging.filter()), (9090, "0.0.0.0", debug.clone()), "{line}");
    }
    let args = parse("-domainsocket /tmp/metadata.sock --socket-mode 0660").unwrap();
    assert_eq!((args.domain_socket.as_deref(), args.socket_mode), (Some(Path::new("/tmp/metadata.sock")), Some(0o660)));
}

#[test]
fn what_is_empty_is_not_given_and_the_last_one_counts() {
    let words = ["--domainsocket=", "-configFile", "", "-offline-key=", "-port", ":1", "--port=2", "-interface", ""];
    let args = parse_words(words).unwrap();
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
    assert_eq!(args.max_connections(None), 100);
    assert_eq!(args.max_connections(Some(1000)), 100);
    assert_eq!(args.max_connections(Some(50)), 50);
}

#[test]
fn another_command_can_take_the_options_of_serving() {
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
fn a_switch_takes_a_value_after_an_equals_sign_only() {
    let switched = |line: &str| parse(line).map(|options| options.authentication.tpm.tpm);
    assert_eq!(switched(""), Ok(false));
    for (value, on) in [("", true), ("=true", true), ("=1", true), ("=false", false), ("=no", false)] {
        assert_eq!(switched(&format!("--tpm{value}")), Ok(on), "{value}");
        assert_eq!(switched(&format!("-tpm=true -tpm{value}")), Ok(on), "the last one counts: {value}");
    }
    assert!(switched("--tpm=maybe").unwrap_err().starts_with("invalid value 'maybe' for '--tpm[=<BOOL>]'"));
    assert!(switched("--tpm false").unwrap_err().starts_with("unexpected argument 'false'"));
}

/// What is wrong with these options of a TPM.
fn refused(line: &str) -> Option<String> {
    let checked = parse(line)
        .and_then(|options| options.authentication.tpm.check(false, false).map_err(|error| error.to_string()));
    checked.err()
}

#[test]
fn an_option_that_does_nothing_is_refused() {
    for (line, without) in [
        ("--key-pass x", "--tpm"),
        ("--use-tpm-mtls --projectNumber 1 --poolID p --providerID q --pubCert c", "--tpm"),
        ("--projectNumber 1", "--use-tpm-mtls"),
        ("--tpm --poolID p", "--use-tpm-mtls"),
        ("--tpm --providerID q --use-tpm-mtls=false", "--use-tpm-mtls"),
        ("--tpm --persistentHandle 0x81010002 --projectNumber 1 --pubCert c", "--use-tpm-mtls"),
    ] {
        let error = refused(line).unwrap_or_default();
        assert!(error.ends_with(&format!("does nothing without {without}")), "{line}: {error}");
    }
    for option in ["--tpm-path /dev/tpm0", "--parent-pass x", "--parent-pass-file x"] {
        let error = refused(option).unwrap_or_default();
        assert!(error.contains("--tpm") && error.contains("--mds-mtls-dir"), "{option}: {error}");
        for user in ["--tpm", "--credentials all.json", "--mds-mtls-dir mds"] {
            assert_eq!(refused(&format!("{option} {user}")), None);
        }
    }
}
