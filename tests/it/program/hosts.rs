//! DNS rebinding: requests of a web page whose name points at this server are refused, unless `--allow-host` admits them.

use super::{Running, folder, program};

const TOKEN: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

/// Sends the request that a browser sends for a page at this host, once the name resolves to the server's address. A page may set
/// any header but `Host`.
fn ask_as_a_page(running: &Running, host: &str) -> String {
    let address = running.url.strip_prefix("http://").unwrap();
    let (ip, port) = address.rsplit_once(':').unwrap();
    let page = format!("http://{host}:{port}");
    running.curl(&format!(
        "-i --resolve {host}:{port}:{ip} -H Sec-Fetch-Site:same-origin -H Sec-Fetch-Mode:cors -H Referer:{page}/ {page}{TOKEN}"
    ))
}

#[test]
fn a_rebound_host_gets_403_and_no_token() {
    let folder = folder();
    let running = Running::start(program(folder.path(), "--port 0"));
    let refused = ask_as_a_page(&running, "rebound.example.com");
    assert!(refused.starts_with("HTTP/1.1 403 Forbidden\r\n") && !refused.contains("access_token"), "{refused}");
    assert!(refused.contains("\r\nMetadata-Flavor: Google\r\n"), "{refused}");
    let (_, log) = running.stop("-TERM");
    let remedy = log.lines().find(|line| line.contains("rebound.example.com")).unwrap();
    assert!(remedy.contains("WARN") && remedy.contains("--allow-host"), "{remedy}");
}

#[test]
fn an_allowed_host_gets_a_token() {
    let folder = folder();
    let options =
        "--port 0 --allow-host vm.example.com --allow-host=.example.net --offline-issuer https://issuer.example.org";
    let running = Running::start(program(folder.path(), options));
    for host in ["vm.example.com", "a.example.net", "issuer.example.org", "metadata.google.internal", "localhost"] {
        let answer = ask_as_a_page(&running, host);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("access_token"), "{host}: {answer}");
    }
    assert!(ask_as_a_page(&running, "example.com").starts_with("HTTP/1.1 403 "));
    let error = super::refused::refused(folder.path(), "--port 0 --allow-host https://vm.example.com");
    assert!(error.contains("`https://vm.example.com` is not a host name"), "{error}");
}
