//! Containers of the image, run by runc with less than container engines give: no capability, and a read-only root.

use super::bundle;
use super::docker::DockerRun;
use crate::support::program::{Program, run};
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A container; killed and removed when dropped.
pub(super) struct Container {
    /// The bundle with a copy of the image's files, and runc's state.
    folder: TempDir,
}

impl Container {
    /// A container in the network namespace at this path. It is not started.
    pub(super) fn of(asked: &DockerRun, network: &str) -> Self {
        let image = bundle::unpacked();
        let folder = TempDir::new_in(bundle::folder()).unwrap();
        // Of hard links. runc adds empty files to it, where it mounts others.
        let root = folder.path().join("rootfs");
        run(Command::new("cp").arg("-al").arg(image.join("rootfs")).arg(&root));
        let config = std::fs::read(image.join("config.json")).unwrap();
        let mut config: Value = serde_json::from_slice(&config).unwrap();
        config["root"] = json!({"path": root, "readonly": true});
        let process = &mut config["process"];
        process["terminal"] = json!(false);
        process["capabilities"] = json!({});
        process["noNewPrivileges"] = json!(true);
        extend(&mut process["args"], asked.arguments.iter().map(|argument| json!(argument)));
        extend(&mut process["env"], asked.environment.iter().map(|variable| json!(variable)));
        if let Some((user, group)) = asked.user {
            process["user"] = json!({"uid": user, "gid": group});
        }
        let mounts = asked.volumes.iter().map(|(source, target, is_read_only)| {
            let mode = if *is_read_only { "ro" } else { "rw" };
            json!({"source": source, "destination": target, "type": "bind", "options": ["rbind", mode]})
        });
        extend(&mut config["mounts"], mounts);
        let linux = &mut config["linux"];
        linux["sysctl"] = asked.sysctls.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let namespaces = linux["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({"type": "network", "path": network}));
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        Self { folder }
    }

    /// The command that runs the container until it ends, with its exit status and output.
    pub(super) fn run(&self) -> Command {
        let mut command = self.runc("run");
        command.arg("--bundle").arg(self.folder.path()).arg(self.name()).stdin(Stdio::null());
        command
    }

    /// Starts the server of the container, and waits until it serves.
    pub(super) fn serve(&self) -> Program {
        let mut command = self.run();
        command.stderr(Stdio::null());
        let mut program = Program::of(command);
        program.wait_for("export GCE_METADATA_HOST=");
        program
    }

    /// Runs a command in the running container, which must succeed.
    pub(super) fn exec(&self, arguments: &[String]) {
        run(self.runc("exec").arg(self.name()).args(arguments));
    }

    /// Sends SIGTERM, as `docker stop` does.
    pub(super) fn terminate(&self) {
        run(self.runc("kill").arg(self.name()).arg("TERM"));
    }

    /// The ID of the container's process.
    pub(super) fn process(&self) -> u64 {
        let state: Value = serde_json::from_str(&run(self.runc("state").arg(self.name()))).unwrap();
        state["pid"].as_u64().unwrap()
    }

    fn runc(&self, command: &str) -> Command {
        let mut runc = Command::new("runc");
        runc.arg("--root").arg(self.folder.path().join("state")).arg(command);
        runc
    }

    /// Unique on this machine, because cgroups are called after it.
    fn name(&self) -> String {
        let folder = self.folder.path().file_name().unwrap().to_str().unwrap();
        format!("gce-metadata-server-{}", folder.trim_start_matches('.'))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Fails if the container has ended.
        let _ = self.runc("delete").args(["--force", &self.name()]).output();
    }
}

fn extend(list: &mut Value, more: impl Iterator<Item = Value>) {
    list.as_array_mut().unwrap().extend(more);
}
