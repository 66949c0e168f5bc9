//! The APIs of the past, `/0.1/` and `/computeMetadata/v1beta1/`: listed and refused, as by GCE, or served for those who have
//! programs of that time. They demand no header, which is why they were closed.

use super::{Call, Endpoint, Reply, static_listing};
use crate::router::Router;
use crate::snapshot::Reader;
use crate::tree::Tree;
use crate::v1;
use gce_metadata_layers::{MetadataPath, Rejection};

/// All of them: other ways to what v1 answers.
#[derive(Debug)]
pub(crate) struct Legacy {
    is_served: bool,
    reader: Reader,
    /// What leads nowhere in v1.
    own: Router,
}

/// What a path of an older API stands for.
enum Place {
    /// A path below that of v1.
    V1(String),
    /// A path that v1 does not have.
    Own,
    /// `/0.1/`.
    Root,
    /// `/0.1/meta-data/`, whose names are its own.
    Names,
    /// A directory of an older API without its slash.
    MissingSlash,
    Nowhere,
}

impl Legacy {
    pub(crate) fn new(is_served: bool, reader: Reader, own: Router) -> Self {
        Self { is_served, reader, own }
    }
}

/// What a path of an older API names below `/computeMetadata/v1/`, whether or not that API is served.
pub(crate) fn below_v1(path: &MetadataPath<'_>) -> Option<String> {
    match place(path) {
        Place::V1(rest) => Some(rest),
        _ => None,
    }
}

impl Endpoint for Legacy {
    fn call(&self, call: Call<'_>) -> Reply {
        let snapshot = self.reader.snapshot();
        if !self.is_served || snapshot.tree().is_switched_on("disable-legacy-endpoints") {
            return Err(Rejection::LegacyEndpoint).into();
        }
        match place(&call.path) {
            Place::V1(rest) => call.router.route(call.head, &format!("{}/{rest}", v1::PREFIX), call.body),
            Place::Own => self.own.route(call.head, call.path.as_str(), call.body),
            Place::Root => static_listing::listing(&call, "meta-data/\n").into(),
            Place::Names => {
                let lines = NAMES.iter().filter_map(|(name, place)| line(snapshot.tree(), name, place));
                static_listing::listing(&call, lines.collect::<String>()).into()
            }
            Place::MissingSlash => Err(Rejection::MissingSlash).into(),
            Place::Nowhere => Err(Rejection::NotFound).into(),
        }
    }
}

/// A name and what it is, where the VM has such a thing.
fn line(tree: &Tree, name: &str, place: &str) -> Option<String> {
    let slash = if tree.get(place)?.is_directory() { "/" } else { "" };
    Some(format!("{name}{slash}\n"))
}

/// One place for every way to v1: what is limited there is limited by each of them.
fn place(path: &MetadataPath<'_>) -> Place {
    if let Some(rest) = path.below("/computeMetadata/v1beta1") {
        return Place::V1(rest.to_owned());
    }
    match path.below("/0.1") {
        Some("") => Place::Root,
        None | Some("meta-data") => Place::MissingSlash,
        Some(rest) => place_in_v01(rest),
    }
}

/// What 0.1 calls by other names or keeps in other places, and where v1 has it.
const NAMES: [(&str, &str); 12] = [
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

fn place_in_v01(rest: &str) -> Place {
    let Some(rest) = rest.strip_prefix("meta-data/") else { return Place::Nowhere };
    if rest.is_empty() {
        return Place::Names;
    }
    let name = rest.split('/').next().unwrap_or_default();
    if name == "service-accounts" && rest.ends_with("/acquire") {
        return Place::Own;
    }
    match NAMES.iter().find(|(known, _)| *known == name) {
        Some((_, place)) => Place::V1(format!("{place}{}", &rest[name.len()..])),
        None => Place::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{Answer, RequestBody};
    use crate::{Metadata, Publisher, RouterOptions, TokenSources};
    use gce_metadata_layers::RequestHead;
    use http::Request;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_route_that_is_added_to_v1_is_served_by_v1beta1_too() {
        struct Mine;
        impl Endpoint for Mine {
            fn call(&self, _: Call<'_>) -> Reply {
                Ok(Answer::text("mine")).into()
            }
        }
        let publisher = Publisher::new(Metadata::empty().tree());
        let options = RouterOptions { legacy_endpoints: true, ..RouterOptions::default() };
        let router = Router::with_options(publisher, TokenSources::default(), options);
        let router = router.with_route("/computeMetadata/v1/instance/mine", Arc::new(Mine)).unwrap();
        let path = "/computeMetadata/v1beta1/instance/mine";
        let head = RequestHead::of(&Request::get(path).body(()).unwrap());
        assert!(router.route(&head, path, RequestBody::made(Default::default)).await.is_ok());
    }
}
