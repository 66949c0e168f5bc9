//! A network of its own for commands of a page that change addresses, names or packet filters: Linux namespaces in which they run as
//! root. Their changes to `/etc` are discarded, and all their processes end with it.

use crate::support::repository;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub(super) struct Network {
    /// The first process of the namespaces; it waits for the end of standard input.
    first: Child,
    pid: String,
}

impl Network {
    pub(super) fn new() -> Self {
        let mut first = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "bash"])
            .arg(repository("tests/it/docs/network.sh"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pid = String::new();
        BufReader::new(first.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        assert!(!pid.is_empty(), "no namespaces: run this test as root");
        Self { first, pid: pid.trim().to_owned() }
    }

    /// The command that runs its arguments in the network and in this folder.
    pub(super) fn enter(&self, folder: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid, "--net", "--mount", "--pid"]);
        command.arg(format!("--wd={}", folder.display()));
        command
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.first.kill();
        let _ = self.first.wait();
    }
}
