//! Links between pages, and from the other documents to them.

use super::markdown::Page;
use crate::support::repository;
use std::path::{Component, Path, PathBuf};

/// The documents at the top, and the READMEs of the crates.
const OTHERS: [&str; 8] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "layers/README.md",
    "routes/README.md",
    "signer/README.md",
    "support/README.md",
    "tokens/README.md",
];

#[test]
fn links_lead_to_files_and_headings() {
    let mut broken = Vec::new();
    let pages = super::pages().into_iter().chain(OTHERS.map(str::to_owned));
    for page in pages {
        for link in Page::read(&page).links {
            if let Err(why) = check(&page, &link.target) {
                broken.push(format!("{page}:{}: {}: {why}", link.line, link.target));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn check(page: &str, target: &str) -> Result<(), &'static str> {
    if target.starts_with("https://") {
        // Listed in the output, and not fetched: a test needs no network.
        eprintln!("external: {page}: {target}");
        return Ok(());
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let file = if path.is_empty() { PathBuf::from(page) } else { beside(page, path) };
    if !repository("").join(&file).exists() {
        return Err("no such file");
    }
    if page.starts_with("docs/") && !file.starts_with("docs") {
        return Err("outside of docs/, which a book does not have: name the file in code instead");
    }
    let anchors = |file: &Path| Page::read(&file.display().to_string()).anchors;
    match anchor {
        Some(anchor) if !anchors(&file).iter().any(|known| known == anchor) => Err("no such heading"),
        _ => Ok(()),
    }
}

/// The path in the repository of a link on this page.
fn beside(page: &str, path: &str) -> PathBuf {
    let mut file = PathBuf::from(page);
    file.pop();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => _ = file.pop(),
            part => file.push(part),
        }
    }
    file
}

#[test]
fn a_broken_link_is_found() {
    assert_eq!(check("README.md", "docs/none.md"), Err("no such file"));
    assert_eq!(check("docs/config.md", "#no-such-heading"), Err("no such heading"));
    assert!(check("docs/config.md", "../README.md").unwrap_err().starts_with("outside of docs/"));
    assert_eq!(check("README.md", "docs/config.md#reload"), Ok(()));
}
