//! What stands above `/computeMetadata/v1/`: fixed listings.

use super::{Answer, Call, Endpoint, Reply};
use bytes::Bytes;
use gce_metadata_layers::{Query, Rejection};

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
        listing(&call, self.listing).into()
    }
}

/// A listing that no node is behind. As with those of the tree, there is nothing to wait for and no other form.
pub(super) fn listing(call: &Call<'_>, lines: impl Into<Bytes>) -> Result<Answer, Rejection> {
    let query = Query::parse(call.head.query());
    if query.alt.is_some() || query.wait_for_change { Err(Rejection::BadRequest) } else { Ok(Answer::text(lines)) }
}
