//! Request paths: the path of the tree, and the mapping of older paths to it.
//!
//! The paths of `/0.1/` and `/computeMetadata/v1beta1/` are resolved to those of v1 before routing, by a function of the path
//! alone. So each value has one route and one rate limit for all APIs.

use gce_metadata_layers::MetadataPath;
use std::borrow::Cow;

/// A path below [`V1`] as a literal.
macro_rules! v1_path {
    ($below:literal) => {
        concat!("/computeMetadata/v1/", $below)
    };
}
pub(crate) use v1_path;

/// The path of the tree: each node is served below it, and each request below it needs `Metadata-Flavor: Google`.
pub const V1: &str = "/computeMetadata/v1";
const V1BETA1: &str = "/computeMetadata/v1beta1";
const V01: &str = "/0.1";

/// The names in `/0.1/meta-data/` of nodes that v1 has too, and their paths below [`V1`].
pub(crate) const V01_NAMES: [(&str, &str); 12] = [
    ("attributes", "instance/attributes"),
    ("authorized-keys", "project/attributes/ssh-keys"),
    ("description", "instance/description"),
    ("hostname", "instance/hostname"),
    ("image", "instance/image"),
    ("instance-id", "instance/id"),
    ("machine-type", "instance/machine-type"),
    ("numeric-project-id", "project/numeric-project-id"),
    ("project-id", "project/project-id"),
    ("service-accounts", "instance/service-accounts"),
    ("tags", "instance/tags"),
    ("zone", "instance/zone"),
];

/// The API that a request uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// v1, and the directories above it.
    Current,
    /// `/0.1/` or `/computeMetadata/v1beta1/`.
    Older,
}

/// Resolves a path to its API and to the path in the table of routes: the v1 path of the same node, or the path itself if v1 has no such
/// node.
pub(crate) fn resolve(path: &str) -> (Api, Cow<'_, str>) {
    let (rest, resolved) = if let Some(rest) = path.strip_prefix(V1BETA1) {
        (rest, (!rest.is_empty()).then(|| format!("{V1}{rest}")))
    } else if let Some(rest) = path.strip_prefix(V01) {
        (rest, rest.strip_prefix("/meta-data/").and_then(resolve_v01))
    } else {
        return (Api::Current, Cow::Borrowed(path));
    };
    // `/0.10` begins with the prefix but is another segment.
    if !rest.is_empty() && !rest.starts_with('/') {
        return (Api::Current, Cow::Borrowed(path));
    }
    (Api::Older, resolved.map_or(Cow::Borrowed(path), Cow::Owned))
}

/// Resolves a path below `/0.1/meta-data/`; `None` if v1 does not have it in this form, as `acquire` and the leaf
/// `service-accounts`.
fn resolve_v01(path: &str) -> Option<String> {
    let (name, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
    if name == "service-accounts" && (rest.is_empty() || rest.ends_with("/acquire")) {
        return None;
    }
    let (_, below_v1) = V01_NAMES.iter().find(|(known, _)| *known == name)?;
    Some(format!("{V1}/{below_v1}{rest}"))
}

/// The part of a request path after `/computeMetadata/v1/`. A path of an older API is resolved to v1 first. `None` for paths that are
/// not below v1.
///
/// ```
/// use gce_metadata_layers::MetadataPath;
/// use gce_metadata_routes::below_v1;
///
/// for path in ["/computeMetadata/v1/instance/id", "/computeMetadata/v1beta1/instance/id", "/0.1/meta-data/instance-id"] {
///     assert_eq!(below_v1(&MetadataPath::new(path)).as_deref(), Some("instance/id"));
/// }
/// assert_eq!(below_v1(&MetadataPath::new("/0.1/")), None);
/// ```
pub fn below_v1<'a>(path: &'a MetadataPath<'_>) -> Option<Cow<'a, str>> {
    let below = |path: &'_ str| path.strip_prefix(V1)?.strip_prefix('/').map(str::len);
    let (_, mut path) = resolve(path.as_str());
    let start = path.len() - below(&path)?;
    match &mut path {
        Cow::Borrowed(path) => *path = &path[start..],
        Cow::Owned(path) => drop(path.drain(..start)),
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_paths_resolve_to_v1_paths_or_to_themselves() {
        for (path, resolved) in [
            ("/computeMetadata/v1beta1/", "/computeMetadata/v1/"),
            ("/computeMetadata/v1beta1/instance/id", "/computeMetadata/v1/instance/id"),
            ("/computeMetadata/v1beta1", "/computeMetadata/v1beta1"),
            ("/0.1", "/0.1"),
            ("/0.1/", "/0.1/"),
            ("/0.1/meta-data", "/0.1/meta-data"),
            ("/0.1/meta-data/", "/0.1/meta-data/"),
            ("/0.1/meta-data/instance-id", "/computeMetadata/v1/instance/id"),
            ("/0.1/meta-data/attributes/", "/computeMetadata/v1/instance/attributes/"),
            ("/0.1/meta-data/attributes/acquire", "/computeMetadata/v1/instance/attributes/acquire"),
            ("/0.1/meta-data/service-accounts/a/acquire", "/0.1/meta-data/service-accounts/a/acquire"),
            ("/0.1/meta-data/service-accounts", "/0.1/meta-data/service-accounts"),
            ("/0.1/meta-data/service-accounts/", "/computeMetadata/v1/instance/service-accounts/"),
            ("/0.1/meta-data/none", "/0.1/meta-data/none"),
            ("/0.1/none", "/0.1/none"),
        ] {
            assert_eq!(resolve(path), (Api::Older, resolved.into()), "{path}");
        }
        for path in
            ["/", "/0.10/", "/0.1x", "/computeMetadata/v1/", "/computeMetadata/v1beta10/", "/computeMetadata/v1beta"]
        {
            assert_eq!(resolve(path), (Api::Current, path.into()), "{path}");
        }
    }

    #[test]
    fn a_literal_path_is_below_v1() {
        assert_eq!(below_v1(&MetadataPath::new(v1_path!("instance/id"))).as_deref(), Some("instance/id"));
    }

    #[test]
    fn paths_beside_v1_are_not_below_it() {
        for path in ["/", "/computeMetadata/v1", "/computeMetadata/v1x", "/computeMetadata/v1beta1", "/0.1/meta-data/x"]
        {
            assert_eq!(below_v1(&MetadataPath::new(path)), None, "{path}");
        }
    }
}
