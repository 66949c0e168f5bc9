//! `service-accounts/…/identity`: identity tokens.

use super::{Answer, Call, TokenKind};
use crate::accounts::ServiceAccount;
use crate::token::{IdToken, IdTokenRequest, InstanceClaims};
use crate::tree::{Leaf, Node, Tree};
use gce_metadata_layers::{Rejection, parse_bool};
use http::{HeaderValue, StatusCode};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const NO_AUDIENCE: Rejection = Rejection::worded(StatusCode::BAD_REQUEST, "non-empty audience parameter required");

#[derive(Debug)]
pub(crate) struct Identity {
    /// The creation time of the VM in tokens: the start of the server.
    created: SystemTime,
}

impl Identity {
    pub(crate) fn new() -> Self {
        Self { created: SystemTime::now() }
    }
}

impl TokenKind for Identity {
    type Request = IdTokenRequest;
    type Token = IdToken;

    fn request(&self, call: &Call<'_>, tree: &Tree, account: Arc<ServiceAccount>) -> Result<IdTokenRequest, Rejection> {
        let audience = call.parameter("audience").filter(|audience| !audience.is_empty());
        let audience = audience.ok_or(NO_AUDIENCE)?.into_owned();
        let is_full = call.parameter("format").is_some_and(|format| format.eq_ignore_ascii_case("full"));
        let licenses = call.parameter("licenses").is_some_and(|licenses| parse_bool(&licenses) == Some(true));
        tracing::debug!(account = account.email, audience, is_full, "identity token requested");
        let instance = is_full.then(|| instance_claims(tree, self.created, licenses));
        Ok(IdTokenRequest { account, audience, instance })
    }

    fn answer(token: &IdToken) -> Answer {
        Answer::computed(Leaf::text_by_default(token.token.expose()), HeaderValue::from_static("text/html"))
    }
}

fn instance_claims(tree: &Tree, created: SystemTime, licenses: bool) -> InstanceClaims {
    let text = |path| tree.text(path).unwrap_or_default();
    let zone = text("instance/zone");
    InstanceClaims {
        creation_timestamp: created.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs()),
        id: text("instance/id"),
        name: text("instance/name"),
        license_ids: licenses.then(|| license_ids(tree)),
        project_id: text("project/project-id"),
        project_number: text("project/numeric-project-id").parse().unwrap_or(0),
        // projects/123/zones/us-central1-a
        zone: zone.rsplit_once('/').map_or(&*zone, |(_, name)| name).to_owned(),
    }
}

fn license_ids(tree: &Tree) -> Vec<String> {
    let id = |index: usize| tree.text(&format!("instance/licenses/{index}/id"));
    match tree.get("instance/licenses").map(|node| &**node) {
        Some(Node::Array(_)) => (0..).map_while(id).collect(),
        _ => Vec::new(),
    }
}
