//! The claims of an identity token, in alphabetical order, as on GCE.

use aws_lc_rs::digest;
use gce_metadata_routes::token::{IdTokenRequest, InstanceClaims};
use serde::Serialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Debug, Serialize)]
pub(super) struct Claims<'a> {
    aud: &'a str,
    azp: String,
    #[serde(flatten)]
    full: Option<Email<'a>>,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    google: Option<Google<'a>>,
    iat: u64,
    iss: &'a str,
    sub: String,
}

#[derive(Debug, Serialize)]
struct Email<'a> {
    email: &'a str,
    email_verified: bool,
}

#[derive(Debug, Serialize)]
struct Google<'a> {
    compute_engine: ComputeEngine<'a>,
}

#[derive(Debug, Serialize)]
struct ComputeEngine<'a> {
    instance_creation_timestamp: u64,
    instance_id: &'a str,
    instance_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    license_id: Option<&'a [String]>,
    project_id: &'a str,
    project_number: u64,
    zone: &'a str,
}

impl<'a> Claims<'a> {
    pub(super) fn new(request: &'a IdTokenRequest, iss: &'a str, now: SystemTime, lifetime: Duration) -> Self {
        let iat = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let sub = unique_id(&request.account.email);
        let email = Email { email: &request.account.email, email_verified: true };
        Self {
            aud: &request.audience,
            azp: sub.clone(),
            full: request.instance.is_some().then_some(email),
            exp: iat + lifetime.as_secs(),
            google: request.instance.as_ref().map(|instance| Google { compute_engine: compute_engine(instance) }),
            iat,
            iss,
            sub,
        }
    }
}

fn compute_engine(instance: &InstanceClaims) -> ComputeEngine<'_> {
    ComputeEngine {
        instance_creation_timestamp: instance.creation_timestamp,
        instance_id: &instance.id,
        instance_name: &instance.name,
        license_id: instance.license_ids.as_deref(),
        project_id: &instance.project_id,
        project_number: instance.project_number,
        zone: &instance.zone,
    }
}

/// The unique id of a service account: 21 digits that begin with 1. It is derived from the e-mail, so that it is stable
/// across restarts and servers.
fn unique_id(email: &str) -> String {
    let hash = digest::digest(&digest::SHA256, email.as_bytes());
    let number = hash.as_ref().iter().take(12).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    format!("1{:020}", number % 10_u128.pow(20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unique_id_is_stable_and_has_21_digits() {
        let id = unique_id("a@example.com");
        assert!(id.len() == 21 && id.starts_with('1') && id.bytes().all(|byte| byte.is_ascii_digit()), "{id}");
        assert_eq!(id, unique_id("a@example.com"));
        assert_ne!(id, unique_id("b@example.com"));
    }
}
