//! A reader of a page, who types its commands into a shell in an empty folder, one after the other.

use super::markdown::{Block, Note};
use super::network::Network;
use crate::support::repository;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Keeps variables and the current folder for the next script; ends a script that hangs.
const SHELL: &str = r#"
set -euo pipefail
set -a
[ ! -e "$STATE/environment" ] || source "$STATE/environment"
trap 'status=$?; export -p >"$STATE/environment"; exit $status' EXIT
"#;

/// Programs that run until they are stopped, for which `background.sh` stands.
const BACKGROUND: [&str; 3] = ["envoy", "python3", "socat"];

pub(super) struct Reader {
    /// The current folder of all commands.
    folder: tempfile::TempDir,
    /// The state of the shell and of the stand-in.
    state: tempfile::TempDir,
    /// Where the commands run, if not on this machine.
    network: Option<Network>,
}

impl Reader {
    pub(super) fn new() -> Self {
        let reader = Self { folder: tempfile::tempdir().unwrap(), state: tempfile::tempdir().unwrap(), network: None };
        std::fs::create_dir(reader.state.path().join("bin")).unwrap();
        reader.install("server.sh", "gce-metadata-server");
        reader
    }

    /// A reader whose commands run as root in a network of their own, with the documented ports.
    pub(super) fn in_network() -> Self {
        let mut reader = Self::new();
        reader.network = Some(Network::new());
        reader.install("sudo.sh", "sudo");
        for program in BACKGROUND {
            reader.install("background.sh", program);
        }
        reader
    }

    /// Installs a stand-in for a program.
    fn install(&self, stand_in: &str, program: &str) {
        // Copied by another process: a child that a test beside this one starts would inherit the open file, which can't be run
        // meanwhile.
        let mut install = Command::new("install");
        install.args(["-m", "755"]).arg(repository("tests/it/docs").join(stand_in));
        assert!(install.arg(self.state.path().join("bin").join(program)).status().unwrap().success());
    }

    /// Follows this block of a page.
    pub(super) fn follow(&self, block: &Block) -> Result<(), String> {
        match &block.note {
            Some(Note::Network(_)) if self.network.is_none() => Ok(()),
            Some(Note::NotRun(_) | Note::Copy(_)) => Ok(()),
            Some(Note::File(name)) => {
                std::fs::write(self.folder.path().join(name), &block.text).map_err(|error| format!("{name}: {error}"))
            }
            _ if block.language == "sh" => self.run(&block.text).map(drop),
            _ if block.language == "console" => commands(&block.text).into_iter().try_for_each(|(command, output)| {
                let printed = self.run(&command)?;
                if output.is_empty() || matches(&output, &printed) {
                    return Ok(());
                }
                Err(format!("{command}printed\n{printed}\ninstead of\n{output}"))
            }),
            _ => Ok(()),
        }
    }

    /// Runs a script and returns what it printed. Documented ports are replaced by real ones on the way in, and back on the way out.
    pub(super) fn run(&self, script: &str) -> Result<String, String> {
        let script = self
            .ports()
            .iter()
            .fold(script.to_owned(), |script, (documented, real)| replace_port(&script, documented, real));
        let path = format!("{}:{}", self.state.path().join("bin").display(), env!("PATH"));
        let mut command = match &self.network {
            Some(network) => network.enter(self.folder.path()),
            None => Command::new("env"),
        };
        command
            .args(["timeout", "60", "bash", "-c", &format!("{SHELL}{script}")])
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("PATH", &path)
            .env("TMPDIR", self.state.path())
            .env("PROGRAM", env!("CARGO_BIN_EXE_gce-metadata-server"))
            .env("STATE", self.state.path());
        if self.network.is_some() {
            // Envoy is a package of Python.
            let packages = repository("target/clients/venv/bin");
            let path = path.replacen(":", &format!(":{}:", packages.display()), 1);
            command.env("DOCUMENTED_PORTS", "1").env("PATH", path);
        }
        let output = command.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            return Err(format!("{script}{}\n{printed}{}", output.status, String::from_utf8_lossy(&output.stderr)));
        }
        Ok(self.ports().iter().fold(printed, |printed, (documented, real)| replace_port(&printed, real, documented)))
    }

    /// Writes a program of a page, with real ports, and returns its path.
    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let text =
            self.ports().iter().fold(text.to_owned(), |text, (documented, real)| replace_port(&text, documented, real));
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The documented port and the real one of each server, the latest first.
    fn ports(&self) -> Vec<(String, String)> {
        let ports = read(&self.state.path().join("ports"));
        let pairs = ports.lines().rev().filter_map(|line| line.split_once(' '));
        pairs.map(|(documented, real)| (documented.to_owned(), real.to_owned())).collect()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // A network ends all its processes, whose ids are not those of this machine.
        if self.network.is_some() {
            return;
        }
        for server in read(&self.state.path().join("servers")).lines() {
            let _ = Command::new("kill").args(["-KILL", server]).status();
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The commands of a `console` block, each with the output below it.
fn commands(text: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (None, Some((command, output))) if output.is_empty() && command.ends_with("\\\n") => {
                *command += &format!("{line}\n");
            }
            (Some(command), _) => commands.push((format!("{command}\n"), String::new())),
            (None, Some((_, output))) => *output += &format!("{line}\n"),
            (None, None) => panic!("a console block begins with `$ `, not with `{line}`"),
        }
    }
    commands
}

/// Whether the output is the documented one, in which `…` is any text.
fn matches(documented: &str, printed: &str) -> bool {
    let (documented, mut rest) = (documented.trim_end(), printed.trim_end());
    let mut parts = documented.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(after) = rest.strip_prefix(first) else { return false };
    rest = after;
    let parts: Vec<_> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Replaces `:FROM` by `:TO`, where no digit follows.
fn replace_port(text: &str, from: &str, to: &str) -> String {
    let from = format!(":{from}");
    let (mut replaced, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(&from) {
        let (before, after) = (&rest[..at], &rest[at + from.len()..]);
        replaced.push_str(before);
        replaced.push_str(&if after.starts_with(|next: char| next.is_ascii_digit()) {
            from.clone()
        } else {
            format!(":{to}")
        });
        rest = after;
    }
    replaced + rest
}

#[test]
fn commands_are_read_with_their_output() {
    let read = commands("$ a \\\n  b\nx\ny\n$ c\n");
    assert_eq!(read, [("a \\\n  b\n".to_owned(), "x\ny\n".to_owned()), ("c\n".to_owned(), String::new())]);
}

#[test]
fn an_ellipsis_matches_any_text() {
    assert!(matches("{\"a\":\"…\",\"b\":…}\n", "{\"a\":\"x\",\"b\":1}"));
    assert!(!matches("{\"a\":\"…\",\"b\":2}", "{\"a\":\"x\",\"b\":1}"));
    assert!(matches("same", "same\n") && !matches("same", "same too"));
}

#[test]
fn a_wrong_output_and_a_failed_command_are_found() {
    let reader = Reader::new();
    let block = |language: &str, text: &str| Block {
        line: 1,
        language: language.to_owned(),
        text: text.to_owned(),
        note: None,
    };
    let error = reader.follow(&block("console", "$ echo one\ntwo\n")).unwrap_err();
    assert_eq!(error, "echo one\nprinted\none\n\ninstead of\ntwo\n");
    assert!(reader.follow(&block("sh", "false\n")).is_err());
    assert_eq!(reader.follow(&block("console", "$ echo one\none\n")), Ok(()));
}

#[test]
fn ports_are_replaced_as_a_whole() {
    assert_eq!(replace_port("a:80/b:8080 c:80", "80", "1234"), "a:1234/b:8080 c:1234");
}

#[test]
fn variables_and_servers_last_to_the_next_block() {
    let reader = Reader::new();
    reader.run("gce-metadata-server --port 8123").unwrap();
    reader.run("export url=http://127.0.0.1:8123/").unwrap();
    let listing = reader.run("curl -sS $url").unwrap();
    assert!(listing.contains("computeMetadata/"), "{listing}");
    let error = reader.run("gce-metadata-server --config-file none.json").unwrap_err();
    assert!(error.contains("none.json: No such file or directory"), "{error}");
}
