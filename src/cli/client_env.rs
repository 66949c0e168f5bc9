//! The environment variables by which client programs find the metadata server, and what `exec` and `env` do with each.
//!
//! [`VARIABLES`] is the one table: `exec` and `env` apply it, `doctor` checks against it, and `docs/clients.md` lists it.

use super::client::Client::{self, Cpp, Dotnet, Gcloud, Go, Java, Node, Php, Python, Ruby, Rust, Terraform};
use super::target::Target;
use gce_metadata_server::Variables;
use std::ffi::OsString;
use std::path::Path;

/// A variable that decides whether clients ask the server.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: &'static str,
    pub(super) change: Change,
    /// Whether clients take an empty value as unset. Formats that can't unset a variable then write an empty value.
    pub(super) empty_is_unset: bool,
    /// The clients that read the variable.
    pub(super) readers: &'static [Client],
}

/// The change of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Set to `HOST:PORT` of the server.
    Address,
    Set(&'static str),
    Unset,
    /// Set to an empty folder: a login in gcloud's folder would be used instead of the server.
    EmptyFolder,
    /// Extended by the hosts of metadata servers, which clients must not ask by way of a proxy.
    NoProxy,
    /// Left as it is: a choice of the user, which `doctor` reports where it keeps clients from the server.
    Keep,
}

use Change::{Address, EmptyFolder, Keep, NoProxy, Set, Unset};

/// Names the mode of HTTPS in google-auth. It stays unset if the server issues certificates to google-auth's folder.
const MTLS_MODE: &str = "GCE_METADATA_MTLS_MODE";

const fn variable(name: &'static str, change: Change, readers: &'static [Client]) -> Variable {
    Variable { name, change, empty_is_unset: true, readers }
}

/// Programs do not take an empty value of this variable as unset.
const fn not_empty(name: &'static str, change: Change, readers: &'static [Client]) -> Variable {
    Variable { name, change, empty_is_unset: false, readers }
}

/// Programs test only whether this variable exists.
const fn existing(name: &'static str, readers: &'static [Client]) -> Variable {
    not_empty(name, Unset, readers)
}

/// The clients that look for a file of Application Default Credentials.
const ADC: &[Client] = &[Python, Node, Go, Java, Dotnet, Php, Ruby, Cpp, Rust, Terraform];

/// The clients that send metadata requests through a proxy.
pub(super) const PROXIED: &[Client] = &[Python, Node, Dotnet, Php, Ruby, Cpp, Rust, Gcloud];

/// All variables, in the order in which they are printed.
pub(super) const VARIABLES: &[Variable] = &[
    // With an empty value, Java asks a host without a name, as Python does for GCE_METADATA_IP, and gcloud for GCE_METADATA_ROOT.
    not_empty("GCE_METADATA_HOST", Address, &[Python, Node, Go, Java, Dotnet, Ruby, Cpp, Rust, Terraform]),
    // Python pings this address first; Node prefers it to GCE_METADATA_HOST.
    not_empty("GCE_METADATA_IP", Address, &[Python, Node]),
    // Also gsutil, bq, tensorstore, pyarrow. Python reads it where GCE_METADATA_HOST is unset.
    not_empty("GCE_METADATA_ROOT", Address, &[Gcloud]),
    // Node would ping the server for 3 s, or not at all if the value is `none`, which many test setups export.
    variable("METADATA_SERVER_DETECTION", Set("assume-present"), &[Node]),
    // The server serves plain HTTP. Python refuses an empty value.
    not_empty(MTLS_MODE, Set("none"), &[Python]),
    // The second place where these clients look for credentials. The others look in HOME only.
    variable("CLOUDSDK_CONFIG", EmptyFolder, &[Python, Node, Java, Gcloud]),
    variable("NO_PROXY", NoProxy, PROXIED),
    variable("no_proxy", NoProxy, PROXIED),
    variable("HTTP_PROXY", Keep, &[Python, Node, Dotnet, Php, Ruby, Rust, Gcloud]),
    variable("http_proxy", Keep, PROXIED),
    variable("ALL_PROXY", Keep, &[Python, Dotnet, Cpp, Rust, Gcloud]),
    variable("all_proxy", Keep, &[Python, Dotnet, Cpp, Rust, Gcloud]),
    // Node prefers the proxy of HTTPS even for HTTP.
    variable("HTTPS_PROXY", Keep, &[Node]),
    variable("https_proxy", Keep, &[Node]),
    // These clients never ask the server if it is `true`.
    variable("NO_GCE_CHECK", Unset, &[Python, Java]),
    // The first place where all libraries look for credentials. Node also reads it in lower case.
    variable("GOOGLE_APPLICATION_CREDENTIALS", Unset, ADC),
    variable("google_application_credentials", Unset, &[Node]),
    variable("CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", Unset, &[Gcloud]),
    variable("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", Unset, &[Gcloud]),
    variable("CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT", Keep, &[Gcloud]),
    variable("CLOUDSDK_CORE_ACCOUNT", Keep, &[Gcloud]),
    existing("CLOUDSDK_CORE_CHECK_GCE_METADATA", &[Gcloud]),
    variable("GOOGLE_CREDENTIALS", Unset, &[Terraform]),
    variable("GOOGLE_OAUTH_ACCESS_TOKEN", Unset, &[Terraform]),
    // These clients take the machine for Cloud Run, Cloud Functions or App Engine.
    existing("K_SERVICE", &[Node, Ruby]),
    existing("K_CONFIGURATION", &[Node, Ruby]),
    existing("FUNCTION_NAME", &[Node, Ruby]),
    existing("FUNCTION_TARGET", &[Node, Ruby]),
    existing("CLOUD_RUN_JOB", &[Node, Ruby]),
    existing("GAE_APPLICATION", &[Node, Php, Ruby]),
    existing("GAE_DEPLOYMENT_ID", &[Node, Php, Ruby]),
    existing("GAE_ENV", &[Node, Php, Ruby]),
    existing("GAE_INSTANCE", &[Node, Php, Ruby]),
    existing("GAE_RUNTIME", &[Node, Php, Ruby]),
    existing("GAE_SERVICE", &[Node, Php, Ruby]),
    existing("GAE_VERSION", &[Node, Php, Ruby]),
];

/// Variables that the server alone needs. A child process must not see them.
pub(super) const SERVER_ONLY: &[&str] = &[
    "GCE_METADATA_CONFIG",
    "GCE_METADATA_KEY_PASS",
    "GCE_METADATA_PARENT_PASS",
    "GCE_METADATA_PKCS11_PIN",
    "GOOGLE_ACCESS_TOKEN",
    "GOOGLE_ID_TOKEN",
];

/// Hosts that clients must ask directly. The server's own is added.
const DIRECT: [&str; 6] = ["127.0.0.1", "localhost", "::1", "169.254.169.254", "metadata.google.internal", "metadata"];

/// The changes to an environment that direct clients to a server.
#[derive(Debug, Default)]
pub(super) struct ClientEnvironment {
    changes: Vec<(&'static str, Option<OsString>)>,
}

impl ClientEnvironment {
    /// The changes of [`VARIABLES`] for this server. `variables` is the environment to change, `folder` an empty folder.
    pub(super) fn new(server: &Target, variables: &Variables, folder: &Path) -> Self {
        let value = |change| match change {
            Address => Some(server.to_string().into()),
            Set(value) => Some(value.into()),
            EmptyFolder => Some(folder.into()),
            NoProxy => Some(no_proxy(server, variables).into()),
            Unset | Keep => None,
        };
        let changed = VARIABLES.iter().filter(|variable| variable.change != Keep);
        Self { changes: changed.map(|variable| (variable.name, value(variable.change))).collect() }
    }

    /// The changes that undo those of [`new`](Self::new): variables are unset, and hosts are removed from `NO_PROXY`. Values from
    /// before are not known. `CLOUDSDK_CONFIG` is kept if it names a folder of the user.
    pub(super) fn undone(variables: &Variables, has_own_folder: bool) -> Self {
        let mut undone = Self::default();
        for variable in VARIABLES {
            match variable.change {
                Unset | Keep => {}
                EmptyFolder if !has_own_folder => {}
                Address | Set(_) | EmptyFolder => undone.set(variable.name, None),
                NoProxy => {
                    let mut entries = proxy_exceptions(variables);
                    entries.retain(|entry| !DIRECT.contains(&entry.as_str()));
                    let rest = (!entries.is_empty()).then(|| entries.join(",").into());
                    undone.set(variable.name, rest);
                }
            }
        }
        undone
    }

    /// Leaves the mode of HTTPS to google-auth, because the server issues certificates to it.
    pub(super) fn with_client_certificates(mut self) -> Self {
        self.set(MTLS_MODE, None);
        self
    }

    /// Sets a variable, or unsets it.
    pub(super) fn set(&mut self, name: &'static str, value: Option<OsString>) {
        self.changes.retain(|(known, _)| *known != name);
        self.changes.push((name, value));
    }

    /// The names with their new values; `None` if the variable is to be unset.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, Option<&OsString>)> {
        self.changes.iter().map(|(name, value)| (*name, value.as_ref()))
    }
}

/// Whether clients take an empty value of this variable as unset.
pub(super) fn empty_is_unset(name: &str) -> bool {
    VARIABLES.iter().find(|variable| variable.name == name).is_some_and(|variable| variable.empty_is_unset)
}

/// The clients that read this variable. Empty if the variable is not in [`VARIABLES`].
pub(super) fn readers(name: &str) -> &'static [Client] {
    VARIABLES.iter().find(|variable| variable.name == name).map_or(&[], |variable| variable.readers)
}

/// The entries of `NO_PROXY` and `no_proxy`. Some clients read the one first, some the other, so both get all of them.
pub(super) fn proxy_exceptions(variables: &Variables) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    let lists = ["NO_PROXY", "no_proxy"].map(|name| variables.text(name).unwrap_or_default());
    for entry in lists.iter().flat_map(|list| list.split(',')).map(str::trim).filter(|entry| !entry.is_empty()) {
        if !entries.iter().any(|known| known == entry) {
            entries.push(entry.to_owned());
        }
    }
    entries
}

/// The value of `NO_PROXY` with which clients ask this server directly.
pub(super) fn no_proxy(server: &Target, variables: &Variables) -> String {
    let mut entries = proxy_exceptions(variables);
    for host in DIRECT.into_iter().chain([server.bare_host()]) {
        if !entries.iter().any(|known| known == host) {
            entries.push(host.to_owned());
        }
    }
    entries.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(variables: &[(&str, &str)]) -> Vec<(&'static str, Option<String>)> {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let server = Target::from_host("127.0.0.5:4000").unwrap();
        let environment = ClientEnvironment::new(&server, &variables, Path::new("/empty"));
        environment.iter().map(|(name, value)| (name, value.map(|it| it.to_str().unwrap().to_owned()))).collect()
    }

    fn value(variables: &[(&str, &str)], name: &str) -> Option<String> {
        changed(variables).into_iter().find(|(known, _)| *known == name).unwrap().1
    }

    #[test]
    fn each_variable_is_listed_once() {
        for (index, variable) in VARIABLES.iter().enumerate() {
            assert!(VARIABLES[..index].iter().all(|other| other.name != variable.name), "{}", variable.name);
        }
    }

    #[test]
    fn the_documentation_lists_each_variable_with_its_readers() {
        let page = include_str!("../../docs/clients.md");
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
        for &Variable { name, change, readers, .. } in VARIABLES {
            let names: Vec<_> = readers.iter().map(|client| client.name()).collect();
            let (code, end) = (format!("`{name}`"), format!(" | {} |", names.join(", ")));
            let is_row = |row: &&&str| row.split(" | ").next().is_some_and(|cell| cell.contains(&code));
            let row = rows.iter().find(is_row).unwrap_or_else(|| panic!("docs/clients.md has no row for {name}"));
            assert!(row.ends_with(&end), "{name}: {readers:?} read it, but docs/clients.md says {row}");
            let title = match change {
                Keep => "They keep these",
                Unset => "Unset these:",
                Address | Set(_) | EmptyFolder | NoProxy => "Set these:",
            };
            let table = page.split_once(title).map_or("", |(_, rest)| rest).split("\n\n").nth(1);
            assert!(table.is_some_and(|table| table.contains(*row)), "{name} is not in the table `{title}`");
        }
    }

    #[test]
    fn address_variables_have_no_scheme() {
        for name in ["GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"] {
            assert_eq!(value(&[], name).unwrap(), "127.0.0.5:4000");
        }
        assert_eq!(value(&[], "CLOUDSDK_CONFIG").unwrap(), "/empty");
        assert_eq!(
            value(&[("METADATA_SERVER_DETECTION", "none")], "METADATA_SERVER_DETECTION").unwrap(),
            "assume-present"
        );
        assert_eq!(value(&[("NO_GCE_CHECK", "true")], "NO_GCE_CHECK"), None);
    }

    #[test]
    fn proxy_exceptions_are_kept_and_extended() {
        let own = "127.0.0.1,localhost,::1,169.254.169.254,metadata.google.internal,metadata,127.0.0.5";
        assert_eq!(value(&[], "NO_PROXY").unwrap(), own);
        let lists = [("NO_PROXY", "a.example.com, localhost"), ("no_proxy", "b.example.com,a.example.com")];
        for name in ["NO_PROXY", "no_proxy"] {
            let expected = format!("a.example.com,localhost,b.example.com,{}", own.replace("localhost,", ""));
            assert_eq!(value(&lists, name).unwrap(), expected);
        }
    }

    #[test]
    fn the_mtls_mode_is_unset_if_the_server_issues_client_certificates() {
        let server = Target::from_host("127.0.0.1:80").unwrap();
        let environment =
            ClientEnvironment::new(&server, &Variables::default(), Path::new("/")).with_client_certificates();
        assert!(environment.iter().any(|(name, value)| name == MTLS_MODE && value.is_none()));
    }
}
