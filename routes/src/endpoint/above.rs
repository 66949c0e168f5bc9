//! What stands above `/computeMetadata/v1/`: fixed listings.

use super::{Answer, Call, Endpoint, Reply};
use bytes::Bytes;
use gce_metadata_layers::{Query, Rejection};
use http::HeaderValue;

/// A fixed listing. It has no other form, and `recursive=true` does nothing: these paths demand no header, so nothing of the
/// metadata may show here.
#[derive(Debug)]
pub(crate) struct Above {
    listing: &'static str,
}

impl Above {
    pub(crate) fn new(listing: &'static str) -> Self {
        Self { listing }
    }
}

impl Endpoint for Above {
    fn call(&self, call: Call<'_>) -> Reply {
        if !call.path.is_directory() {
            return Err(Rejection::MissingSlash).into();
        }
        let query = Query::parse(call.head.query());
        if query.alt.is_some() || query.wait_for_change {
            return Err(Rejection::BadRequest).into();
        }
        let body = Bytes::from_static(self.listing.as_bytes());
        Ok(Answer::Document { body, content_type: HeaderValue::from_static("application/text") }).into()
    }
}
