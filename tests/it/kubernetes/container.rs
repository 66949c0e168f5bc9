//! Starts the server with the arguments, variables and files of a container in a rendered manifest, as the kubelet does, and sends
//! the container's probes. The paths of volumes are moved to a temporary folder, and the ports are free ones.

use super::{Manifests, containers};
use crate::support::google::{AUDIENCE, Google, SUBJECT_TOKEN};
use crate::support::kubernetes_volume::KubernetesVolume;
use crate::support::program::{Program, failed_start};
use crate::support::{Answer, Client, get_at, request};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;
use tokio::net::TcpStream;

const PROGRAM: &str = env!("CARGO_BIN_EXE_gce-metadata-server");
/// The account in `config.json` of the kustomizations.
const ACCOUNT: &str = "metadata-sa@my-project.iam.gserviceaccount.com";

/// The files of each volume.
type Volumes = BTreeMap<String, BTreeMap<String, String>>;

/// A container with its volumes, ready to start.
struct Container {
    spec: Value,
    folder: TempDir,
    volumes: BTreeMap<String, KubernetesVolume>,
}

impl Container {
    /// Mounts the volumes of the server's container in this pod.
    fn new(pod: &Value, volumes: &Volumes) -> Self {
        let spec = containers(pod).find(|container| container["name"] == "metadata").unwrap().clone();
        let mut container = Self { spec, folder: tempfile::tempdir().unwrap(), volumes: BTreeMap::new() };
        for mount in container.spec["volumeMounts"].as_array().unwrap() {
            let [name, path] = ["name", "mountPath"].map(|key| mount[key].as_str().unwrap());
            assert!(mount["subPath"].is_null() && mount["readOnly"] == true, "{name}");
            let files: Vec<_> =
                volumes[name].iter().map(|(file, text)| (file.clone(), container.moved(text))).collect();
            let files: Vec<_> = files.iter().map(|(file, text)| (file.as_str(), text.as_str())).collect();
            let volume = KubernetesVolume::new(Path::new(&container.moved(path)), &files);
            container.volumes.insert(name.to_owned(), volume);
        }
        container
    }

    /// The text with the paths of volumes below the temporary folder.
    fn moved(&self, text: &str) -> String {
        let paths =
            self.spec["volumeMounts"].as_array().unwrap().iter().map(|mount| mount["mountPath"].as_str().unwrap());
        paths.fold(text.to_owned(), |text, path| text.replace(path, &format!("{}{path}", self.folder.path().display())))
    }

    /// The command of the container, after the image's entry point.
    fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(["--interface", "0.0.0.0"]).env_clear().current_dir(self.folder.path());
        for argument in self.spec["args"].as_array().unwrap() {
            command.arg(self.moved(argument.as_str().unwrap()));
        }
        command.args(["--port=0", "--metrics-port=0"]);
        for variable in self.spec["env"].as_array().into_iter().flatten() {
            let [name, value] = ["name", "value"].map(|key| variable[key].as_str().unwrap());
            command.env(name, self.moved(value));
        }
        command.stdin(Stdio::null());
        command
    }

    fn start(&self) -> Running<'_> {
        let mut command = self.command();
        command.stderr(Stdio::null());
        let mut program = Program::of(command);
        let host = program.wait_for("export GCE_METADATA_HOST=");
        let metrics = program.wait_for("# Metrics and health at http://");
        Running { container: self, host, metrics, _program: program }
    }

    /// The value of an option among the arguments.
    fn option(&self, name: &str) -> &str {
        let arguments = self.spec["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap());
        let prefix = format!("{name}=");
        arguments.filter_map(|argument| argument.strip_prefix(&prefix)).next_back().unwrap()
    }
}

/// A running container.
struct Running<'a> {
    container: &'a Container,
    host: String,
    metrics: String,
    _program: Program,
}

impl Running<'_> {
    /// Sends all probes of the container, in the kubelet's order; returns how many there were. Each must succeed.
    async fn probe(&self) -> usize {
        let spec = &self.container.spec;
        let probes = ["startupProbe", "readinessProbe", "livenessProbe"].map(|name| &spec[name]);
        let probes = probes.into_iter().filter(|probe| !probe.is_null());
        let mut count = 0;
        for probe in probes {
            count += 1;
            if let Some(command) = probe["exec"]["command"].as_array() {
                let words: Vec<_> = command.iter().map(|word| word.as_str().unwrap()).collect();
                assert_eq!(words[0], "/gce-metadata-server", "the program in the image");
                let port = format!("127.0.0.1:{}", self.container.option("--port"));
                let words = words[1..].iter().map(|word| word.replace(&port, &self.host));
                let output = Command::new(PROGRAM).args(words).env_clear().output().unwrap();
                assert!(output.status.success(), "{probe}: {}", String::from_utf8_lossy(&output.stderr));
                continue;
            }
            let port = spec["ports"].as_array().unwrap().iter().find(|port| port["name"] == probe["httpGet"]["port"]);
            assert_eq!(port.unwrap()["containerPort"].to_string(), self.container.option("--metrics-port"));
            let path = probe["httpGet"]["path"].as_str().unwrap();
            let stream = TcpStream::connect(&self.metrics).await.unwrap();
            let answer = Client::over(stream, "10.8.0.7:9000").await.send(request("GET", path, &[]), "").await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        }
        count
    }

    /// Asks under the name by which clients in the cluster know the server.
    async fn get_as(&self, host: &str, path: &str) -> Answer {
        Client::over(TcpStream::connect(&self.host).await.unwrap(), host).await.get(path).await
    }

    async fn access_token(&self) -> String {
        let answer = get_at(&self.host, "instance/service-accounts/default/token").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }
}

fn files<const N: usize>(files: [(&str, String); N]) -> BTreeMap<String, String> {
    files.map(|(name, text)| (name.to_owned(), text)).into()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the packages that scripts/test installs"]
async fn the_container_of_the_service_serves_tokens_of_the_key_and_follows_its_volumes() {
    let (google, manifests) = (Google::start().await, Manifests::read("base"));
    let key = |google: &Google| files([("metadata-sa.json", google.service_account(ACCOUNT).to_string())]);
    let volumes = [("config".into(), manifests.config_map("mds-config")), ("key".into(), key(&google))];
    let pod = &manifests.get("Deployment", "metadata")["spec"]["template"]["spec"];
    let mut container = Container::new(pod, &volumes.into());
    let running = container.start();
    assert_eq!(running.probe().await, 2);
    assert_eq!(google.api(&running.access_token().await).unwrap().0, ACCOUNT);
    let service = manifests.get("Service", "metadata-service");
    assert_eq!(service["spec"]["ports"][0]["port"].to_string(), container.option("--port"));
    for host in ["metadata-service:8080", "metadata-service.my-namespace.svc.cluster.local:8080"] {
        assert_eq!(running.get_as(host, "project/project-id").await.body, "my-project", "{host}");
    }
    let tag = get_at(&running.host, "project/project-id").await.etag().to_owned();
    let (host, _program) = (running.host, running._program);
    let changed = json!({"project": {"projectId": "changed"}}).to_string();
    container.volumes.get_mut("config").unwrap().update(&[("config.json", &changed)]);
    let changed = get_at(&host, &format!("project/project-id?wait_for_change=true&last_etag={tag}")).await;
    assert_eq!(changed.body, "changed");
}

#[tokio::test]
#[ignore = "needs the packages that scripts/test installs"]
async fn without_a_key_the_container_of_the_service_serves_offline_tokens() {
    let manifests = Manifests::read("service");
    let volumes = [("config".into(), manifests.config_map("mds-config"))];
    let pod = &manifests.get("Deployment", "metadata")["spec"]["template"]["spec"];
    let container = Container::new(pod, &volumes.into());
    let running = container.start();
    assert_eq!(running.probe().await, 2);
    assert!(running.access_token().await.starts_with("ya29."));
}

#[tokio::test]
#[ignore = "needs the packages that scripts/test installs"]
async fn without_federation_the_sidecar_serves_offline_tokens() {
    let manifests = Manifests::read("sidecar-offline");
    let volumes = [
        ("metadata-sidecar".into(), manifests.config_map("metadata-sidecar")),
        ("metadata-identity".into(), files([])),
    ];
    let (_, pod) = manifests.pods().next().unwrap();
    let container = Container::new(pod, &volumes.into());
    let running = container.start();
    assert_eq!(running.probe().await, 3);
    assert!(running.access_token().await.starts_with("ya29."));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the packages that scripts/test installs"]
async fn the_sidecar_exchanges_the_projected_token_of_its_pod() {
    let (google, manifests) = (Google::start().await, Manifests::read("sidecar"));
    google.allow_impersonation(ACCOUNT);
    let mut config = manifests.config_map("metadata-sidecar");
    let file = config.get_mut("external-account.json").unwrap();
    let mut json: Value = serde_json::from_str(file).unwrap();
    json["audience"] = AUDIENCE.into();
    *file = json.to_string();
    for host in ["https://sts.googleapis.com", "https://iamcredentials.googleapis.com"] {
        assert!(file.contains(host), "{file}");
        *file = file.replace(host, &google.url);
    }
    for workload in ["app", "migrate"] {
        let (_, pod) = manifests.pods().find(|(name, _)| *name == workload).unwrap();
        let identity =
            pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "metadata-identity").unwrap();
        let token = identity["projected"]["sources"][0]["serviceAccountToken"]["path"].as_str().unwrap();
        let volumes = [
            ("metadata-sidecar".into(), config.clone()),
            ("metadata-identity".into(), files([(token, SUBJECT_TOKEN.to_owned())])),
        ];
        assert_eq!(
            pod["initContainers"][0]["name"], "metadata",
            "the first init container: the others may need tokens"
        );
        assert_eq!(pod["initContainers"][0]["restartPolicy"], "Always");
        let container = Container::new(pod, &volumes.into());
        let running = container.start();
        assert_eq!(running.probe().await, 3);
        assert_eq!(google.api(&running.access_token().await).unwrap().0, ACCOUNT, "{workload}");
        let clients = manifests.config_map("metadata-sidecar-client");
        assert_eq!(clients["GCE_METADATA_HOST"], format!("127.0.0.1:{}", container.option("--port")));
        assert!(running.host.starts_with("127.0.0.1:"), "{}: other pods must not reach it", running.host);
    }
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn the_key_of_the_base_must_be_replaced() {
    let manifests = Manifests::read("base");
    let placeholder =
        std::fs::read_to_string(crate::support::repository("deploy/kustomize/base/metadata-sa.json")).unwrap();
    let volumes = [
        ("config".into(), manifests.config_map("mds-config")),
        ("key".into(), files([("metadata-sa.json", placeholder)])),
    ];
    let pod = &manifests.get("Deployment", "metadata")["spec"]["template"]["spec"];
    let container = Container::new(pod, &volumes.into());
    let error = failed_start(container.command());
    assert!(error.contains("/certs/metadata-sa.json: "), "{error}");
}
