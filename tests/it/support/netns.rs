//! Network namespaces: networks of their own, in which a test may take any address and port. They need root.

use super::program::run;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};

/// A network namespace with a loopback interface; removed when dropped.
pub(crate) struct NetworkNamespace {
    /// A process inside, which ends with its standard input.
    holder: Child,
}

impl NetworkNamespace {
    pub(crate) fn new() -> Self {
        assert_eq!(std::fs::metadata("/proc/self").unwrap().uid(), 0, "run this test as root");
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "ip link set lo up && echo up && exec cat"]);
        let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n", "no network namespace");
        Self { holder }
    }

    /// The path by which other programs enter the namespace.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.id())
    }

    /// A command in the namespace, with an empty environment but for `PATH`.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).args(["--", program]);
        command.env_clear().env("PATH", env!("PATH"));
        command
    }

    /// Runs `ip` in the namespace.
    pub(crate) fn ip(&self, arguments: &str) {
        run(self.command("ip").args(arguments.split(' ')));
    }

    /// Connects this namespace with another by a cable. The interfaces are called `eth0`, and have these addresses.
    pub(crate) fn connect(&self, address: &str, other: &Self, other_address: &str) {
        self.ip(&format!("link add eth0 type veth peer name eth0 netns {}", other.holder.id()));
        for (namespace, address) in [(self, address), (other, other_address)] {
            namespace.ip(&format!("address add {address} dev eth0"));
            namespace.ip("link set eth0 up");
        }
    }
}

impl Drop for NetworkNamespace {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
