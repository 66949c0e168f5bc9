//! Checks of `doctor`: clients don't send metadata requests to a proxy. The addresses of proxies are not printed, because they may
//! contain a password.

use super::facts::Facts;
use super::finding::{EXEC, Finding, quoted};
use crate::cli::client::sentence;
use crate::cli::client_env::{no_proxy, proxy_exceptions, readers};
use crate::cli::target::Target;

const PROXIES: [&str; 6] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"];

pub(super) fn fine(facts: &Facts) -> String {
    match PROXIES.iter().any(|name| facts.variable(name).is_some()) {
        true => "clients ask the server directly, or the server is the proxy".to_owned(),
        false => "no proxy is set".to_owned(),
    }
}

pub(super) fn find(facts: &Facts) -> Option<Vec<Finding>> {
    let host = facts.target.bare_host();
    if proxy_exceptions(&facts.variables).iter().any(|entry| exempts(entry, host)) {
        return Some(Vec::new());
    }
    let list = quoted(&no_proxy(&facts.target, &facts.variables));
    let remedy = format!("export NO_PROXY={list} no_proxy={list}");
    let finding = |name: &str| {
        let clients = readers(name);
        let send = sentence(clients, "sends", "send");
        let what = format!("{name} is set, and NO_PROXY does not name {host}: {send} metadata requests to the proxy");
        Finding::warning(what, clients).remedy(remedy.clone()).or(EXEC)
    };
    let foreign = |name: &&&str| facts.variable(name).is_some_and(|url| !is_server(facts, &url));
    Some(PROXIES.iter().filter(foreign).map(|name| finding(name)).collect())
}

/// Whether the server itself is the HTTP proxy, so that clients reach it by all names of a metadata server: `exec --via-proxy`.
pub(super) fn is_via_server(facts: &Facts) -> bool {
    let is_direct = proxy_exceptions(&facts.variables).iter().any(|entry| exempts(entry, "169.254.169.254"));
    let names = ["HTTP_PROXY", "http_proxy"];
    !is_direct && names.iter().all(|name| facts.variable(name).is_some_and(|url| is_server(facts, &url)))
}

fn is_server(facts: &Facts, proxy: &str) -> bool {
    Target::from_url(proxy).is_some_and(|proxy| proxy == facts.target)
}

/// Whether an entry of `NO_PROXY` names the host, a domain above it, or all hosts. Many clients don't know ranges of addresses.
fn exempts(entry: &str, host: &str) -> bool {
    let domain = entry.trim_start_matches("*.").trim_start_matches('.');
    let is_above = || host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    entry == "*" || (!domain.is_empty() && is_above())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(variables: &[(&str, &str)]) -> Vec<String> {
        find(&Facts::example(variables)).unwrap().iter().map(|finding| finding.line("proxy")).collect()
    }

    #[test]
    fn a_proxy_is_reported_without_its_password() {
        let found = lines(&[("HTTP_PROXY", "http://user:made-up@proxy:3128"), ("all_proxy", "socks5://proxy")]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("HTTP_PROXY is set, and NO_PROXY does not name 127.0.0.1: Python, "), "{found:?}");
        assert!(found.iter().all(|line| !line.contains("made-up") && line.contains("export NO_PROXY=127.0.0.1,")));
    }

    #[test]
    fn node_prefers_the_proxy_of_https() {
        let found = lines(&[("HTTPS_PROXY", "http://proxy:3128")]);
        assert!(found.len() == 1 && found[0].contains(": Node sends metadata requests to the proxy"), "{found:?}");
    }

    #[test]
    fn exempted_hosts_and_the_server_itself_are_fine() {
        let proxy = ("HTTP_PROXY", "http://proxy:3128");
        for list in [("NO_PROXY", "a.example.com, 127.0.0.1"), ("no_proxy", "*")] {
            assert_eq!(lines(&[proxy, list]), [""; 0], "{list:?}");
        }
        assert_eq!(lines(&[("http_proxy", "http://127.0.0.1:8080")]), [""; 0]);
        assert!(exempts(".internal", "metadata.google.internal") && exempts("*.internal", "metadata.google.internal"));
        assert!(!exempts("google", "metadata.google.internal") && !exempts(".", "metadata"));
    }
}
