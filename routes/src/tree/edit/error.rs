//! The errors of edits.

use crate::metadata::MetadataError;
use crate::tree::Tree;

/// Why an edit of a tree failed. Each error has the path of the edit and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The path is empty: the root can't be set or removed.
    #[error("the root itself can't be set or removed: name a path such as instance/attributes/my-key")]
    Root,
    /// The path begins with `computeMetadata` instead of a key of the tree.
    #[error("{path}: a path begins below /computeMetadata/v1/, as in instance/attributes/my-key")]
    NotRelative {
        /// The path of the edit.
        path: String,
    },
    /// A segment is spelled like the JSON key.
    #[error("{path}: `{segment}` is spelled `{instead}` in paths")]
    Misspelled {
        /// The path of the edit.
        path: String,
        /// The segment.
        segment: String,
        /// The correct spelling.
        instead: String,
    },
    /// A segment is below a leaf.
    #[error("{path}: `{segment}` can't be below a value; remove the value first")]
    BelowLeaf {
        /// The path of the edit.
        path: String,
        /// The segment.
        segment: String,
    },
    /// A segment below a list is neither one of its indices nor the next one.
    #[error("{path}: `{segment}` is not an index of the list, nor the next one")]
    NotAnIndex {
        /// The path of the edit.
        path: String,
        /// The segment.
        segment: String,
    },
    /// A segment can't be part of a URL.
    #[error("{path}: `{segment}` can't be part of a URL's path")]
    NotAddressable {
        /// The path of the edit.
        path: String,
        /// The segment.
        segment: String,
    },
    /// The path names no node, so it can't be removed.
    #[error("{path}: there is no such node")]
    NotFound {
        /// The path of the edit.
        path: String,
    },
    /// The value has the wrong type for its path.
    #[error("{}", unfit(path, error))]
    Unfit {
        /// The path of the edit.
        path: String,
        /// The problem, and the path within the value.
        error: MetadataError,
    },
    /// The path has more than [`Tree::MAX_DEPTH`] segments, or would have them with the levels of the value.
    #[error(
        "{}nested more than {} levels deep, the path included: shorten the path, or flatten the value",
        short(path),
        Tree::MAX_DEPTH
    )]
    TooDeep {
        /// The path of the edit.
        path: String,
    },
    /// The node is computed for each request, such as a token.
    #[error("{path}: the value is computed for each request and can't be edited")]
    Computed {
        /// The path of the edit.
        path: String,
    },
}

/// The path of the edit, and the path and the problem within the value. Both paths may be empty.
fn unfit(path: &str, error: &MetadataError) -> String {
    let error = if error.path().is_empty() { error.problem().to_owned() } else { error.to_string() };
    if path.is_empty() { error } else { format!("{path}: {error}") }
}

/// The beginning of a path, for messages: a path may be very long. Empty for the root.
fn short(path: &str) -> String {
    const MAX_CHARS: usize = 60;
    match path.char_indices().nth(MAX_CHARS) {
        _ if path.is_empty() => String::new(),
        Some((end, _)) => format!("{}…: ", &path[..end]),
        None => format!("{path}: "),
    }
}
