//! Renders nodes: values, listings and recursion (`recursive=true`), as JSON or text.

use super::{Array, Dir, Entry, Leaf, Listing, Node, RenderCache};
use bytes::Bytes;
use gce_metadata_layers::{Format, Query, Rejection, Represent, Representation, entity_tag};
use http::HeaderValue;
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

pub(crate) const TEXT: HeaderValue = HeaderValue::from_static("application/text");
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl Represent for Node {
    fn represent(&self, query: &Query) -> Result<Representation, Rejection> {
        match self {
            Self::Leaf(leaf) => Ok(leaf.represent(query.alt)),
            Self::Dir(_) | Self::Array(_) if query.recursive => Ok(match query.alt.unwrap_or(Format::Json) {
                Format::Text => Representation::new(self.text(), TEXT).tagged(self.tag()),
                Format::Json => Representation::new(self.json(), JSON).tagged(self.tag()),
            }),
            // A listing has one form and can't be waited for: changes below do not change it.
            Self::Dir(_) | Self::Array(_) if query.alt.is_some() || query.wait_for_change => Err(Rejection::BadRequest),
            Self::Dir(Dir { cache, .. }) | Self::Array(Array { cache, .. }) => {
                let Listing { names, tag } = cache.listing(self);
                Ok(Representation::new(names.clone(), TEXT).tagged(tag.clone()))
            }
            // The endpoint that computes the value has a more specific route; without it there is no value.
            Self::Computed => Err(Rejection::NotFound),
        }
    }
}

impl Node {
    /// The node and all nodes below it as compact JSON, with keys in byte order.
    pub fn json(&self) -> Bytes {
        match self {
            Self::Dir(Dir { cache, .. }) | Self::Array(Array { cache, .. }) => {
                cache.json.get_or_init(|| to_json(self)).clone()
            }
            Self::Leaf(leaf) => leaf.json(),
            Self::Computed => Bytes::new(),
        }
    }

    /// All values below a directory, one line each: the path and the value. For a leaf, its text.
    pub fn text(&self) -> Bytes {
        match self {
            Self::Dir(Dir { cache, .. }) | Self::Array(Array { cache, .. }) => cache
                .text
                .get_or_init(|| {
                    let mut lines = String::new();
                    self.flatten(&mut String::new(), &mut lines);
                    lines.into()
                })
                .clone(),
            Self::Leaf(leaf) => leaf.text(),
            Self::Computed => Bytes::new(),
        }
    }

    /// The names in a directory, one per line. Names of directories end in a slash. Empty for a leaf.
    pub fn listing(&self) -> Bytes {
        match self {
            Self::Dir(Dir { cache, .. }) | Self::Array(Array { cache, .. }) => cache.listing(self).names.clone(),
            Self::Leaf(_) | Self::Computed => Bytes::new(),
        }
    }

    fn list(&self) -> String {
        match self {
            Self::Dir(dir) => {
                let listed = dir.entries.iter().filter(|(_, entry)| entry.visibility.in_listing());
                listed.map(|(segment, entry)| entry.node.line(segment)).collect()
            }
            Self::Array(array) => {
                array.items.iter().enumerate().map(|(index, node)| node.line(&index.to_string())).collect()
            }
            Self::Leaf(_) | Self::Computed => String::new(),
        }
    }

    /// The entity tag of all forms of the value.
    fn tag(&self) -> HeaderValue {
        match self {
            Self::Dir(Dir { cache, .. }) | Self::Array(Array { cache, .. }) | Self::Leaf(Leaf { cache, .. }) => {
                cache.tag(|| self.json())
            }
            Self::Computed => entity_tag(&self.json()),
        }
    }

    fn is_closed(&self) -> bool {
        matches!(self, Self::Dir(dir) if dir.is_closed)
    }

    fn line(&self, name: &str) -> String {
        format!("{name}{}", if self.is_directory() { "/\n" } else { "\n" })
    }

    fn flatten(&self, path: &mut String, lines: &mut String) {
        match self {
            Self::Dir(dir) => {
                let shown = |entry: &Entry| entry.visibility.in_recursion() && !entry.node.is_closed();
                for (segment, entry) in dir.entries.iter().filter(|(_, entry)| shown(entry)) {
                    below(path, segment, |path| entry.node.flatten(path, lines));
                }
            }
            Self::Array(array) => {
                for (index, node) in array.items.iter().enumerate() {
                    below(path, &index.to_string(), |path| node.flatten(path, lines));
                }
            }
            Self::Leaf(leaf) => flatten_value(&leaf.value, path, lines),
            Self::Computed => {}
        }
    }
}

impl Leaf {
    /// Renders the requested format, or else the leaf's default format.
    fn represent(&self, alt: Option<Format>) -> Representation {
        self.form(alt, TEXT).tagged(self.cache.tag(|| self.json()))
    }

    /// Renders the requested format, or else the leaf's default format, without an entity tag.
    pub(crate) fn represent_untagged(&self, alt: Option<Format>, text_type: HeaderValue) -> Representation {
        self.form(alt, text_type).untagged()
    }

    fn form(&self, alt: Option<Format>, text_type: HeaderValue) -> Representation {
        match alt.unwrap_or(self.default) {
            Format::Text => Representation::new(self.text(), text_type),
            Format::Json => Representation::new(self.json(), JSON),
        }
    }

    /// The value as text: one line per item of a list or value of an object; a single value has no line break.
    pub fn text(&self) -> Bytes {
        self.cache
            .text
            .get_or_init(|| match &self.value {
                Value::Array(items) => items.iter().map(|item| plain(item) + "\n").collect::<String>().into(),
                Value::Object(_) => {
                    let mut lines = String::new();
                    flatten_value(&self.value, &mut String::new(), &mut lines);
                    lines.into()
                }
                one => plain(one).into(),
            })
            .clone()
    }

    /// The value as compact JSON.
    pub fn json(&self) -> Bytes {
        self.cache.json.get_or_init(|| to_json(&self.value)).clone()
    }
}

impl RenderCache {
    fn tag(&self, json: impl FnOnce() -> Bytes) -> HeaderValue {
        self.tag.get_or_init(|| entity_tag(&json())).clone()
    }

    fn listing(&self, of: &Node) -> &Listing {
        self.listing.get_or_init(|| {
            let names = Bytes::from(of.list());
            Box::new(Listing { tag: entity_tag(&names), names })
        })
    }
}

/// Writes a value as lines of path and value. A list of plain values has a line per item with the same path; items of other lists have
/// their index in the path. Empty lists and objects have no line.
fn flatten_value(value: &Value, path: &mut String, lines: &mut String) {
    match value {
        Value::Object(object) => {
            object.iter().for_each(|(key, value)| below(path, key, |path| flatten_value(value, path, lines)));
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            for (index, item) in items.iter().enumerate() {
                below(path, &index.to_string(), |path| flatten_value(item, path, lines));
            }
        }
        Value::Array(items) => items.iter().for_each(|item| flatten_value(item, path, lines)),
        one => {
            lines.push_str(path);
            lines.push(' ');
            lines.push_str(&plain(one));
            lines.push('\n');
        }
    }
}

fn below(path: &mut String, segment: &str, visit: impl FnOnce(&mut String)) {
    let parent = path.len();
    if parent > 0 {
        path.push('/');
    }
    path.push_str(segment);
    visit(path);
    path.truncate(parent);
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(string) => string.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[expect(clippy::expect_used, reason = "keys are strings, and a Vec takes every write")]
fn to_json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("nodes and values serialize").into()
}

/// Keys are sorted in byte order, which differs from the order of the path segments.
impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Dir(dir) => {
                let mut shown: Vec<_> = dir.entries.values().filter(|entry| entry.visibility.in_recursion()).collect();
                shown.sort_unstable_by(|a, b| a.json_key.cmp(&b.json_key));
                let mut map = serializer.serialize_map(Some(shown.len()))?;
                shown
                    .into_iter()
                    .try_for_each(|entry| map.serialize_entry(&*entry.json_key, &FromAbove(&entry.node)))?;
                map.end()
            }
            Self::Array(array) => {
                let mut list = serializer.serialize_seq(Some(array.items.len()))?;
                array.items.iter().try_for_each(|item| list.serialize_element(&**item))?;
                list.end()
            }
            Self::Leaf(leaf) => leaf.value.serialize(serializer),
            Self::Computed => serializer.serialize_unit(),
        }
    }
}

/// A node in the recursion of a directory above it.
struct FromAbove<'a>(&'a Node);

impl Serialize for FromAbove<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_closed() { serializer.serialize_map(Some(0))?.end() } else { self.0.serialize(serializer) }
    }
}

#[cfg(test)]
mod tests;
