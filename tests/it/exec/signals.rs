//! The signals that the command of `exec` gets.

use super::exec;
use std::fs::File;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A Perl program, since Debian always has Perl: it prints the name of each signal, and ends with status 7 at the second SIGTERM.
const PRINT_SIGNALS: &str = r#"
    $| = 1;
    for my $name (qw(INT QUIT HUP USR1 USR2 CONT TERM)) { $SIG{$name} = sub { print "$name\n"; $seen{$name}++ } }
    print "$$ $ENV{CLOUDSDK_CONFIG}\n";
    sleep 1 while ($seen{TERM} // 0) < 2;
    print join(" ", map { "$_=$seen{$_}" } sort keys %seen), "\n";
    exit 7;
"#;

struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    /// Sends a signal to this process, and waits until the command has printed it.
    fn passes_on(&mut self, process: u32, signal: &str) {
        kill(process, signal);
        assert_eq!(self.line(), signal);
    }

    /// Ends the command by two SIGTERMs; returns the signals that it has counted.
    fn end(mut self, exec: u32) -> String {
        self.passes_on(exec, "TERM");
        self.passes_on(exec, "TERM");
        let counts = self.line();
        assert_eq!(self.child.wait().unwrap().code(), Some(7));
        counts
    }
}

fn kill(process: u32, signal: &str) {
    assert!(Command::new("kill").args([&format!("-{signal}"), &process.to_string()]).status().unwrap().success());
}

/// Runs the command with signals that a shell or `nohup` above this test may ignore. `env` replaces itself by the command, so the number
/// of the process is that of the command. Without coreutils the command is run unchanged.
fn with_default_signals(command: Command) -> Command {
    if !cfg!(target_os = "linux") {
        return command;
    }
    let mut outer = Command::new("env");
    outer.arg("--default-signal=HUP,INT,QUIT").arg(command.get_program()).args(command.get_args());
    outer.env_clear().env("PATH", env!("PATH")).stdin(Stdio::null()).stdout(Stdio::piped());
    outer
}

#[test]
fn without_a_terminal_each_signal_is_passed_on_once() {
    let mut running = Running::start(with_default_signals(exec(&[], &["perl", "-e", PRINT_SIGNALS])));
    running.line();
    let process = running.child.id();
    for signal in ["INT", "QUIT", "HUP", "USR1", "USR2", "CONT"] {
        running.passes_on(process, signal);
    }
    assert_eq!(running.end(process), "CONT=1 HUP=1 INT=1 QUIT=1 TERM=2 USR1=1 USR2=1");
}

/// `setsid --ctty` makes the pseudo-terminal the controlling terminal of `exec` and its command.
#[test]
#[cfg(target_os = "linux")]
fn signals_of_the_terminal_are_not_passed_on() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let path = ptsname(&controller, Vec::new()).unwrap();
    let terminal = File::options().read(true).write(true).open(path.to_str().unwrap()).unwrap();
    let mut controller = File::from(controller);

    let inner = with_default_signals(exec(&[], &["perl", "-e", PRINT_SIGNALS]));
    let mut outer = Command::new("setsid");
    // `setsid` replaces itself by its command, so the number of the process is that of `exec`.
    outer.arg("--ctty").arg(inner.get_program()).args(inner.get_args());
    outer.env_clear().env("PATH", env!("PATH")).stdin(terminal).stdout(Stdio::piped());
    let mut running = Running::start(outer);
    running.line();
    let process = running.child.id();
    // The terminal sends SIGINT and SIGQUIT to the process group, which has both processes.
    for (key, signal) in [(b"\x03", "INT"), (b"\x1c", "QUIT")] {
        controller.write_all(key).unwrap();
        assert_eq!(running.line(), signal);
    }
    kill(process, "INT");
    kill(process, "CONT");
    running.passes_on(process, "USR1");
    assert_eq!(running.end(process), "INT=1 QUIT=1 TERM=2 USR1=1");
}

/// `nohup` ignores SIGHUP, and a shell without job control ignores SIGINT of a command in the background.
#[test]
#[cfg(target_os = "linux")]
fn ignored_signals_stay_ignored_for_the_command() {
    let inner = exec(&[], &["grep", "SigIgn", "/proc/self/status"]);
    let mut outer = Command::new("sh");
    outer.args(["-c", "trap '' HUP INT; exec \"$@\"", "sh"]).arg(inner.get_program()).args(inner.get_args());
    let output = outer.env_clear().env("PATH", env!("PATH")).stdin(Stdio::null()).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let ignored = u64::from_str_radix(stdout.trim().trim_start_matches("SigIgn:").trim(), 16).unwrap();
    assert_eq!(ignored & 0b11, 0b11, "{stdout}");
}

#[test]
fn after_a_sigkill_the_next_exec_removes_the_folder() {
    let tmp = tempfile::tempdir().unwrap();
    let mut command = exec(&[], &["perl", "-e", PRINT_SIGNALS]);
    command.env("TMPDIR", tmp.path());
    let mut running = Running::start(command);
    let started = running.line();
    let (perl, folder) = started.split_once(' ').unwrap();
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    assert!(Path::new(folder).exists());
    kill(perl.parse().unwrap(), "KILL");

    let mut next = exec(&[], &["true"]);
    assert!(next.env("TMPDIR", tmp.path()).status().unwrap().success());
    assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 0);
}
