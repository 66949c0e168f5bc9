//! The route list.
//!
//! Whatever is published needs no route: the tree has it. A route of its own is for what is computed for each request, and
//! for the little that stands above `/computeMetadata/v1/`.

use crate::endpoint::{Above, Access, Endpoint, Identity, Legacy, Published, Tokens};
use crate::snapshot::Reader;
use crate::token::TokenSources;
use std::sync::Arc;

/// Where the tree is mounted.
pub(crate) const PREFIX: &str = "/computeMetadata/v1";

pub(crate) fn routes(reader: &Reader, tokens: &TokenSources) -> Vec<(&'static str, Arc<dyn Endpoint>)> {
    let published = Arc::new(Published::new(reader.clone()));
    let access_tokens = Arc::new(Tokens::new(Access, reader.clone(), tokens.access.clone()));
    let id_tokens = Arc::new(Tokens::new(Identity::new(), reader.clone(), tokens.id.clone()));
    vec![
        ("/", Arc::new(Above::new("0.1/\ncomputeMetadata/\n"))),
        ("/computeMetadata", Arc::new(Above::new(""))),
        ("/computeMetadata/", Arc::new(Above::new("v1/\nv1beta1/\n"))),
        ("/computeMetadata/v1", Arc::new(Above::new(""))),
        // matchit's catch-all does not match an empty rest.
        ("/computeMetadata/v1/", published.clone()),
        ("/computeMetadata/v1/{*path}", published),
        ("/computeMetadata/v1/instance/service-accounts/{account}/token", access_tokens),
        ("/computeMetadata/v1/instance/service-accounts/{account}/identity", id_tokens),
        ("/computeMetadata/v1beta1/", Arc::new(Legacy)),
        ("/computeMetadata/v1beta1/{*path}", Arc::new(Legacy)),
        ("/0.1/", Arc::new(Legacy)),
        ("/0.1/{*path}", Arc::new(Legacy)),
    ]
}
