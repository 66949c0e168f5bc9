//! Tests that parse command lines.

use super::*;
use crate::cli::{self, Command};
use clap::{CommandFactory, Parser};
use gce_metadata_server::CredentialSource;
use std::ffi::OsString;
use std::path::Path;
use tracing::Level;
use tracing_subscriber::filter::Targets;

fn parse_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<ServeOptions, String> {
    let words = ["gce-metadata-server"].into_iter().chain(words).map(OsString::from);
    match cli::parse(words).map_err(|error| cli::one_line(&error))? {
        Command::Serve(serve) => Ok(serve.options),
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
            (args.port, args.interface(), args.logging.filter(Level::INFO)),
            (Some(9090), "0.0.0.0", debug.clone()),
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
    assert_eq!((args.interface(), args.port), ("", Some(2)));
    assert_eq!((args.domain_socket, args.config_file), (None, None));
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
    for (options, level) in [
        ("", Level::INFO),
        ("-v 0", Level::INFO),
        ("-v 1", Level::DEBUG),
        ("-q", Level::WARN),
        ("--quiet", Level::WARN),
        ("-quiet", Level::WARN),
        ("-quiet=false", Level::INFO),
        ("--log-level error", Level::ERROR),
        ("-log-level=TRACE -v 1", Level::TRACE),
        ("-q --log-level info", Level::INFO),
        ("-v 5", Level::DEBUG),
        ("-v 10", Level::TRACE),
        ("-v=-1", Level::INFO),
        ("-v -1", Level::INFO),
        ("--v -10", Level::INFO),
        ("-debug", Level::DEBUG),
        ("-debug -v=-1", Level::DEBUG),
        ("-debug -v=10", Level::TRACE),
        ("-debug=false", Level::INFO),
    ] {
        let args = parse(options).unwrap();
        assert_eq!(args.logging.filter(Level::INFO), Targets::new().with_default(level), "{options}");
    }
}

#[test]
fn the_go_emulators_logging_options_are_parsed() {
    let logging = |line: &str| parse(line).unwrap().logging;
    assert_eq!(logging("").format(), LogFormat::Text);
    for json in ["-jsonLog", "--json-log", "--log-format json", "-jsonLog=true"] {
        assert_eq!(logging(json).format(), LogFormat::Json, "{json}");
    }
    assert_eq!(logging("-logTarget=").target(), None);
    let to_file = logging("-jsonLog -debug -logTarget server.log");
    assert_eq!((to_file.target(), to_file.also_to_stderr()), (Some(Path::new("server.log")), false));
    assert!(logging("-logTarget server.log -alsologtostderr").also_to_stderr());
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
    assert_eq!((exec.serve.port, exec.serve.authentication.tpm.tpm), (Some(0), false));
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

/// The warnings for these options and environment variables.
fn warnings(line: &str, variables: &[&str]) -> Vec<String> {
    let fixed = |name: &str| variables.contains(&name).then(|| "made-up".to_owned().into());
    let (access_token, id_token) = (fixed("GOOGLE_ACCESS_TOKEN"), fixed("GOOGLE_ID_TOKEN"));
    let mut environment = Environment::default();
    if access_token.is_some() || id_token.is_some() {
        environment.fixed_tokens = Some(CredentialSource::Fixed { access_token, id_token });
    }
    environment.log_filter = variables.contains(&"RUST_LOG").then(|| "debug".to_owned());
    parse(line).unwrap().without_effect(&environment)
}

#[test]
fn options_without_effect_are_warnings() {
    let tpm = "--tpm --keyfile k.pem";
    let federated = "--tpm --keyfile k.pem --use-tpm-mtls --pool-id p --provider-id q --pub-cert c";
    for (line, warning) in [
        ("--socket-mode 660", "--socket-mode does nothing: add --domain-socket"),
        (
            "--domain-socket m.sock -port :80 -interface ::1",
            "--interface, --port do nothing: --domain-socket replaces TCP",
        ),
        (
            "--domain-socket m.sock -port :80 --interface ::1 --tls-port 1",
            "--port does nothing: --domain-socket replaces TCP",
        ),
        ("--not-ready hang", "--not-ready does nothing: add --ready-after or --admin"),
        ("--metricsPort 9000", "--metrics-port does nothing: add --metrics-enabled"),
        (
            "--metrics-interface a --metrics-path /m --metricsEnabled=false",
            "--metrics-interface, --metrics-path do nothing: add --metrics-enabled",
        ),
        ("--serverCert a --serverKey b", "--server-cert, --server-key do nothing: add --use-mtls or --tls-port 443"),
        (
            "--use-mtls --mds-mtls-dir mds --rootCAmTLS certs/root.crt",
            "--root-ca-mtls does nothing: --mds-mtls-dir issues the certificates",
        ),
        ("--json-log --log-format text", "--log-format text does nothing: --json-log takes precedence"),
        (
            "-stderrthreshold=INFO",
            "--stderrthreshold, --log_dir and the other options of glog do nothing: --log-target names a log file, and RUST_LOG \
             selects modules",
        ),
        (
            "--token-url https://a --iam-url https://b",
            "--token-url, --iam-url do nothing: no tokens of Google are served",
        ),
        ("--access-token-kind jwt", "--access-token-kind does nothing: no tokens of Google are served"),
        (
            "--service-account-file k.json --sts-url https://a",
            "--sts-url does nothing: a key needs no security token service",
        ),
        (
            "--service-account-file k.json --use-oauth-token --access-token-kind jwt",
            "--use-oauth-token does nothing: --access-token-kind takes precedence",
        ),
        (
            &format!("{tpm} --sts-url https://a --iam-url https://b"),
            "--sts-url, --iam-url do nothing: the key in the TPM needs the token endpoint only",
        ),
        (
            &format!("{federated} --token-url https://a --use-oauth-token"),
            "--token-url, --use-oauth-token do nothing: with --use-tpm-mtls the security token service makes the tokens",
        ),
        (
            &format!("{tpm} --persistentHandle 0x81010002"),
            "--persistent-handle does nothing: --tpm-key-file takes precedence",
        ),
        (
            "--tpm=false --tpm-path /dev/tpm0 --parent-pass x",
            "--tpm-path, --parent-pass do nothing: no option uses the TPM",
        ),
        (
            "--mds-mtls-dir mds --use-mtls --mds-ek ek.pem --tpm-path /dev/tpm0",
            "--tpm-path does nothing: no option uses the TPM",
        ),
        (
            "--service-account-file k.json --offline-issuer https://a --offline-key k --offline-token-lifetime 1m",
            "--offline-issuer, --offline-key, --offline-token-lifetime do nothing: tokens are not made offline",
        ),
        ("--impersonate --federate", "--federate does nothing: --impersonate takes precedence"),
        (
            &format!("{tpm} --serviceAccountFile k.json --federate"),
            "--tpm, --service-account-file do nothing: --federate takes precedence",
        ),
        (&format!("{tpm} --serviceAccountFile k.json"), "--service-account-file does nothing: --tpm takes precedence"),
    ] {
        assert_eq!(warnings(line, &[]), [warning], "{line}");
    }
}

#[test]
fn given_tokens_that_replace_others_are_warnings() {
    const BOTH: [&str; 2] = ["GOOGLE_ACCESS_TOKEN", "GOOGLE_ID_TOKEN"];
    for (line, variables, warning) in [
        (
            "--serviceAccountFile k.json",
            &BOTH[..1],
            "GOOGLE_ACCESS_TOKEN is served to the default account; --service-account-file makes its identity tokens only",
        ),
        (
            "--impersonate",
            &BOTH[1..],
            "GOOGLE_ID_TOKEN is served to the default account; --impersonate makes its access tokens only",
        ),
        ("", &BOTH[..1], "identity tokens are answered 404: GOOGLE_ID_TOKEN is not set, and no credentials are given"),
        (
            "",
            &BOTH[1..],
            "access tokens are answered 404: GOOGLE_ACCESS_TOKEN is not set, and no credentials are given",
        ),
        (
            "--serviceAccountFile k.json",
            &BOTH,
            "--service-account-file does nothing: GOOGLE_ACCESS_TOKEN and GOOGLE_ID_TOKEN are served",
        ),
        ("--offline-key k.pem", &BOTH, "--offline-key does nothing: tokens are not made offline"),
        ("--iam-url https://a", &BOTH, "--iam-url does nothing: no tokens of Google are served"),
        ("-v 5 --debug", &["RUST_LOG"], "-v, --debug do nothing: RUST_LOG takes precedence"),
        ("-q --log-level warn", &["RUST_LOG"], "--quiet, --log-level do nothing: RUST_LOG takes precedence"),
        ("-q --log-level warn", &[], "--quiet does nothing: --log-level takes precedence"),
    ] {
        assert_eq!(warnings(line, variables), [warning], "{line} {variables:?}");
    }
}

#[test]
fn options_with_effect_are_no_warnings() {
    for line in [
        "",
        "-logtostderr -alsologtostderr -v 5 -port :8080 -interface 0.0.0.0 --configFile=config.json",
        "--domain-socket m.sock --socket-mode 660 --tls-port 443 --interface ::1 --server-key k",
        "--metricsEnabled --metricsPort 1 --metricsPath /m --metricsInterface ::1",
        "--tpm --persistentHandle=0 --keyfile k.pem --token-url https://a --parent-pass x --pcrs 1 --use-oauth-token",
        "--tpm --persistentHandle=0x81010002 --tpm-path /dev/tpm0 --access-token-kind oauth",
        "--credentials all.json --tpm-path /dev/tpm0 --sts-url https://a --iam-url https://b --token-url https://c",
        "--mds-mtls-dir mds --use-mtls --tpm-path /dev/tpm0",
        "--offline-issuer https://a --offline-token-lifetime 60",
        "--impersonate --sts-url https://a --access-token-kind jwt",
    ] {
        assert_eq!(warnings(line, &[]), [""; 0], "{line}");
    }
    assert_eq!(warnings("-port 0", &["GOOGLE_ACCESS_TOKEN", "GOOGLE_ID_TOKEN"]), [""; 0]);
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
        assert!(error.contains("do nothing without --tpm, --credentials or --mds-mtls-dir"), "{option}: {error}");
        for user in ["--tpm", "--credentials all.json", "--mds-mtls-dir mds"] {
            assert_eq!(tpm_error(&format!("{option} {user}")), None);
        }
    }
}
