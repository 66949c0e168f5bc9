//! JSON pointers (RFC 6901).

/// Appends the key of a member to a pointer.
pub(crate) fn child(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_and_tildes_of_a_key_are_escaped() {
        assert_eq!(child("/headers", "a/b~c"), "/headers/a~1b~0c");
    }
}
