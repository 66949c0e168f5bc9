//! Files of the pages that other programs read fit the JSON Schemas of these programs.

use super::markdown::Note;
use crate::support::repository;
use std::process::Command;

/// The names of files and their schemas in check-jsonschema.
const SCHEMAS: [(&str, &str); 2] =
    [("workflow.yml", "vendor.github-workflows"), ("devcontainer-compose.yaml", "vendor.compose-spec")];

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn workflows_and_compose_files_of_the_pages_fit_their_schemas() {
    for (name, schema) in SCHEMAS {
        let is_named = |note: &Option<Note>| matches!(note, Some(Note::File(file)) if file == name);
        let (page, block) =
            super::blocks().into_iter().find(|(_, block)| is_named(&block.note)).unwrap_or_else(|| panic!("no {name}"));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), &block.text).unwrap();
        let mut check = Command::new(repository("target/clients/venv/bin/check-jsonschema"));
        check.args(["--builtin-schema", schema, name]).current_dir(folder.path());
        let output = check.output().unwrap_or_else(|error| panic!("{check:?}: {error}; scripts/test installs it"));
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{page}:{}: {text}", block.line);
    }
}
