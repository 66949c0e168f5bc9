//! Checks of `doctor`: google-auth asks by HTTP, unless the server serves it by HTTPS.

use super::facts::Facts;
use super::finding::{EXEC, Finding};
use crate::cli::client::Client::Python;

const MODE: &str = "GCE_METADATA_MTLS_MODE";

/// The hosts that google-auth asks by HTTPS.
const HTTPS_HOSTS: [&str; 2] = ["metadata.google.internal", "169.254.169.254"];

pub(super) fn fine(_: &Facts) -> String {
    "Python asks by HTTP, or has the certificates for HTTPS".to_owned()
}

pub(super) fn find(facts: &Facts) -> Option<Vec<Finding>> {
    let folder = &facts.machine.certificates;
    let has_certificates = folder.join("root.crt").exists() && folder.join("client.key").exists();
    let is_https_host = facts.variable("GCE_METADATA_HOST").is_none_or(|host| HTTPS_HOSTS.contains(&host.as_str()));
    let folder = folder.display();
    // google-auth does not take an empty value as unset.
    let mode = facts.variables.text(MODE).map(|mode| mode.to_lowercase());
    let finding = match mode.as_deref() {
        Some("none") => return Some(Vec::new()),
        Some("strict") if !is_https_host => Finding::error(
            format!(
                "{MODE} is strict, and GCE_METADATA_HOST names another host than metadata.google.internal: Python fails"
            ),
            &[Python],
        ),
        Some("strict") if !has_certificates => {
            Finding::error(format!("{MODE} is strict, and {folder} has no certificates: Python fails"), &[Python])
        }
        Some("strict") => return Some(Vec::new()),
        Some("default") | None if !has_certificates => return Some(Vec::new()),
        Some("default") => Finding::warning(
            format!("{folder} has certificates, and {MODE} is default: Python asks by HTTPS"),
            &[Python],
        ),
        None => Finding::warning(
            format!("{folder} has certificates, and {MODE} is not set: some versions of Python's library ask by HTTPS"),
            &[Python],
        ),
        Some(_) => Finding::error(format!("{MODE} is not strict, none or default: Python fails"), &[Python]),
    };
    Some(vec![finding.remedy(format!("export {MODE}=none")).or(EXEC)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Severity;

    #[test]
    fn the_mode_and_the_certificates_decide() {
        let folder = tempfile::tempdir().unwrap();
        let severity = |mode: &str, host: &str| {
            let mode = Some((MODE, mode)).filter(|_| mode != "unset");
            let host = ("GCE_METADATA_HOST", host);
            let mut facts = Facts::example(&[&[host], mode.as_slice()].concat());
            facts.machine.certificates = folder.path().to_owned();
            find(&facts).unwrap().first().map(|finding| finding.severity)
        };
        let (own, google) = ("127.0.0.1:8080", "metadata.google.internal");
        for mode in ["unset", "none", "default", "DEFAULT"] {
            assert_eq!(severity(mode, own), None, "{mode}");
        }
        for (mode, host) in [("strict", own), ("strict", google), ("Strict", own), ("other", own), ("", own)] {
            assert_eq!(severity(mode, host), Some(Severity::Error), "{mode}");
        }
        for file in ["root.crt", "client.key"] {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        for mode in ["unset", "default"] {
            assert_eq!(severity(mode, own), Some(Severity::Warning), "{mode}");
        }
        for (mode, host) in [("none", own), ("strict", google), ("strict", "")] {
            assert_eq!(severity(mode, host), None, "{mode}");
        }
    }
}
