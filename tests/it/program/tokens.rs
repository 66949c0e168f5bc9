//! Warnings about tokens at start: live tokens beyond loopback, and offline tokens although a config file is served.

use super::{Running, folder, program};

/// Starts and stops the program; returns the log lines that contain `text`.
fn logged(folder: &std::path::Path, args: &str, environment: &[(&str, &str)], text: &str) -> Vec<String> {
    let mut command = program(folder, args);
    command.envs(environment.iter().copied());
    let (status, log) = Running::start(command).stop("-TERM");
    assert_eq!(status, Some(0), "{log}");
    log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}

#[test]
fn live_tokens_beyond_loopback_log_a_warning() {
    let folder = folder();
    let live = [("GOOGLE_ACCESS_TOKEN", "ya29.made-up")];
    let warnings = logged(folder.path(), "--port 0 --interface 0.0.0.0", &live, "live tokens");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("every machine that can reach any address of this one can get live tokens"),
        "{warnings:?}"
    );
    for (options, environment) in [
        ("--port 0 --interface 127.0.0.1", &live[..]),
        ("--port 0 --interface 0.0.0.0", &[][..]),
        ("--port 0 --interface 0.0.0.0 --use-mtls --mds-mtls-dir mds", &live[..]),
        ("--domain-socket metadata.sock", &live[..]),
    ] {
        let warnings = logged(folder.path(), options, environment, "live tokens");
        assert!(warnings.is_empty(), "{options}: {warnings:?}");
    }
}

#[test]
fn tokens_that_no_account_gets_log_a_warning() {
    let folder = folder();
    let config = |accounts: &str| {
        let config = format!(r#"{{"instance": {{"serviceAccounts": {accounts}}}}}"#);
        std::fs::write(folder.path().join("vm.json"), config).unwrap();
    };
    let tokens = [("GOOGLE_ACCESS_TOKEN", "ya29.made-up"), ("GOOGLE_ID_TOKEN", "e30.e30.")];
    let warnings = || logged(folder.path(), "--port 0 --config-file vm.json", &tokens, " WARN ");
    config(r#"{"a@example.com": {}, "b@example.com": {}}"#);
    assert!(
        warnings().iter().any(|line| line.contains("and the metadata has none: give an account the alias `default`"))
    );
    config("{}");
    let added = "the metadata has no service account: tokens are served for 0-compute@developer.gserviceaccount.com";
    assert!(warnings().iter().any(|line| line.contains(added)));
    config(r#"{"default": {}}"#);
    assert_eq!(warnings(), [""; 0]);
}

#[test]
fn options_without_effect_log_a_warning() {
    let folder = folder();
    let options = "--port 0 --metrics-port 0 --socket-mode 660 --server-key none.key -stderrthreshold=INFO";
    let warnings = logged(folder.path(), options, &[], " WARN ");
    assert_eq!(warnings.len(), 4, "{warnings:?}");
    assert!(
        warnings.iter().any(|line| line.ends_with("--metrics-port does nothing: add --metrics-enabled")),
        "{warnings:?}"
    );
}

#[test]
fn a_config_file_without_credentials_logs_a_warning_about_offline_tokens() {
    let folder = folder();
    let config = folder.path().join("vm.json");
    std::fs::write(&config, r#"{"project": {"projectId": "p"}}"#).unwrap();
    for (options, level) in [
        ("--port 0 --config-file vm.json", "WARN"),
        ("--port 0 --config-file vm.json --service-account-file=", "WARN"),
        ("--port 0", "INFO"),
        ("--port 0 --config-file vm.json --offline-issuer https://issuer.example.com", "INFO"),
    ] {
        let lines = logged(folder.path(), options, &[], "tokens are made offline");
        assert!(lines.len() == 1 && lines[0].contains(&format!(" {level} ")), "{options}: {lines:?}");
    }
}

#[test]
fn the_debug_log_has_requested_scopes_and_audiences_but_no_tokens() {
    let folder = folder();
    let running = Running::start(program(folder.path(), "--port 0 -v 1"));
    let account = "instance/service-accounts/default";
    let access = running.get(&format!("{account}/token?scopes=https://a.example/b&alt=text"));
    let identity = running.get(&format!("{account}/identity?audience=https://service.example.com"));
    let (_, log) = running.stop("-TERM");
    let line = |text: &str| log.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}: {log}"));
    assert!(line("access token requested").contains(r#"requested=["https://a.example/b"] granted=["https://www."#));
    assert!(line("identity token requested").contains(r#"audience="https://service.example.com" is_full=false"#));
    let access = access.lines().find_map(|line| line.strip_prefix("access_token ")).unwrap();
    assert!(!log.contains(access) && !log.contains(&*identity));
}
