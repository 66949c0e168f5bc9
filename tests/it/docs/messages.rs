//! docs/troubleshooting.md quotes messages, so that a search finds them. Those of this program must be the ones that it prints.

use crate::support::repository;
use std::path::Path;

/// The sections whose messages are this program's.
const SECTIONS: [&str; 9] = [
    "## Messages of doctor",
    "## Messages of exec and env",
    "## Messages of capture",
    "## Messages of token verify",
    "## The server does not start",
    "## An option has no effect",
    "## The server answers 403",
    "## The server answers 400 or 405",
    "## A changed file",
];

/// Messages of the operating system and of libraries, within this program's.
const FOREIGN: [&str; 9] = [
    "Address already in use",
    "Permission denied",
    "Cannot assign requested address",
    "config.json:3:14",
    "at instance: key must be a string",
    "a similar argument exists: '--port'",
    "--features tpm",
    "required arguments were not provided",
    "wait_for_change=true",
];

#[test]
fn quoted_messages_are_those_of_the_program() {
    let mut sources = String::new();
    for folder in ["src", "layers/src", "routes/src", "signer/src", "support/src", "tokens/src"] {
        read_sources(&repository(folder), &mut sources);
    }
    let sources = on_one_line(&sources);
    let page = std::fs::read_to_string(repository("docs/troubleshooting.md")).unwrap();
    let mut count = 0;
    for section in SECTIONS {
        let text = page.split_once(section).unwrap_or_else(|| panic!("no section `{section}`")).1;
        let text = text.split("\n## ").next().unwrap();
        for message in text.lines().filter_map(message_of).flat_map(spans) {
            for part in message.split('…').map(str::trim).filter(|part| part.len() > 12) {
                let known = sources.contains(part) || FOREIGN.iter().any(|foreign| part.contains(foreign));
                assert!(known, "{section}: no source has the message `{part}`");
                count += 1;
            }
        }
    }
    assert!(count > 45, "{count} messages are too few: has the form of the tables changed?");
}

/// The first cell of a row.
fn message_of(line: &str) -> Option<&str> {
    line.strip_prefix("| ")?.split(" | ").next()
}

/// The code spans of a cell.
fn spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn read_sources(folder: &Path, sources: &mut String) {
    for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        if file.is_dir() {
            read_sources(&file, sources);
        } else if file.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&std::fs::read_to_string(file).unwrap());
        }
    }
}

/// Joins string literals that continue on the next line; a quoted message has no backticks of its own.
fn on_one_line(sources: &str) -> String {
    let mut lines = sources.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |text, line| text + line.trim_start()).replace('`', "")
}
