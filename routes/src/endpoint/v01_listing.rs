//! `/0.1/meta-data/`: the listing of the first API.

use super::{Call, Endpoint, Reply, static_listing};
use crate::paths::V01_NAMES;
use crate::snapshot::Reader;
use crate::tree::Tree;

/// Lists the names of the first API whose nodes the tree has.
#[derive(Debug)]
pub(crate) struct V01Listing {
    reader: Reader,
}

impl V01Listing {
    pub(crate) fn new(reader: Reader) -> Self {
        Self { reader }
    }
}

impl Endpoint for V01Listing {
    fn call(&self, call: Call<'_>) -> Reply {
        let snapshot = self.reader.snapshot();
        let lines = V01_NAMES.iter().filter_map(|(name, path)| line(snapshot.tree(), name, path));
        static_listing::listing(&call, lines.collect::<String>()).into()
    }
}

/// The line of a name; `None` if the tree has no node at its path.
fn line(tree: &Tree, name: &str, path: &str) -> Option<String> {
    let slash = if tree.get(path)?.is_directory() { "/" } else { "" };
    Some(format!("{name}{slash}\n"))
}
