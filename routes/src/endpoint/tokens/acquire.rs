//! `/0.1/meta-data/service-accounts/…/acquire`: access tokens in the format of the first API.

use super::{Answer, Call, Object, TokenKind, access, exposed};
use crate::accounts::ServiceAccount;
use crate::token::{AccessToken, AccessTokenRequest, Secret};
use crate::tree::Tree;
use gce_metadata_layers::Rejection;
use serde::Serialize;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug)]
pub(crate) struct Acquire;

impl TokenKind for Acquire {
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
        Object::answer(Acquired {
            access_token: token.token.clone(),
            expires_at: now.map_or(0, |now| now.as_secs()).saturating_add(seconds),
            expires_in: seconds,
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Acquired {
    #[serde(serialize_with = "exposed")]
    access_token: Secret,
    expires_at: u64,
    expires_in: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use gce_metadata_layers::{Query, Represent};
    use std::time::Duration;

    #[test]
    fn an_unlimited_lifetime_does_not_overflow() {
        let token = AccessToken { token: "ya29.made-up".to_owned().into(), expires_in: Duration::MAX };
        let answer = Acquire::answer(&token).represent(&Query::default()).unwrap();
        let answer: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(answer["expiresAt"], u64::MAX);
    }
}
