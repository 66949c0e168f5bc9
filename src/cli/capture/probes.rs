//! Requests whose answers GCE does not document: error pages, missing headers, unusual queries. Their answers are for comparison only.

use super::walk::{Answer, Client};
use crate::cli::http_client::FLAVOR;
use http::{HeaderName, HeaderValue};

const NO_HEADER: &[(&str, &str)] = &[];
const GOOGLE: &[(&str, &str)] = &[("metadata-flavor", "Google")];

/// Whole paths, with the headers of the request.
const PROBES: &[(&str, &[(&str, &str)])] = &[
    ("/", NO_HEADER),
    ("/0.1/", NO_HEADER),
    ("/computeMetadata/", NO_HEADER),
    ("/computeMetadata/v1", NO_HEADER),
    ("/computeMetadata/v1/", NO_HEADER),
    ("/computeMetadata/v1/", &[("metadata-flavor", "google")]),
    ("/computeMetadata/v1/", &[("metadata-flavor", "Other")]),
    ("/computeMetadata/v1/", &[("x-google-metadata-request", "True")]),
    ("/computeMetadata/v1/", &[FORWARDED, ("metadata-flavor", "Google")]),
    ("/computeMetadata/v1beta1/", NO_HEADER),
    ("/computeMetadata/v1//project//project-id", GOOGLE),
    ("/computeMetadata/v1/?recursive=true&alt=text", GOOGLE),
    ("/computeMetadata/v1/instance", GOOGLE),
    ("/computeMetadata/v1/instance/?alt=json", GOOGLE),
    ("/computeMetadata/v1/instance/?wait_for_change=true&timeout_sec=0", GOOGLE),
    ("/computeMetadata/v1/instance/attributes?recursive=true", GOOGLE),
    ("/computeMetadata/v1/instance/credentials/?recursive=true", GOOGLE),
    ("/computeMetadata/v1/instance/description?alt=json", GOOGLE),
    ("/computeMetadata/v1/instance/disks/99/", GOOGLE),
    ("/computeMetadata/v1/instance/gce-workload-certificates/?recursive=true", GOOGLE),
    ("/computeMetadata/v1/instance/id/", GOOGLE),
    ("/computeMetadata/v1/instance/id?alt=json", GOOGLE),
    ("/computeMetadata/v1/instance/id?alt=other", GOOGLE),
    ("/computeMetadata/v1/instance/id?recursive=1", GOOGLE),
    ("/computeMetadata/v1/instance/id?recursive=other", GOOGLE),
    ("/computeMetadata/v1/instance/id?wait_for_change=true&timeout_sec=0", GOOGLE),
    ("/computeMetadata/v1/instance/id?wait_for_change=true&last_etag=0&timeout_sec=-1", GOOGLE),
    ("/computeMetadata/v1/instance/n%61me", GOOGLE),
    ("/computeMetadata/v1/instance/not-there?a=%3Cb%3E", GOOGLE),
    ("/computeMetadata/v1/instance/partner-attributes/?recursive=true", GOOGLE),
    ("/computeMetadata/v1/instance/service-accounts/not-there@example.com/email", GOOGLE),
    ("/computeMetadata/v1/instance/shutdown-details/?recursive=true", GOOGLE),
    ("/computeMetadata/v1/instance/tags?alt=text", GOOGLE),
    ("/computeMetadata/v1/instance/upcoming-maintenance?alt=json", GOOGLE),
    ("/computeMetadata/v1/instance/upcoming-maintenance?recursive=true&alt=json", GOOGLE),
    ("/computeMetadata/v1/universe/", GOOGLE),
    ("/computeMetadata/v1/universe/?recursive=true", GOOGLE),
];

const FORWARDED: (&str, &str) = ("x-forwarded-for", "192.0.2.1");

/// A request and its answer.
pub(super) struct Probed {
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) answer: Answer,
}

impl Probed {
    /// A request with the header of metadata requests.
    pub(super) fn with_flavor(path: String, answer: Answer) -> Self {
        let headers = vec![(FLAVOR.0.to_string(), "Google".to_owned())];
        Self { path, headers, answer }
    }
}

/// Sends all probes. A request without an answer is left out.
pub(super) async fn ask(client: &Client) -> Vec<Probed> {
    let mut probed = Vec::new();
    for (path, headers) in PROBES {
        let sent = headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        if let Ok(answer) = client.get(path, sent).await {
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            probed.push(Probed { path: (*path).to_owned(), headers, answer });
        }
    }
    probed
}
