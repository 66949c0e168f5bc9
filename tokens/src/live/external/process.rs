//! Runs a program in a new process group, which is killed when the program ends: its background processes do not
//! outlive it.

use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

/// The maximum of printed bytes, far above the size of a token.
const MAX_BYTES: u64 = 1024 * 1024;

/// Runs a program, and returns its exit status and output. Its process group is killed when the program ends, when it
/// prints too much, and when the future is dropped. A process that has left the group, such as a daemon, is not killed.
pub(super) async fn run(mut command: Command) -> io::Result<(ExitStatus, Zeroizing<Vec<u8>>)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).process_group(0);
    let mut child = command.spawn()?;
    let group = Group::led_by(&child);
    let stdout = child.stdout.take();
    let exit = async {
        let status = child.wait().await;
        // Killed now, because `read` waits until the last process of the group closes stdout.
        drop(group);
        status
    };
    tokio::try_join!(exit, read(stdout))
}

async fn read(stdout: Option<impl AsyncRead + Unpin>) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut printed = Zeroizing::new(Vec::new());
    if let Some(stdout) = stdout {
        stdout.take(MAX_BYTES + 1).read_to_end(&mut printed).await?;
    }
    match printed.len() as u64 > MAX_BYTES {
        true => Err(io::Error::other("its output is larger than 1 MiB")),
        false => Ok(printed),
    }
}

/// A process group that is killed when dropped. The kernel does not reuse its id while it has members. Without members,
/// the signal follows immediately after the leader is reaped, when its id can't have been reused yet: the kernel
/// assigns ids in rotation.
struct Group(Option<Pid>);

impl Group {
    fn led_by(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // This fails if the group has no members.
        let _ = self.0.map(|leader| kill_process_group(leader, Signal::KILL));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::time::Duration;
    use tempfile::TempDir;
    use tokio::net::unix::pipe::{OpenOptions, Receiver};
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    type Printed = (ExitStatus, Zeroizing<Vec<u8>>);

    /// A script's background process, and a named pipe that the process holds open until it ends.
    struct Background {
        folder: TempDir,
        pipe: PathBuf,
        receiver: Receiver,
    }

    impl Background {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let pipe = folder.path().join("pipe");
            assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            let receiver = OpenOptions::new().open_receiver(&pipe).unwrap();
            Self { folder, pipe, receiver }
        }

        /// A command that starts the process and continues with these lines.
        fn command(&self, redirection: &str, lines: &str) -> Command {
            let script = self.folder.path().join("script");
            // Only the background process holds the pipe open, not the shell.
            let background = format!("(echo >&3; exec sleep 600) 3>'{}' {redirection} &", self.pipe.display());
            std::fs::write(&script, format!("{background}\n{lines}\n")).unwrap();
            let mut command = Command::new("sh");
            command.arg(script);
            command
        }

        /// Waits until the process runs. The program must not end before that.
        async fn started(&mut self, program: &mut JoinHandle<io::Result<Printed>>) {
            // Without a writer, a read would return the end of the file.
            let writer = OpenOptions::new().open_sender(&self.pipe).unwrap();
            tokio::select! {
                byte = timeout(Duration::from_secs(60), self.receiver.read_u8()) => {
                    assert_eq!(byte.expect("the background process has not started").unwrap(), b'\n');
                }
                ended = program => panic!("the program has ended: {ended:?}"),
            }
            drop(writer);
        }

        /// Waits until the process has ended.
        async fn ended(&mut self) {
            let mut rest = Vec::new();
            let read = timeout(Duration::from_secs(60), self.receiver.read_to_end(&mut rest)).await;
            read.expect("the background process is alive").unwrap();
        }
    }

    #[tokio::test]
    async fn background_processes_are_killed_when_the_program_ends() {
        for redirection in ["", ">&-"] {
            let mut background = Background::new();
            // The program ends after a line is written to this pipe.
            let end = background.folder.path().join("end");
            assert!(std::process::Command::new("mkfifo").arg(&end).status().unwrap().success());
            let lines = format!("echo printed; read end <'{}'", end.display());
            let mut running = tokio::spawn(run(background.command(redirection, &lines)));
            background.started(&mut running).await;
            tokio::fs::write(end, "\n").await.unwrap();
            let ran = timeout(Duration::from_secs(60), running).await.expect("stdout is held open");
            let (status, printed) = ran.unwrap().unwrap();
            assert_eq!((status.success(), &**printed), (true, &b"printed\n"[..]), "{redirection}");
            background.ended().await;
        }
    }

    #[tokio::test]
    async fn background_processes_are_killed_above_the_output_limit() {
        let mut background = Background::new();
        let mut running = tokio::spawn(run(background.command("", "yes")));
        background.started(&mut running).await;
        assert!(running.await.unwrap().is_err());
        background.ended().await;
    }

    #[tokio::test]
    async fn background_processes_are_killed_when_the_future_is_dropped() {
        let mut background = Background::new();
        let mut running = tokio::spawn(run(background.command("", "sleep 600")));
        background.started(&mut running).await;
        running.abort();
        background.ended().await;
    }
}
