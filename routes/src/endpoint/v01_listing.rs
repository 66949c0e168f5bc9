//! `/0.1/meta-data/`: the listing of the first API.

use super::{Call, Endpoint, Reply, V01_VALUES, static_listing};
use crate::paths::V01_NAMES;
use crate::snapshot::Reader;
use crate::tree::Tree;

/// Lists the names of the first API whose values the tree has.
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
        let tree = snapshot.tree();
        let nodes = V01_NAMES.iter().filter_map(|(name, path)| line(tree, name, path));
        let names = V01_VALUES
            .iter()
            .filter(|(_, build)| build(tree).is_some())
            .filter_map(|(path, _)| path.rsplit('/').next());
        let values = names.map(|name| format!("{name}\n"));
        let mut lines: Vec<_> = nodes.chain(values).collect();
        lines.sort_unstable();
        static_listing::listing(&call, lines.concat()).into()
    }
}

/// The line of a name; `None` if the tree has no node at its path.
fn line(tree: &Tree, name: &str, path: &str) -> Option<String> {
    let slash = if tree.get(path)?.is_directory() { "/" } else { "" };
    Some(format!("{name}{slash}\n"))
}
