//! Google's libraries and gcloud in environments that keep them from the server: with `exec` all of them ask it. The table in
//! `docs/clients.md` is made here: `UPDATE_DOCS=1 cargo test --test it -- --include-ignored clients_by_trap` rewrites it.

use super::exec;
use crate::support::program::Program;
use crate::support::repository;
use std::path::Path;
use std::process::{Command, Output};

const TOKEN: &str = "ya29.made-up-by-the-server";

/// The names of the clients, and the commands that print an access token.
fn clients() -> Vec<(&'static str, Vec<String>)> {
    let path = |name: &str| repository(name).to_str().unwrap().to_owned();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let mut clients = vec![
        ("Python", vec![path("target/clients/venv/bin/python"), path("tests/clients/python/adc.py")]),
        ("Node", vec!["node".to_owned(), path("tests/clients/node/adc.js")]),
        (
            "Java",
            vec![
                "java".to_owned(),
                "-cp".to_owned(),
                path("target/clients/java") + "/*",
                path("tests/clients/java/Auth.java"),
            ],
        ),
        ("Go", vec![path("target/clients/go/adc")]),
    ];
    if has_gcloud() {
        clients.push(("gcloud", words(&["gcloud", "auth", "print-access-token", "--quiet"])));
    }
    clients
}

/// No package manager that `scripts/test` could use has gcloud.
fn has_gcloud() -> bool {
    let found = Command::new("gcloud").arg("version").output().is_ok();
    if !found {
        eprintln!("gcloud is not installed and not tested: https://cloud.google.com/sdk/docs/install");
    }
    found
}

/// A client's environment that may keep it from the server.
struct Trap {
    description: &'static str,
    set: &'static [(&'static str, &'static str)],
    /// Files below the client's home.
    files: &'static [(&'static str, &'static str)],
}

const LOGIN: (&str, &str) = (".config/gcloud/application_default_credentials.json", r#"{"type": "authorized_user"}"#);

const TRAPS: &[Trap] = &[
    Trap {
        description: "only `GCE_METADATA_HOST` is set",
        set: &[("GCE_METADATA_IP", ""), ("GCE_METADATA_ROOT", "")],
        files: &[],
    },
    Trap { description: "a login: `gcloud auth application-default login`", set: &[], files: &[LOGIN] },
    Trap {
        description: "`GOOGLE_APPLICATION_CREDENTIALS`",
        set: &[("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/file")],
        files: &[],
    },
    Trap { description: "`METADATA_SERVER_DETECTION=none`", set: &[("METADATA_SERVER_DETECTION", "none")], files: &[] },
    Trap { description: "`NO_GCE_CHECK=true`", set: &[("NO_GCE_CHECK", "true")], files: &[] },
    Trap {
        description: "`HTTP_PROXY`, and no `NO_PROXY`",
        set: &[("HTTP_PROXY", "http://127.0.0.1:1"), ("http_proxy", "http://127.0.0.1:1")],
        files: &[],
    },
    Trap { description: "`GCE_METADATA_MTLS_MODE=strict`", set: &[("GCE_METADATA_MTLS_MODE", "strict")], files: &[] },
    Trap {
        description: "`CLOUDSDK_CORE_CHECK_GCE_METADATA=false`",
        set: &[("CLOUDSDK_CORE_CHECK_GCE_METADATA", "false")],
        files: &[],
    },
    Trap { description: "gcloud's cache says that this is no VM", set: &[], files: &[(".config/gcloud/gce", "False")] },
];

/// Adds this environment to a client's command.
fn set_trap<'a>(command: &mut Command, home: &Path, traps: impl IntoIterator<Item = &'a Trap>) {
    // Java finds its user's home without HOME.
    command.env("HOME", home).env("CLOUDSDK_CONFIG", home.join(".config/gcloud"));
    command.env("NODE_PATH", repository("target/clients/node/node_modules"));
    for trap in traps {
        for (name, value) in trap.set {
            if value.is_empty() {
                command.env_remove(name)
            } else {
                command.env(name, value)
            };
        }
        for (name, content) in trap.files {
            let file = home.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        }
    }
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; scripts/test installs it"))
}

fn prints_token(output: &Output) -> bool {
    String::from_utf8_lossy(&output.stdout).trim() == TOKEN
}

/// Whether the client asks the server at this address in spite of the trap.
fn asks(client: &[String], host: &str, trap: Option<&Trap>) -> bool {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(&client[0]);
    command.args(&client[1..]).env_clear().env("PATH", env!("PATH"));
    command.envs(["GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"].map(|name| (name, host)));
    set_trap(&mut command, home.path(), trap);
    prints_token(&run(&mut command))
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn clients_by_trap_as_in_the_docs() {
    let mut server = Program::start(|command| _ = command.env("GOOGLE_ACCESS_TOKEN", TOKEN));
    let host = server.wait_for("export GCE_METADATA_HOST=");
    let clients = clients();
    let row = |trap: Option<&Trap>| {
        let answers = clients.iter().map(|(_, client)| if asks(client, &host, trap) { "asks" } else { "**does not**" });
        answers.collect::<Vec<_>>()
    };
    assert_eq!(row(None), vec!["asks"; clients.len()], "without a trap");
    let columns = clients.len();
    let names = clients.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let line = |first: &str, cells: &[&str]| [&[first], cells].concat().join(" | ");
    let mut table = vec![line("environment", &names), line("---", &vec!["---"; columns])];
    table.extend(TRAPS.iter().map(|trap| line(trap.description, &row(Some(trap)))));
    table.push(line("all of these, with `exec --fresh-home`", &vec!["asks"; columns]));
    check_page(&table, columns);
}

/// Compares the first columns of the table in the page, between these two comments, with this one, or rewrites the table.
fn check_page(table: &[String], columns: usize) {
    let (begin, end) = ("<!-- clients by trap: made by a test -->\n\n", "\n<!-- end -->");
    let path = repository("docs/clients.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(begin).unwrap();
    let (old, after) = rest.split_once(end).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let table: String = table.iter().map(|line| format!("| {line} |\n")).collect();
        std::fs::write(path, [before, begin, &table, end, after].concat()).unwrap();
        return;
    }
    let first_columns = |line: &str| line.split(" | ").take(columns + 1).collect::<Vec<_>>().join(" | ");
    let lines = old.lines().map(|line| line.trim_start_matches("| ").trim_end_matches(" |"));
    assert_eq!(
        lines.map(first_columns).collect::<Vec<_>>(),
        table,
        "docs/clients.md is outdated; UPDATE_DOCS=1 rewrites it"
    );
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn with_exec_all_clients_ask_the_server_in_spite_of_all_traps() {
    for (name, client) in clients() {
        let home = tempfile::tempdir().unwrap();
        let mut command = exec(&["--fresh-home"], &client.iter().map(String::as_str).collect::<Vec<_>>());
        set_trap(&mut command, home.path(), TRAPS);
        let output = run(command.env("GOOGLE_ACCESS_TOKEN", TOKEN));
        assert!(prints_token(&output), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{name}");
    }
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn gcloud_lists_the_account_of_the_vm() {
    if !has_gcloud() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let mut command = exec(&[], &["gcloud", "auth", "list", "--format=value(account)"]);
    set_trap(&mut command, home.path(), TRAPS);
    let accounts = String::from_utf8(run(&mut command).stdout).unwrap();
    assert_eq!(accounts, "vm-1@sample-project.iam.gserviceaccount.com\n");
}

/// `MetadataConfig` asks metadata.google.internal and reads no environment variable.
#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn java_metadata_config_asks_the_server_by_way_of_the_proxy() {
    let libraries = repository("target/clients/java").to_str().unwrap().to_owned() + "/*";
    let program = repository("tests/clients/java/Project.java");
    let mut command = exec(&["--via-proxy"], &["java", "-cp", &libraries, program.to_str().unwrap()]);
    assert_eq!(String::from_utf8(run(&mut command).stdout).unwrap(), "sample-project\n");
}
