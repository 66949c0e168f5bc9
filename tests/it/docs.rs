//! README.md and docs/: their links lead somewhere, their commands work, and README stays short.
//!
//! A block of commands (`sh`, or `console` with `$ ` and the output) is run by `commands.rs`, or a comment before it says why not:
//! `<!-- not run: needs Docker -->`. A block after `<!-- file: NAME -->` is written to that file before the next commands. A block after
//! `<!-- copy: PATH -->` equals a file of the repository, which another test runs. The blocks after `<!-- network: NAME -->` are run in
//! network namespaces of their own (`network.rs`).

#[cfg(feature = "cli")]
mod commands;
mod links;
mod markdown;
mod messages;
#[cfg(feature = "cli")]
mod network;
#[cfg(feature = "cli")]
mod reader;

use crate::support::repository;
use markdown::{Block, Note, Page};

/// CI fails beyond.
const README_BYTES: usize = 10_000;

/// README and the pages of docs/, by their paths in the repository.
fn pages() -> Vec<String> {
    let names = std::fs::read_dir(repository("docs")).unwrap().map(|file| file.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap()).filter(|name| name.ends_with(".md"));
    let mut pages: Vec<_> = names.map(|name| format!("docs/{name}")).collect();
    pages.push("README.md".to_owned());
    pages.sort();
    pages
}

fn blocks() -> Vec<(String, Block)> {
    let pages = pages().into_iter();
    pages.flat_map(|page| Page::read(&page).blocks.into_iter().map(move |block| (page.clone(), block))).collect()
}

#[test]
fn readme_has_at_most_ten_kilobytes() {
    let size = std::fs::metadata(repository("README.md")).unwrap().len();
    assert!(size <= README_BYTES as u64, "README.md has {size} bytes: move facts to a page of docs/");
}

#[test]
fn the_summary_of_the_book_lists_every_page_once() {
    let summary = Page::read("docs/SUMMARY.md");
    let mut listed: Vec<_> = summary.links.iter().map(|link| format!("docs/{}", link.target)).collect();
    listed.sort();
    let pages: Vec<_> = pages().into_iter().filter(|page| page != "README.md" && page != "docs/SUMMARY.md").collect();
    assert_eq!(listed, pages);
}

#[test]
fn the_lists_of_pages_and_readme_name_every_page() {
    for list in ["docs/README.md", "README.md"] {
        let links = Page::read(list).links;
        for page in
            pages().iter().filter(|page| !["README.md", "docs/README.md", "docs/SUMMARY.md"].contains(&page.as_str()))
        {
            let name = page.trim_start_matches("docs/");
            let is_listed =
                links.iter().any(|link| link.target.trim_start_matches("docs/").split('#').next() == Some(name));
            assert!(is_listed, "{list} does not name {page}");
        }
    }
}

/// A misspelled language would hide a block from its test.
#[test]
fn each_block_has_a_language_and_is_valid() {
    for (page, block) in blocks() {
        let at = format!("{page}:{}", block.line);
        match block.language.as_str() {
            "json" => {
                let parsed = serde_json::from_str::<serde_json::Value>(&block.text);
                parsed.unwrap_or_else(|error| panic!("{at}: {error}"));
            }
            "toml" => _ = block.text.parse::<toml::Table>().unwrap_or_else(|error| panic!("{at}: {error}")),
            _ if matches!(block.note, Some(Note::Copy(_))) => {}
            "rust" | "rust,no_run" => {
                let included = format!("include_str!(\"../{page}\")");
                let library = std::fs::read_to_string(repository("src/lib.rs")).unwrap();
                assert!(library.contains(&included), "{at}: no doctest, src/lib.rs needs {included}");
            }
            "sh" | "console" | "python" | "js" | "go" | "java" | "ini" | "yaml" | "dockerfile" | "mermaid" | "text" => {
            }
            other => panic!("{at}: `{other}` is no language of the documentation; commands are `sh` or `console`"),
        }
        if let Some(Note::NotRun(value) | Note::Network(value)) = &block.note {
            assert!(
                block.is_commands() && !value.is_empty(),
                "{at}: `not run` and `network` belong to commands, and have a value"
            );
        }
    }
}

/// `UPDATE_DOCS=1` copies the files into the pages.
#[test]
fn copied_blocks_equal_their_files() {
    for (page, block) in blocks() {
        let Some(Note::Copy(path)) = &block.note else { continue };
        let file = std::fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{page}: {path}: {error}"));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            let text = std::fs::read_to_string(repository(&page)).unwrap();
            let begin = format!("<!-- copy: {path} -->\n```{}\n", block.language);
            let updated = text.replace(&format!("{begin}{}```", block.text), &format!("{begin}{file}```"));
            std::fs::write(repository(&page), updated).unwrap();
            continue;
        }
        assert!(block.text == file, "{page}:{}: differs from {path}; UPDATE_DOCS=1 copies the file", block.line);
    }
}
