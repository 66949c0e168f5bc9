//! JSON pointers (RFC 6901).

use serde_path_to_error::Segment;

/// Appends the key of a member to a pointer.
pub(crate) fn child(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The pointer of the member that serde was reading.
pub(crate) fn of_path(path: &serde_path_to_error::Path) -> String {
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => child(&pointer, &index.to_string()),
        Segment::Map { key } => child(&pointer, key),
        Segment::Enum { .. } | Segment::Unknown => pointer,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_and_tildes_of_a_key_are_escaped() {
        assert_eq!(child("/headers", "a/b~c"), "/headers/a~1b~0c");
    }
}
