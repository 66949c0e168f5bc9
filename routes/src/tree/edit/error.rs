//! Why an edit is refused.

use crate::metadata::MetadataError;
use crate::tree::Tree;

/// Why a tree could not be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The path has no segment.
    #[error("the root itself can't be set or removed: name a path such as instance/attributes/my-key")]
    Root,
    /// The path does not begin at the tree's root.
    #[error("{path}: a path begins below /computeMetadata/v1/, as in instance/attributes/my-key")]
    NotRelative {
        /// The path of the edit.
        path: String,
    },
    /// A segment is spelled as the JSON has it.
    #[error("{path}: `{segment}` is spelled `{instead}` in paths")]
    Misspelled {
        /// The path of the edit.
        path: String,
        /// The segment.
        segment: String,
        /// What is right.
        instead: String,
    },
    /// A segment of the path stands below a value.
    #[error("{path}: `{segment}` can't stand below a value; remove the value first")]
    BelowLeaf {
        /// The path of the edit.
        path: String,
        /// The segment.
        segment: String,
    },
    /// A segment below a list is no index of it, nor the next one.
    #[error("{path}: `{segment}` is not an index of the list, nor the next one")]
    NotAnIndex {
        /// The path of the edit.
        path: String,
        /// The segment.
        segment: String,
    },
    /// A segment that no request could name.
    #[error("{path}: `{segment}` can't be part of a URL's path")]
    NotAddressable {
        /// The path of the edit.
        path: String,
        /// The segment.
        segment: String,
    },
    /// There is nothing to remove.
    #[error("{path}: there is no such node")]
    NotFound {
        /// The path of the edit.
        path: String,
    },
    /// The value can't be what its place says it is.
    #[error("{}", unfit(path, error))]
    Unfit {
        /// The path of the edit.
        path: String,
        /// What is wrong, and where in the value.
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
    /// A route of its own answers there, with a token or what else is made for each request.
    #[error("{path}: what is answered there is made for each request and can't be edited")]
    Computed {
        /// The path of the edit.
        path: String,
    },
}

/// What is wrong with the value itself has no place but the edit's, and the root has no path.
fn unfit(path: &str, error: &MetadataError) -> String {
    let error = if error.path().is_empty() { error.problem().to_owned() } else { error.to_string() };
    if path.is_empty() { error } else { format!("{path}: {error}") }
}

/// The beginning of a path that may be very long, to stand before a problem; the root has no path.
fn short(path: &str) -> String {
    const MAX_CHARS: usize = 60;
    match path.char_indices().nth(MAX_CHARS) {
        _ if path.is_empty() => String::new(),
        Some((end, _)) => format!("{}…: ", &path[..end]),
        None => format!("{path}: "),
    }
}
