//! The directories above `/computeMetadata/v1/`, whose listings are constants.

use super::{Answer, Call, Endpoint, Reply};
use bytes::Bytes;
use gce_metadata_layers::{Query, Rejection};
use std::sync::Arc;

/// A constant listing. It ignores `recursive=true`: these paths require no header, so they must not show any metadata.
#[derive(Debug)]
pub(crate) struct StaticListing {
    listing: &'static str,
}

impl StaticListing {
    pub(crate) fn shared(listing: &'static str) -> Arc<Self> {
        Arc::new(Self { listing })
    }
}

impl Endpoint for StaticListing {
    fn call(&self, call: Call<'_>) -> Reply {
        if !call.path.is_directory() {
            return Err(Rejection::MissingSlash).into();
        }
        listing(&call, self.listing).into()
    }
}

/// Answers a listing that is not a node's. Like listings of nodes, it refuses `alt` and `wait_for_change`.
pub(super) fn listing(call: &Call<'_>, lines: impl Into<Bytes>) -> Result<Answer, Rejection> {
    let query = Query::parse(call.head.query());
    if query.alt.is_some() || query.wait_for_change { Err(Rejection::BadRequest) } else { Ok(Answer::text(lines)) }
}
