//! Fakes of AWS for federation: the instance metadata server, and AWS STS verifying a signed `GetCallerIdentity` request. The
//! verification follows AWS' description of Signature Version 4 and shares no code with the crate that signs.

use super::{AUDIENCE, Google};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use http::Method;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(crate) const SECRET_KEY: &str = "made-up-secret-key";
pub(crate) const VERIFICATION_URL: &str =
    "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15";
const SESSION: &str = "made-up-session";

/// The instance metadata server (IMDSv2), which requires a session token.
pub(super) fn metadata(method: &Method, path: &str, header: impl Fn(&'static str) -> String) -> Option<Value> {
    let has_session = header("x-aws-ec2-metadata-token") == SESSION;
    let answer = match (method, path) {
        (&Method::PUT, "api/token") if header("x-aws-ec2-metadata-token-ttl-seconds") == "300" => json!(SESSION),
        (&Method::GET, "meta-data/placement/availability-zone") if has_session => json!("eu-north-1b"),
        (&Method::GET, "meta-data/iam/security-credentials") if has_session => json!("made-up-role"),
        (&Method::GET, "meta-data/iam/security-credentials/made-up-role") if has_session => json!({
            "Code": "Success", "AccessKeyId": "AKIDMADEUP", "SecretAccessKey": SECRET_KEY, "Token": "made-up-token",
        }),
        _ => return None,
    };
    Some(answer)
}

impl Google {
    /// Credentials of a workload on that instance.
    pub(crate) fn aws_workload(&self) -> Value {
        let at = |path: &str| format!("{}/latest/{path}", self.url);
        let mut json = self.workload(json!({
            "environment_id": "aws1",
            "region_url": at("meta-data/placement/availability-zone"),
            "url": at("meta-data/iam/security-credentials"),
            "regional_cred_verification_url": VERIFICATION_URL,
            "imdsv2_session_token_url": at("api/token"),
        }));
        json["subject_token_type"] = "urn:ietf:params:aws:token-type:aws4_request".into();
        json
    }
}

/// Verifies the signed request in this subject token; returns the access key ID and the region.
pub(super) fn verify(subject_token: &str) -> Result<String, String> {
    let text = percent_decode_str(subject_token).decode_utf8().map_err(|error| error.to_string())?;
    let signed_request: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let url = signed_request["url"].as_str().unwrap();
    let (host, query) = url.strip_prefix("https://").and_then(|url| url.split_once('?')).ok_or("no such URL")?;
    if signed_request["method"] != "POST" || query != "Action=GetCallerIdentity&Version=2011-06-15" {
        return Err("not a GetCallerIdentity request".to_owned());
    }
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let headers = signed_request["headers"].as_array().unwrap().iter();
    let headers: BTreeMap<String, String> =
        headers.map(|header| (text(&header["key"]).to_lowercase(), text(&header["value"]))).collect();
    if headers["x-goog-cloud-target-resource"] != AUDIENCE || headers["host"] != host {
        return Err("signed for another audience".to_owned());
    }
    let parts = headers["authorization"].strip_prefix("AWS4-HMAC-SHA256 ").ok_or("another algorithm")?;
    let parts: BTreeMap<&str, &str> = parts.split(", ").filter_map(|part| part.split_once('=')).collect();
    let (key_id, scope) = parts["Credential"].split_once('/').ok_or("no scope")?;
    let signed_headers = parts["SignedHeaders"];
    for needed in ["host", "x-amz-date", "x-goog-cloud-target-resource"] {
        if !signed_headers.split(';').any(|name| name == needed) {
            return Err(format!("{needed} is not signed"));
        }
    }
    let lines: String = signed_headers.split(';').map(|name| format!("{name}:{}\n", headers[name])).collect();
    let canonical = format!("POST\n/\n{query}\n{lines}\n{signed_headers}\n{}", hex(digest(&SHA256, b"").as_ref()));
    let hash = hex(digest(&SHA256, canonical.as_bytes()).as_ref());
    let to_sign = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{hash}", headers["x-amz-date"]);
    let first = format!("AWS4{SECRET_KEY}").into_bytes();
    let key = scope.split('/').fold(first, |key, part| hmac(&key, part));
    if hex(&hmac(&key, &to_sign)) != parts["Signature"] {
        return Err("The request signature we calculated does not match".to_owned());
    }
    let region = scope.split('/').nth(1).unwrap_or_default();
    match host == format!("sts.{region}.amazonaws.com") {
        true => Ok(format!("{key_id} in {region}")),
        false => Err("signed for another region".to_owned()),
    }
}

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    sign(&Key::new(HMAC_SHA256, key), message.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
