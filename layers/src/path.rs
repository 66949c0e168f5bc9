//! Request paths, normalized as the metadata server does it.

use std::borrow::Cow;

/// A request path with runs of slashes collapsed: `project//project-id` is `project/project-id`.
///
/// A slash at the end is kept, since it denotes a directory. Percent-encoding is kept too: the server does not decode paths.
///
/// ```
/// use gce_metadata_layers::MetadataPath;
///
/// let path = MetadataPath::new("/computeMetadata/v1//instance/");
/// assert_eq!(path.as_str(), "/computeMetadata/v1/instance/");
/// assert!(path.is_directory());
/// assert_eq!(path.segments().collect::<Vec<_>>(), ["computeMetadata", "v1", "instance"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataPath<'a>(Cow<'a, str>);

impl<'a> MetadataPath<'a> {
    /// Normalizes a path. Only a path with a run of slashes is copied.
    pub fn new(path: &'a str) -> Self {
        if !path.contains("//") {
            return Self(Cow::Borrowed(path));
        }
        let mut clean = String::with_capacity(path.len());
        for character in path.chars() {
            if character != '/' || !clean.ends_with('/') {
                clean.push(character);
            }
        }
        Self(Cow::Owned(clean))
    }

    /// The normalized path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the path ends in a slash.
    pub fn is_directory(&self) -> bool {
        self.0.ends_with('/')
    }

    /// The segments between the slashes; none is empty.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|segment| !segment.is_empty())
    }

    /// The part of the path after `prefix` and a slash, if the path is below `prefix`: `instance/id` for
    /// `/computeMetadata/v1/instance/id` and the prefix `/computeMetadata/v1`.
    pub fn below(&self, prefix: &str) -> Option<&str> {
        self.0.strip_prefix(prefix)?.strip_prefix('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn runs_of_slashes_are_collapsed() {
        assert_eq!(MetadataPath::new("//").as_str(), "/");
        assert_eq!(MetadataPath::new("///a//b///").as_str(), "/a/b/");
        assert_eq!(MetadataPath::new("/a%2F/b").as_str(), "/a%2F/b");
    }

    #[test]
    fn a_prefix_matches_whole_segments() {
        assert_eq!(MetadataPath::new("/computeMetadata/v1/a/b").below("/computeMetadata/v1"), Some("a/b"));
        assert_eq!(MetadataPath::new("/computeMetadata/v1/").below("/computeMetadata/v1"), Some(""));
        assert_eq!(MetadataPath::new("/computeMetadata/v1").below("/computeMetadata/v1"), None);
        assert_eq!(MetadataPath::new("/computeMetadata/v1beta1/").below("/computeMetadata/v1"), None);
    }

    proptest! {
        #[test]
        fn normalization_removes_nothing_but_slashes(path in "/[a-z/%.]*") {
            let clean = MetadataPath::new(&path);
            prop_assert!(!clean.as_str().contains("//"));
            prop_assert_eq!(clean.as_str().replace('/', ""), path.replace('/', ""));
            prop_assert_eq!(clean.is_directory(), path.ends_with('/'));
        }
    }
}
