//! `instance/upcoming-maintenance`: the published maintenance, or an answer for a VM without any.

use super::{Answer, Call, Endpoint, Reply};
use crate::snapshot::Reader;
use crate::tree::represent::JSON;
use crate::tree::{Leaf, Node};
use gce_metadata_layers::Rejection;
use http::StatusCode;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};

const NO_NOTIFICATIONS: Rejection = Rejection::Worded {
    status: StatusCode::SERVICE_UNAVAILABLE,
    content_type: JSON,
    words: Cow::Borrowed(r#"{ "error": "no notifications have been received yet, try again later" }"#),
};

/// The answer of `instance/upcoming-maintenance` while no maintenance of the host is planned. Machines, GCE's documents and its clients
/// disagree about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoMaintenance {
    /// `NONE`, as machines without maintenance answer.
    #[default]
    Word,
    /// `{}`, as GCE's documents describe it.
    Object,
    /// 503 with an error in JSON, as Google's agents expect.
    Unavailable,
}

/// A [`NoMaintenance`] that can be changed while the server runs. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct SharedNoMaintenance(Arc<RwLock<NoMaintenance>>);

impl SharedNoMaintenance {
    /// The current answer.
    pub fn get(&self) -> NoMaintenance {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the answer. Requests that wait for a change of the value are not woken.
    pub fn set(&self, answer: NoMaintenance) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = answer;
    }
}

impl From<NoMaintenance> for SharedNoMaintenance {
    fn from(answer: NoMaintenance) -> Self {
        Self(Arc::new(RwLock::new(answer)))
    }
}

/// Answers the published maintenance, or the answer for none if it is missing or empty.
#[derive(Debug)]
pub(crate) struct UpcomingMaintenance {
    reader: Reader,
    no_maintenance: SharedNoMaintenance,
    word: Arc<Node>,
    object: Arc<Node>,
}

impl UpcomingMaintenance {
    pub(crate) fn new(reader: Reader, no_maintenance: SharedNoMaintenance) -> Self {
        let node = |leaf| Arc::new(Node::Leaf(leaf));
        let (word, object) = (node(Leaf::text_by_default("NONE")), node(Leaf::json_by_default(json!({}))));
        Self { reader, no_maintenance, word, object }
    }

    fn none(&self) -> Option<&Arc<Node>> {
        match self.no_maintenance.get() {
            NoMaintenance::Word => Some(&self.word),
            NoMaintenance::Object => Some(&self.object),
            NoMaintenance::Unavailable => None,
        }
    }
}

impl Endpoint for UpcomingMaintenance {
    fn call(&self, _: Call<'_>) -> Reply {
        let snapshot = self.reader.snapshot();
        let node = snapshot.tree().get("instance/upcoming-maintenance").filter(|node| !is_empty(node));
        let answer = node.or_else(|| self.none()).map(|node| Answer::Published(Arc::clone(node)));
        answer.ok_or(NO_NOTIFICATIONS).into()
    }
}

fn is_empty(node: &Node) -> bool {
    let Node::Leaf(leaf) = node else { return false };
    match leaf.value() {
        Value::Null => true,
        Value::String(word) => word.is_empty(),
        Value::Object(window) => window.is_empty(),
        _ => false,
    }
}
