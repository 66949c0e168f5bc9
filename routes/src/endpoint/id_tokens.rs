//! `service-accounts/…/identity`.

use super::{Answer, Call, Endpoint, Reply, refused};
use crate::snapshot::Reader;
use crate::token::{IdTokenRequest, IdTokenSource, InstanceClaims};
use crate::tree::{Leaf, Node, Tree};
use gce_metadata_layers::{Rejection, boolean};
use http::{HeaderValue, Method};
use std::time::{SystemTime, UNIX_EPOCH};
use tower::ServiceExt;

pub(crate) struct IdTokens {
    reader: Reader,
    source: Option<IdTokenSource>,
    /// The VM is as old as the server.
    created: SystemTime,
}

impl IdTokens {
    pub(crate) fn new(reader: Reader, source: Option<IdTokenSource>) -> Self {
        Self { reader, source, created: SystemTime::now() }
    }

    fn request(&self, call: &Call<'_>) -> Result<IdTokenRequest, Rejection> {
        let snapshot = self.reader.snapshot();
        let account = call.account(snapshot.tree())?;
        let audience = call.parameter("audience").filter(|audience| !audience.is_empty());
        let audience = audience.ok_or(Rejection::Precondition("non-empty audience parameter required"))?.into_owned();
        let is_full = call.parameter("format").is_some_and(|format| format.eq_ignore_ascii_case("full"));
        let licenses = call.parameter("licenses").is_some_and(|licenses| boolean(&licenses) == Some(true));
        let instance = is_full.then(|| instance_claims(snapshot.tree(), self.created, licenses));
        Ok(IdTokenRequest { account, audience, instance })
    }
}

impl Endpoint for IdTokens {
    /// As for access tokens: google-auth POSTs a certificate chain.
    fn allows(&self, method: &Method) -> bool {
        [Method::GET, Method::HEAD, Method::POST].contains(method)
    }

    fn call(&self, call: Call<'_>) -> Reply {
        let Some(source) = self.source.clone() else { return Err(Rejection::NotFound).into() };
        let request = match self.request(&call) {
            Ok(request) => request,
            Err(rejection) => return Err(rejection).into(),
        };
        Reply::Later(Box::pin(async move {
            let email = request.account.email.clone();
            let token = source.oneshot(request).await.map_err(|error| refused(&error, &email))?;
            Ok(Answer::Computed {
                leaf: Leaf::text_by_default(token.token.expose()),
                text_type: HeaderValue::from_static("text/html"),
            })
        }))
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
        zone: zone.rsplit('/').next().unwrap_or_default().to_owned(),
    }
}

fn license_ids(tree: &Tree) -> Vec<String> {
    let id = |index: usize| tree.text(&format!("instance/licenses/{index}/id"));
    match tree.get("instance/licenses").map(|node| &**node) {
        Some(Node::Array(_)) => (0..).map_while(id).collect(),
        _ => Vec::new(),
    }
}
