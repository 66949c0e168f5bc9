//! The image, built by `scripts/release/image` from this build, and run by a plain OCI runtime as container engines run it: as another
//! user, without capabilities, in a read-only file system.

mod bundle;
mod compose;
mod container;
mod docker;

use crate::support::google::new_key;
use crate::support::netns::NetworkNamespace;
use crate::support::program::{Program, run};
use crate::support::repository;
use container::Container;
use docker::DockerRun;
use serde_json::json;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Runs `docker run` lines in a folder and a network of their own.
struct Engine {
    network: NetworkNamespace,
    folder: TempDir,
}

impl Engine {
    fn new() -> Self {
        Self { network: NetworkNamespace::new(), folder: TempDir::new().unwrap() }
    }

    /// The line with the path of the folder instead of `$PWD`.
    fn in_folder(&self, line: &str) -> String {
        let folder = self.folder.path().to_str().unwrap();
        line.replace("$PWD", folder).replace("`pwd`", folder)
    }

    /// A container of this `docker run` line.
    fn container(&self, line: &str) -> Container {
        Container::of(&DockerRun::parse(&self.in_folder(line)), &self.network.path())
    }

    /// Starts a server, and waits until it serves.
    fn serve(&self, line: &str) -> RunningServer {
        let container = self.container(line);
        RunningServer { runc: container.serve(), container }
    }

    /// Runs a command to its end; returns its exit status and its output.
    fn output(&self, line: &str) -> (Option<i32>, String) {
        let output = self.container(line).run().output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text)
    }

    /// Writes a file that everyone may read.
    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        run(Command::new("chmod").arg("-R").arg("go+rX").arg(self.folder.path()));
    }

    fn curl(&self, path: &str) -> String {
        let url = format!("http://127.0.0.1:8080/computeMetadata/v1/{path}");
        run(self.network.command("curl").args(["-sS", "--fail", "-H", "Metadata-Flavor: Google", &url]))
    }
}

/// A server in a container; killed when dropped.
struct RunningServer {
    runc: Program,
    container: Container,
}

/// A key file of a service account that does not exist.
fn key_file() -> String {
    let (key, _) = new_key();
    let email = "metadata-sa@sample-project.iam.gserviceaccount.com";
    json!({"type": "service_account", "client_email": email, "private_key_id": "1", "private_key": key}).to_string()
}

fn config() -> String {
    std::fs::read_to_string(repository("config.json")).unwrap()
}

#[test]
#[ignore = "needs root, buildah, umoci and runc, which scripts/test installs"]
fn a_google_auth_client_outside_gets_tokens_from_the_container() {
    let engine = Engine::new();
    engine.write("config.json", &config());
    // A config at /config.json is served without an option.
    let server = engine.serve("docker run -v $PWD/config.json:/config.json:ro IMAGE");
    let python = repository("target/clients/venv/bin/python");
    let mut client = engine.network.command(python.to_str().unwrap());
    client.arg(repository("tests/clients/python/auth.py")).env("HOME", engine.folder.path());
    client.envs(["GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"].map(|name| (name, "127.0.0.1:8080")));
    assert_eq!(run(&mut client), "google-auth: ok\n");
    server.container.exec(&bundle::image_config().health_check());
}

#[test]
#[ignore = "needs root, buildah, umoci and runc, which scripts/test installs"]
fn the_process_has_no_capability_and_another_user_in_a_read_only_root() {
    let engine = Engine::new();
    let server = engine.serve("docker run IMAGE");
    let process = server.container.process();
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    for line in [
        "Uid:\t65532\t65532",
        "Gid:\t65532\t65532",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    let mounts = std::fs::read_to_string(format!("/proc/{process}/mounts")).unwrap();
    let root = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/")).unwrap();
    assert!(root.split(' ').nth(3).unwrap().split(',').any(|option| option == "ro"), "{root}");
}

#[test]
#[ignore = "needs root, buildah, umoci and runc, which scripts/test installs"]
fn the_container_ends_within_a_second_of_sigterm() {
    let engine = Engine::new();
    let RunningServer { runc, container } = engine.serve("docker run IMAGE");
    let start = Instant::now();
    container.terminate();
    runc.wait();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
#[ignore = "needs root, buildah, umoci and runc, which scripts/test installs"]
fn docker_run_lines_of_the_go_program_work_with_this_image() {
    let engine = Engine::new();
    engine.write("config.json", &config());
    engine.write("certs/metadata-sa.json", &key_file());
    let server = engine.serve(
        "docker run -v `pwd`/certs/:/certs/ -v `pwd`/config.json:/config.json -p 8080:8080 -t IMAGE \
         -serviceAccountFile /certs/metadata-sa.json --configFile=/config.json -logtostderr -alsologtostderr -v 5 \
         -interface 0.0.0.0 -port :8080",
    );
    assert_eq!(engine.curl("project/project-id"), "sample-project");
    drop(server);

    let _server = engine.serve(
        "docker run -p 8080:8080 -e GOOGLE_ACCESS_TOKEN=some_static_token -e GOOGLE_NUMERIC_PROJECT_ID=123 \
         -e GOOGLE_PROJECT_ID=my-project -e GOOGLE_SERVICE_ACCOUNT=sa@my-project.iam.gserviceaccount.com \
         -e GOOGLE_ID_TOKEN=some_id_token -v `pwd`/config.json:/config.json -t IMAGE \
         -port :8080 --configFile=/config.json --interface=0.0.0.0 -logtostderr -alsologtostderr -v 5",
    );
    let token = engine.curl("instance/service-accounts/default/token");
    assert!(token.contains("\"access_token\":\"some_static_token\""), "{token}");
    assert_eq!(engine.curl("project/project-id"), "my-project");
}

/// A service container of a CI system takes neither arguments nor files.
#[test]
#[ignore = "needs root, buildah, umoci and runc, which scripts/test installs"]
fn a_container_without_arguments_serves_the_config_of_its_variable() {
    let engine = Engine::new();
    let environment = vec![r#"GCE_METADATA_CONFIG={"project": {"projectId": "my-project"}}"#.to_owned()];
    let container = Container::of(&DockerRun { environment, ..DockerRun::default() }, &engine.network.path());
    let _server = container.serve();
    container.exec(&bundle::image_config().health_check());
    assert_eq!(engine.curl("project/project-id"), "my-project");
}

#[test]
#[ignore = "needs root, buildah, umoci and runc, which scripts/test installs"]
fn an_unreadable_key_is_an_error_that_names_the_user_option_and_the_option_works() {
    let engine = Engine::new();
    engine.write("key.json", &key_file());
    let key = engine.folder.path().join("key.json");
    run(Command::new("chmod").arg("600").arg(&key));
    run(Command::new("chown").arg("1234:1235").arg(&key));
    let line = "docker run -v $PWD/key.json:/key.json IMAGE --service-account-file /key.json";
    let (status, output) = engine.output(line);
    assert_eq!(status, Some(1), "{output}");
    assert!(output.contains("/key.json: Permission denied") && output.contains("--user 1234:1235"), "{output}");
    engine.serve(&line.replace(" IMAGE", " --user 1234:1235 IMAGE"));
}

#[test]
#[ignore = "needs root, buildah, umoci and runc, which scripts/test installs"]
fn commands_that_do_not_listen_work_behind_the_entry_point() {
    let engine = Engine::new();
    engine.write("config.json", &config());
    engine.write("certs/none", "");
    run(Command::new("chown").arg("65532").arg(engine.folder.path().join("certs")));
    let volumes = "-v $PWD/config.json:/config.json:ro -v $PWD/certs:/certs";
    for (arguments, status, expected) in [
        ("check-config config.json", 0, "config.json: ok"),
        ("certs init certs", 0, ""),
        ("--version", 0, "gce-metadata-server "),
        ("help health", 0, "Usage: gce-metadata-server health"),
        ("health", 1, "can't connect"),
        ("tpm ek-name --tpm-path /dev/tpmrm0", 1, "TPM"),
    ] {
        let (ended_with, output) = engine.output(&format!("docker run {volumes} IMAGE {arguments}"));
        assert_eq!(ended_with, Some(status), "{arguments}: {output}");
        assert!(output.contains(expected), "{arguments}: {output}");
    }
    assert!(engine.folder.path().join("certs/server.crt").exists());
}

#[test]
#[ignore = "needs root, buildah, umoci and runc, which scripts/test installs"]
fn the_image_describes_itself() {
    let image = bundle::image_config();
    assert_eq!(image.config["Entrypoint"], json!(["/gce-metadata-server", "--interface", "0.0.0.0"]));
    assert_eq!(image.config["User"], "65532:65532");
    assert_eq!(image.config["ExposedPorts"], json!({"8080/tcp": {}, "9000/tcp": {}}));
    assert_eq!(image.health_check(), ["/gce-metadata-server", "health"]);
    let label = |name: &str| image.config["Labels"][format!("org.opencontainers.image.{name}")].as_str().unwrap();
    assert_eq!((label("version"), label("licenses")), (env!("CARGO_PKG_VERSION"), "Apache-2.0"));
    assert_eq!((label("title"), label("revision").len()), ("gce-metadata-server", 40));
}

#[test]
#[ignore = "needs root, buildah, umoci and runc, which scripts/test installs"]
fn the_image_has_certificates_and_licences_and_no_shell() {
    let root = bundle::unpacked().join("rootfs");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    assert!(read("etc/ssl/certs/ca-certificates.crt").matches("BEGIN CERTIFICATE").count() > 100);
    assert!(read("LICENSE").contains("Apache License") && read("THIRD-PARTY-LICENSES.txt").contains("tokio v1"));
    assert!(read("usr/share/doc/libc6/copyright").contains("GNU"));
    assert!(!root.join("bin/sh").exists() && !root.join("usr/bin").exists());
}

#[test]
#[ignore = "needs root, buildah, umoci and runc, which scripts/test installs"]
fn an_image_built_twice_has_the_same_digest() {
    let first = std::fs::read_to_string(bundle::built().join("gce-metadata-server-image.digest")).unwrap();
    let again = TempDir::new().unwrap();
    let dist = again.path().join("dist");
    bundle::build(&dist);
    assert_eq!(std::fs::read_to_string(dist.join("gce-metadata-server-image.digest")).unwrap(), first);
}

/// Commands of the pages are marked as not run, because they need a container engine. Their options and arguments are run here.
#[test]
#[ignore = "needs root, buildah, umoci and runc, which scripts/test installs"]
fn docker_run_lines_of_the_deploy_page_start_servers() {
    let engine = Engine::new();
    engine.write("config.json", &config());
    let lines = docker::lines_of_page("docs/deploy.md");
    assert!(lines.len() > 3, "{lines:?}");
    for line in lines {
        let run = DockerRun::parse(&line);
        match run.arguments.first().map(String::as_str) {
            Some("check-config") => assert_eq!(engine.output(&line).0, Some(0), "{line}"),
            _ => drop(engine.serve(&line)),
        }
    }
}

/// The image for TPMs has tpm2-tss and its connections. This build has TPM support, so its image is that one.
#[cfg(feature = "tpm")]
#[test]
#[ignore = "needs root, buildah, umoci, runc and swtpm, which scripts/test installs"]
fn a_container_reaches_a_tpm() {
    let (engine, tpm) = (Engine::new(), crate::support::swtpm::Swtpm::with(&[]));
    let folder = tpm.folder.path().to_str().unwrap();
    run(Command::new("chmod").args(["-R", "a+rwX", folder]));
    let (status, output) =
        engine.output(&format!("docker run -v {folder}:/tpm IMAGE tpm ek-name --tpm-path /tpm/socket"));
    assert_eq!(status, Some(0), "{output}");
    assert!(output.starts_with("rsa: 000b"), "a name with SHA-256: {output}");
}

#[cfg(feature = "pkcs11")]
#[test]
#[ignore = "needs root, buildah, umoci, runc, softhsm2 and opensc, which scripts/test installs"]
fn a_container_loads_a_pkcs11_module() {
    let (engine, hsm) = (Engine::new(), crate::support::hsm::Hsm::new());
    // The module with its libraries, but for those of the image.
    let script = "cp \"$1\" . && ldd \"$1\" | sed -n 's/.* => \\(\\S*\\) .*/\\1/p' | grep -v /libc.so | xargs cp -Lt .";
    let folder = engine.folder.path();
    run(Command::new("sh").args(["-c", script, "sh"]).arg(crate::support::hsm::softhsm()).current_dir(folder));
    let tokens = hsm.path().to_str().unwrap();
    run(Command::new("chmod").args(["-R", "a+rwX", tokens]).arg(folder));
    let (status, output) = engine.output(&format!(
        "docker run -v $PWD:/modules:ro -v {tokens}:{tokens} -e LD_LIBRARY_PATH=/modules -e SOFTHSM2_CONF={tokens}/softhsm2.conf \
         IMAGE pkcs11 show --pkcs11-module /modules/libsofthsm2.so"
    ));
    assert_eq!(status, Some(0), "{output}");
    assert!(output.contains("token:       pkcs11:token=gce%20token"), "{output}");
}
