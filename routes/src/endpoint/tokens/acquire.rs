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
        let (now, seconds) = (SystemTime::now().duration_since(UNIX_EPOCH), token.expires_in.as_secs());
        let leaf = Leaf::json_by_default(json!({
            "accessToken": token.token.expose(),
            "expiresAt": now.map_or(0, |now| now.as_secs()).saturating_add(seconds),
            "expiresIn": seconds,
        }));
        Answer::Computed { leaf, text_type: TEXT }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_token_may_be_good_for_ever() {
        let token = AccessToken { token: "ya29.made-up".to_owned().into(), expires_in: Duration::MAX };
        let Answer::Computed { leaf, .. } = Acquire::answer(&token) else { panic!("a token is no node of the tree") };
        assert_eq!(leaf.value()["expiresAt"], u64::MAX);
    }
}
