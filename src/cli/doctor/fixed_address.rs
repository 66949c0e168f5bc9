//! Checks of `doctor`: clients that read no variable reach the server at 169.254.169.254.

use super::address;
use super::facts::Facts;
use super::finding::Finding;
use super::proxy;
use crate::cli::client::Client::{self, Php, Rust};

pub(super) const CLIENTS: &[Client] = &[Php, Rust];

/// The commands that serve at the fixed address.
pub(super) const SERVE: &str = "sudo ip address add 169.254.169.254/32 dev lo && \
                     echo '169.254.169.254 metadata metadata.google.internal' | sudo tee -a /etc/hosts && \
                     sudo gce-metadata-server --interface 169.254.169.254 --port 80";

/// Whether the checks need to know if a server answers at the fixed address.
pub(super) fn matters(facts: &Facts) -> bool {
    facts.client == Some(Php) || address::is_unset(facts)
}

pub(super) fn fine(facts: &Facts) -> String {
    match facts.client {
        Some(Php) => "PHP reaches a metadata server at 169.254.169.254".to_owned(),
        Some(Rust) => {
            "google-cloud-auth reads GCE_METADATA_HOST; gcp_auth and tame-oauth read no variable, see doctor --client php"
                .to_owned()
        }
        _ => "not checked: PHP, Rust's gcp_auth and tame-oauth, the Ops Agent, the guest agent, cloud-init, ohai, facter and \
              Prometheus read no variable and ask 169.254.169.254, see doctor --client php"
            .to_owned(),
    }
}

pub(super) fn find(facts: &Facts) -> Option<Vec<Finding>> {
    let is_reached = facts.fixed_address_answers || proxy::is_via_server(facts);
    if facts.client != Some(Php) || is_reached {
        return Some(Vec::new());
    }
    let what = "PHP reads no variable and asks 169.254.169.254, where no metadata server answers";
    let finding = Finding::error(what, &[Php]).remedy(SERVE);
    Some(vec![finding.or("run the program with gce-metadata-server exec --via-proxy, if it uses HTTP_PROXY")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn php_needs_the_fixed_address_or_the_server_as_its_proxy() {
        let found = |variables: &[(&str, &str)], answers| {
            let mut facts = Facts::example(variables);
            facts.client = Some(Php);
            facts.fixed_address_answers = answers;
            find(&facts).unwrap().first().map(|finding| finding.line("fixed-address"))
        };
        let line = found(&[], false).unwrap();
        assert!(line.starts_with("error: PHP reads no variable and asks 169.254.169.254"), "{line}");
        assert!(line.contains("; remedy: sudo ip address add 169.254.169.254/32 dev lo && echo "), "{line}");
        assert_eq!(found(&[], true), None);
        let server = "http://127.0.0.1:8080";
        let proxy = [("HTTP_PROXY", server), ("http_proxy", server)];
        assert_eq!(found(&proxy, false), None);
        assert!(found(&[proxy[0], proxy[1], ("NO_PROXY", "169.254.169.254")], false).is_some());
    }
}
