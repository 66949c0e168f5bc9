//! The environment of the command: the variables of [`ClientEnvironment`], and those of the options of `exec`.

use crate::cli::client_env::{ClientEnvironment, SERVER_ONLY, proxy_exceptions};
use crate::cli::scratch::ScratchFolder;
use crate::cli::target::Target;
use anyhow::Context;
use gce_metadata_server::Variables;
use std::ffi::OsString;
use std::path::Path;

/// Hosts of the metadata server that the command asks by way of the proxy.
const METADATA_HOSTS: [&str; 4] = ["169.254.169.254", "metadata.google.internal", "metadata.goog", "metadata"];

/// Hosts that the command asks directly, even if it uses the proxy.
const LOCAL_HOSTS: [&str; 3] = ["127.0.0.1", "localhost", "::1"];

/// The options of `exec` that decide the environment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wiring {
    pub(super) via_proxy: bool,
    pub(super) fresh_home: bool,
    /// The server issues client certificates to google-auth's folder.
    pub(super) client_certificates: bool,
}

impl Wiring {
    /// The changes to the inherited environment.
    pub(super) fn environment(
        self,
        server: &Target,
        inherited: &Variables,
        scratch: &ScratchFolder,
    ) -> anyhow::Result<ClientEnvironment> {
        let subfolder = |name| scratch.subfolder(name).context("can't create a temporary folder");
        let mut environment = ClientEnvironment::new(server, inherited, &subfolder("gcloud")?);
        if self.client_certificates {
            environment = environment.with_client_certificates();
        }
        for name in SERVER_ONLY {
            environment.set(name, None);
        }
        if self.via_proxy {
            set_proxy(&mut environment, server, inherited);
        }
        if self.fresh_home {
            set_home(&mut environment, inherited, &subfolder("home")?);
        }
        Ok(environment)
    }
}

/// Makes the server the proxy of HTTP, also for the metadata hosts that `NO_PROXY` usually names.
fn set_proxy(environment: &mut ClientEnvironment, server: &Target, inherited: &Variables) {
    let url = format!("http://{server}");
    for name in ["HTTP_PROXY", "http_proxy"] {
        environment.set(name, Some(url.clone().into()));
    }
    let mut exceptions = proxy_exceptions(inherited);
    exceptions.retain(|entry| !covers_metadata(entry));
    for host in LOCAL_HOSTS.into_iter().chain([server.bare_host()]) {
        if !exceptions.iter().any(|known| known == host) {
            exceptions.push(host.to_owned());
        }
    }
    for name in ["NO_PROXY", "no_proxy"] {
        environment.set(name, Some(exceptions.join(",").into()));
    }
    let own = format!("-Dhttp.proxyHost={} -Dhttp.proxyPort={}", server.bare_host(), server.port());
    let options = match inherited.text("JAVA_TOOL_OPTIONS").filter(|options| !options.is_empty()) {
        // Java takes the last of two values.
        Some(options) => format!("{options} {own}"),
        None => own,
    };
    environment.set("JAVA_TOOL_OPTIONS", Some(options.into()));
}

/// Whether an entry of `NO_PROXY` exempts a metadata host from the proxy.
fn covers_metadata(entry: &str) -> bool {
    let name = entry.trim_start_matches('*').trim_start_matches('.');
    let is_suffix_of = |host: &&str| host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    name.is_empty() || name.starts_with("169.254.") || METADATA_HOSTS.iter().any(is_suffix_of)
}

/// Sets `HOME` to an empty folder. Go's caches stay where they are, because modules need not be downloaded again.
fn set_home(environment: &mut ClientEnvironment, inherited: &Variables, home: &Path) {
    environment.set("HOME", Some(home.into()));
    let Some(old) = inherited.get("HOME").map(Path::new) else { return };
    for (name, folder) in [("GOPATH", "go"), ("GOCACHE", ".cache/go-build")] {
        if inherited.get(name).is_none() && old.join(folder).is_dir() {
            environment.set(name, Some(OsString::from(old.join(folder))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(wiring: Wiring, inherited: &[(&str, &str)]) -> Vec<(&'static str, Option<String>)> {
        let inherited = inherited.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let parent = tempfile::tempdir().unwrap();
        let scratch = ScratchFolder::create(parent.path()).unwrap();
        let server = Target::from_host("127.0.0.1:4000").unwrap();
        let environment = wiring.environment(&server, &inherited, &scratch).unwrap();
        environment.iter().map(|(name, value)| (name, value.map(|it| it.to_str().unwrap().to_owned()))).collect()
    }

    fn value(wiring: Wiring, inherited: &[(&str, &str)], name: &str) -> Option<String> {
        let found: Vec<_> =
            environment(wiring, inherited).into_iter().filter(|(known, _)| *known == name).map(|it| it.1).collect();
        assert_eq!(found.len(), 1, "{name}");
        found.into_iter().next().unwrap()
    }

    const PLAIN: Wiring = Wiring { via_proxy: false, fresh_home: false, client_certificates: false };
    const PROXY: Wiring = Wiring { via_proxy: true, ..PLAIN };

    #[test]
    fn the_tokens_and_passwords_of_the_server_are_unset() {
        for name in [
            "GOOGLE_ACCESS_TOKEN",
            "GOOGLE_ID_TOKEN",
            "GCE_METADATA_KEY_PASS",
            "GCE_METADATA_PARENT_PASS",
            "GCE_METADATA_PKCS11_PIN",
        ] {
            assert_eq!(value(PLAIN, &[(name, "made-up")], name), None);
        }
    }

    #[test]
    fn the_proxy_serves_metadata_hosts_that_no_proxy_names() {
        let inherited =
            [("NO_PROXY", "a.example.com,metadata.google.internal,169.254.0.0/16,.internal,*,b.example.com")];
        for name in ["NO_PROXY", "no_proxy"] {
            assert_eq!(value(PROXY, &inherited, name).unwrap(), "a.example.com,b.example.com,127.0.0.1,localhost,::1");
        }
        for name in ["HTTP_PROXY", "http_proxy"] {
            assert_eq!(value(PROXY, &[], name).unwrap(), "http://127.0.0.1:4000");
        }
    }

    #[test]
    fn the_proxy_of_java_is_appended_to_its_options() {
        let own = "-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=4000";
        assert_eq!(value(PROXY, &[], "JAVA_TOOL_OPTIONS").unwrap(), own);
        let inherited = [("JAVA_TOOL_OPTIONS", "-Xmx1g")];
        assert_eq!(value(PROXY, &inherited, "JAVA_TOOL_OPTIONS").unwrap(), format!("-Xmx1g {own}"));
    }

    #[test]
    fn a_fresh_home_keeps_the_caches_of_go() {
        let old = tempfile::tempdir().unwrap();
        std::fs::create_dir(old.path().join("go")).unwrap();
        let inherited = [("HOME", old.path().to_str().unwrap())];
        let fresh = Wiring { fresh_home: true, ..PLAIN };
        assert!(value(fresh, &inherited, "HOME").unwrap().ends_with("/home"));
        assert_eq!(value(fresh, &inherited, "GOPATH").unwrap(), old.path().join("go").to_str().unwrap());
        assert!(!environment(fresh, &inherited).iter().any(|(name, _)| *name == "GOCACHE"));
    }
}
