//! The image of this build: made by `scripts/release/image`, and unpacked by umoci for an OCI runtime.

use crate::support::program::run;
use crate::support::repository;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The name of the image in `dist/`.
const NAME: &str = "gce-metadata-server-image";

/// Builds the image of this build in `dist`, with the libraries of this machine.
pub(super) fn build(dist: &Path) {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let program = dist.join("bin").join(target).join("gce-metadata-server");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    // Without debug information, which is most of the file.
    run(Command::new("strip").arg("-o").arg(&program).arg(env!("CARGO_BIN_EXE_gce-metadata-server")));
    run(Command::new(repository("scripts/release/image")).env("RELEASE_DIST", dist).env("RELEASE_ROOT", "/"));
}

/// The folder `dist` with the image, which all tests share. No test changes it.
pub(super) fn built() -> &'static Path {
    static DIST: LazyLock<PathBuf> = LazyLock::new(|| {
        let dist = folder().join("dist");
        let _ = std::fs::remove_dir_all(folder());
        build(&dist);
        dist
    });
    &DIST
}

/// The bundle of the image: `config.json` and `rootfs/`. No test changes it.
pub(super) fn unpacked() -> &'static Path {
    static BUNDLE: LazyLock<PathBuf> = LazyLock::new(|| {
        let image = format!("dir:{}", built().join(NAME).display());
        let oci = format!("{}:latest", folder().join("oci").display());
        let pulled = buildah(&["pull", "--quiet", &image]);
        buildah(&["push", "--quiet", pulled.trim(), &format!("oci:{oci}")]);
        let bundle = folder().join("bundle");
        run(Command::new("umoci").args(["unpack", "--image", &oci]).arg(&bundle));
        bundle
    });
    &BUNDLE
}

/// Runs buildah with a storage of these tests.
fn buildah(arguments: &[&str]) -> String {
    let mut command = Command::new("buildah");
    command.arg("--root").arg(folder().join("storage")).arg("--runroot").arg(folder().join("run"));
    run(command.args(["--storage-driver", "vfs"]).args(arguments))
}

/// The folder of these tests.
pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("image")
}

/// The settings of the image.
pub(super) struct ImageConfig {
    /// In the form of Docker's image specification.
    pub(super) config: Value,
}

impl ImageConfig {
    /// The command of the health check.
    pub(super) fn health_check(&self) -> Vec<String> {
        let test: Vec<String> = serde_json::from_value(self.config["Healthcheck"]["Test"].clone()).unwrap();
        assert_eq!(test[0], "CMD", "the image has no shell");
        test[1..].to_vec()
    }
}

/// Reads the settings of the image for this machine.
pub(super) fn image_config() -> ImageConfig {
    let image = built().join(NAME);
    let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(image.join(name)).unwrap()).unwrap() };
    let blob = |digest: &Value| digest.as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let list = read("manifest.json");
    let manifest = read(&format!("{}.manifest.json", blob(&list["manifests"][0]["digest"])));
    ImageConfig { config: read(&blob(&manifest["config"]["digest"]))["config"].clone() }
}
