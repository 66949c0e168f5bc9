//! `/0.1/meta-data/service-accounts/…/acquire`: an access token in the words of the first API.

use super::{Answer, Call, Kind, access};
use crate::accounts::ServiceAccount;
use crate::token::{AccessToken, AccessTokenRequest};
use crate::tree::represent::TEXT;
use crate::tree::{Leaf, Tree};
use gce_metadata_layers::Rejection;
use serde_json::json;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug)]
pub(crate) struct Acquire;

impl Kind for Acquire {
    type Request = AccessTokenRequest;
    type Token = AccessToken;

    fn request(
        &self,
        call: &Call<'_>,
        tree: &Tree,
        account: Arc<ServiceAccount>,
    ) -> Result<AccessTokenRequest, Rejection> {
        access::request(call, tree, account, "scope")
    }

    fn answer(token: &AccessToken) -> Answer {
        let expiry = SystemTime::now() + token.expires_in;
        let leaf = Leaf::json_by_default(json!({
            "accessToken": token.token.expose(),
            "expiresAt": expiry.duration_since(UNIX_EPOCH).map_or(0, |expiry| expiry.as_secs()),
            "expiresIn": token.expires_in.as_secs(),
        }));
        Answer::Computed { leaf, text_type: TEXT }
    }
}
