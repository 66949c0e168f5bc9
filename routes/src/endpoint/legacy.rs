//! The APIs of the past, `/0.1/` and `/computeMetadata/v1beta1/`: listed and refused, as by GCE, or served for those who have
//! programs of that time. They demand no header, which is why they were closed.

use super::{Answer, Call, Endpoint, Reply};
use crate::router::Router;
use crate::snapshot::Reader;
use crate::tree::Tree;
use crate::v1;
use gce_metadata_layers::{MetadataPath, Rejection};
use http::HeaderValue;

/// One of them: another way to what v1 answers.
#[derive(Debug)]
pub(crate) struct Legacy {
    /// Where there is none, all is refused.
    v1: Option<Router>,
    reader: Reader,
    place: fn(&MetadataPath<'_>) -> Place,
}

/// What a path of an older API stands for.
enum Place {
    /// A path of v1, or one of a route that was added to it.
    V1(String),
    /// `/0.1/`.
    Root,
    /// `/0.1/meta-data/`, whose names are its own.
    Names,
    /// A directory of an older API without its slash.
    MissingSlash,
    Nowhere,
}

impl Legacy {
    /// The API before v1: the same tree.
    pub(crate) fn v1beta1(v1: Option<Router>, reader: Reader) -> Self {
        Self { v1, reader, place: place_in_v1beta1 }
    }

    /// The API before that: one directory, with names of its own.
    pub(crate) fn v01(v1: Option<Router>, reader: Reader) -> Self {
        Self { v1, reader, place: place_in_v01 }
    }
}

impl Endpoint for Legacy {
    fn call(&self, call: Call<'_>) -> Reply {
        let snapshot = self.reader.snapshot();
        let is_off = snapshot.tree().is_switched_on("disable-legacy-endpoints");
        let Some(v1) = self.v1.as_ref().filter(|_| !is_off) else { return Err(Rejection::LegacyEndpoint).into() };
        match (self.place)(&call.path) {
            Place::V1(path) => v1.route(call.head, &path, call.body),
            Place::Root => listing("meta-data/\n".to_owned()),
            Place::Names => {
                listing(NAMES.iter().filter_map(|(name, place)| line(snapshot.tree(), name, place)).collect())
            }
            Place::MissingSlash => Err(Rejection::MissingSlash).into(),
            Place::Nowhere => Err(Rejection::NotFound).into(),
        }
    }
}

fn listing(lines: String) -> Reply {
    Ok(Answer::Document { body: lines.into(), content_type: HeaderValue::from_static("application/text") }).into()
}

/// A name and what it is, where the VM has such a thing.
fn line(tree: &Tree, name: &str, place: &str) -> Option<String> {
    let slash = if tree.get(place)?.is_directory() { "/" } else { "" };
    Some(format!("{name}{slash}\n"))
}

fn place_in_v1beta1(path: &MetadataPath<'_>) -> Place {
    match path.below("/computeMetadata/v1beta1") {
        Some(rest) => Place::V1(format!("{}/{rest}", v1::PREFIX)),
        None => Place::MissingSlash,
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

fn place_in_v01(path: &MetadataPath<'_>) -> Place {
    let rest = match path.below("/0.1") {
        Some("") => return Place::Root,
        None | Some("meta-data") => return Place::MissingSlash,
        Some(rest) => rest,
    };
    let Some(rest) = rest.strip_prefix("meta-data/") else { return Place::Nowhere };
    if rest.is_empty() {
        return Place::Names;
    }
    let name = rest.split('/').next().unwrap_or_default();
    if name == "service-accounts" && rest.ends_with("/acquire") {
        return Place::V1(path.as_str().to_owned());
    }
    match NAMES.iter().find(|(known, _)| *known == name) {
        Some((_, place)) => Place::V1(format!("{}/{place}{}", v1::PREFIX, &rest[name.len()..])),
        None => Place::Nowhere,
    }
}
