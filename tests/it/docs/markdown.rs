//! The parts of a Markdown page that the tests read: its anchors, links and code blocks.

use crate::support::repository;
use std::collections::BTreeMap;

/// A page of the documentation.
pub(super) struct Page {
    /// The ids of its headings, as GitHub and mdBook make them.
    pub(super) anchors: Vec<String>,
    pub(super) links: Vec<Link>,
    pub(super) blocks: Vec<Block>,
}

pub(super) struct Link {
    pub(super) line: usize,
    pub(super) target: String,
}

/// A fenced block.
pub(super) struct Block {
    /// The line of the fence.
    pub(super) line: usize,
    pub(super) language: String,
    pub(super) text: String,
    /// The instruction in the comment before the block.
    pub(super) note: Option<Note>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// Why the commands can't run in a test.
    NotRun(String),
    /// The block is the content of this file.
    File(String),
    /// The block is a copy of this file of the repository, which a test runs.
    Copy(String),
    /// The commands run as root in the network of this name, which all such blocks of a page share.
    Network(String),
}

impl Block {
    pub(super) fn is_commands(&self) -> bool {
        self.language == "sh" || self.language == "console"
    }
}

impl Page {
    /// Reads the page at this path in the repository.
    pub(super) fn read(path: &str) -> Self {
        Self::parse(&std::fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    pub(super) fn parse(text: &str) -> Self {
        let mut page = Self { anchors: Vec::new(), links: Vec::new(), blocks: Vec::new() };
        let mut seen = BTreeMap::<String, usize>::new();
        let mut note = None;
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        while let Some((line, content)) = lines.next() {
            let trimmed = content.trim_start();
            if let Some(language) = trimmed.strip_prefix("```") {
                let indent = content.len() - trimmed.len();
                let inside = lines.by_ref().map(|(_, content)| content).take_while(|line| line.trim() != "```");
                let text = inside.map(|line| line.get(indent..).unwrap_or_default().to_owned() + "\n").collect();
                page.blocks.push(Block { line, language: language.to_owned(), text, note: note.take() });
                continue;
            }
            if let Some(title) = content.strip_prefix('#') {
                let anchor = anchor(title.trim_start_matches('#').trim());
                let count = seen.entry(anchor.clone()).or_default();
                page.anchors.push(if *count == 0 { anchor } else { format!("{anchor}-{count}") });
                *count += 1;
            }
            if !content.is_empty() {
                note = read_note(trimmed);
            }
            page.links.extend(targets(&without_code(content)).map(|target| Link { line, target }));
        }
        page
    }
}

fn read_note(line: &str) -> Option<Note> {
    let comment = line.strip_prefix("<!--")?.strip_suffix("-->")?.trim();
    let (name, value) = comment.split_once(':')?;
    match name {
        "not run" => Some(Note::NotRun(value.trim().to_owned())),
        "file" => Some(Note::File(value.trim().to_owned())),
        "copy" => Some(Note::Copy(value.trim().to_owned())),
        "network" => Some(Note::Network(value.trim().to_owned())),
        _ => None,
    }
}

/// The id of a heading: lower case, spaces as hyphens, without punctuation.
fn anchor(title: &str) -> String {
    let title = title.to_lowercase().replace(' ', "-");
    title.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_')).collect()
}

/// The line without its code spans, whose brackets are no links.
fn without_code(line: &str) -> String {
    let (mut text, mut rest) = (String::new(), line);
    while let Some(start) = rest.find('`') {
        let ticks = rest[start..].len() - rest[start..].trim_start_matches('`').len();
        let (before, code) = (&rest[..start], &rest[start + ticks..]);
        text.push_str(before);
        let Some(end) = code.find(&"`".repeat(ticks)) else { return text + code };
        rest = &code[end + ticks..];
    }
    text + rest
}

/// The targets of inline links and images.
fn targets(line: &str) -> impl Iterator<Item = String> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned())
}

#[test]
fn anchors_links_and_blocks_are_read() {
    let page = Page::parse(
        "# The `C++` page\n\n[a](b.md#c) `[no](link)` ![i](d.png)\n\n## x\n## x\n<!-- not run: why -->\n```sh\n# no heading\n```\n\
         <!-- file: a.json -->\n\n  ```json\n  {}\n  ```\n",
    );
    assert_eq!(page.anchors, ["the-c-page", "x", "x-1"]);
    assert_eq!(page.links.iter().map(|link| link.target.as_str()).collect::<Vec<_>>(), ["b.md#c", "d.png"]);
    let [commands, file] = page.blocks.as_slice() else { panic!("two blocks") };
    assert!(commands.is_commands() && commands.note == Some(Note::NotRun("why".to_owned())));
    assert_eq!((commands.line, commands.text.as_str()), (8, "# no heading\n"));
    assert_eq!((&file.note, file.text.as_str()), (&Some(Note::File("a.json".to_owned())), "{}\n"));
}
