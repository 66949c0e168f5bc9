//! The facts that the checks of `doctor` read: the environment, the machine, and the server's answers.

use super::probe::Answers;
use crate::cli::client::Client;
use crate::cli::target::Target;
use gce_metadata_server::Variables;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Where google-auth expects the certificates of HTTPS.
const CERTIFICATES: &str = "/run/google-mds-mtls";

/// Files that Docker and Podman create in each container.
const CONTAINER_FILES: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

/// The facts.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) variables: Variables,
    /// The server that clients are to ask.
    pub(super) target: Target,
    /// The client of `--client`.
    pub(super) client: Option<Client>,
    pub(super) machine: Machine,
    /// The server's answers, or why there are none.
    pub(super) server: Result<Answers, String>,
    /// Whether a metadata server answers at 169.254.169.254.
    pub(super) fixed_address_answers: bool,
}

/// The machine that `doctor` runs on.
#[derive(Debug)]
pub(super) struct Machine {
    /// The folder where google-auth expects certificates.
    pub(super) certificates: PathBuf,
    pub(super) is_container: bool,
    pub(super) now: SystemTime,
}

impl Machine {
    /// This machine.
    pub(super) fn this(variables: &Variables) -> Self {
        let in_kubernetes = variables.get("KUBERNETES_SERVICE_HOST").is_some();
        let is_container = in_kubernetes || CONTAINER_FILES.iter().any(|file| Path::new(file).exists());
        Self { certificates: CERTIFICATES.into(), is_container, now: SystemTime::now() }
    }
}

impl Facts {
    pub(super) fn new(variables: Variables, target: Target, client: Option<Client>, machine: Machine) -> Self {
        let server = Err("not asked".to_owned());
        Self { variables, target, client, machine, server, fixed_address_answers: false }
    }

    /// The value of a variable. `None` if it is empty, which most clients take as unset.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        self.variables.text(name).filter(|value| !value.is_empty())
    }

    /// gcloud's folder.
    pub(super) fn gcloud_folder(&self) -> Option<PathBuf> {
        self.variable("CLOUDSDK_CONFIG").map(PathBuf::from).or_else(|| self.home_gcloud_folder())
    }

    /// gcloud's folder for clients that don't read `CLOUDSDK_CONFIG`.
    pub(super) fn home_gcloud_folder(&self) -> Option<PathBuf> {
        self.variable("HOME").map(|home| Path::new(&home).join(".config/gcloud"))
    }

    /// The answers of the server, if it answers.
    pub(super) fn answers(&self) -> Option<&Answers> {
        self.server.as_ref().ok()
    }
}

#[cfg(test)]
impl Facts {
    /// A machine where all clients reach the server, with these variables in addition.
    pub(super) fn example(variables: &[(&str, &str)]) -> Self {
        let target = Target::default();
        let host = target.to_string();
        let names = ["GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"].map(|name| (name, host.as_str()));
        let variables = names.into_iter().chain(variables.iter().copied());
        let variables = variables.map(|(name, value)| (name.into(), value.into())).collect();
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000);
        let machine = Machine { certificates: "/no/such/folder".into(), is_container: false, now };
        let mut facts = Self::new(variables, target, None, machine);
        facts.server = Ok(Answers::example(now));
        facts
    }
}
