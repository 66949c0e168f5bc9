//! The parent process, and its end.

use rustix::process::{Pid, getppid};
use std::time::Duration;

/// How often the parent is asked for where the system does not report its end.
const POLL: Duration = Duration::from_secs(1);

/// The parent process, as it was found.
#[derive(Debug)]
pub(super) enum Parent {
    Running(Pid),
    /// It ended before it was found, and another process has adopted this one.
    Ended,
    /// It is in another PID namespace, as that of the first process of a container is. Its end can't be noticed.
    Outside,
}

impl Parent {
    /// Finds the parent of this process.
    pub(super) fn find() -> Self {
        match getppid() {
            None => Self::Outside,
            Some(_) if adopted::is_adopted() => Self::Ended,
            Some(parent) => Self::Running(parent),
        }
    }

    pub(super) fn can_be_followed(&self) -> bool {
        !matches!(self, Self::Outside)
    }

    /// Waits until the parent has ended.
    pub(super) async fn ended(self) {
        match self {
            Self::Running(parent) => running_parent_ended(parent).await,
            Self::Ended => {}
            Self::Outside => std::future::pending().await,
        }
    }
}

/// Waits until this process has another parent.
async fn running_parent_ended(parent: Pid) {
    #[cfg(target_os = "linux")]
    match pidfd::ended(parent).await {
        Ok(()) => return,
        Err(error) => tracing::debug!("no pidfd of the parent process, it is polled: {error}"),
    }
    let mut ticks = tokio::time::interval(POLL);
    while getppid() == Some(parent) {
        ticks.tick().await;
    }
}

#[cfg(target_os = "linux")]
mod pidfd {
    use rustix::io::Errno;
    use rustix::process::{Pid, PidfdFlags, getppid, pidfd_open};
    use std::io;
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// Waits until the parent has ended.
    ///
    /// # Errors
    /// If the kernel or a container's system call filter refuses a pidfd.
    #[allow(
        deprecated,
        reason = "`AsyncFd::with_interest` is unsound for types without I/O safety, which `OwnedFd` has; the \
        function that replaces it is unsafe"
    )]
    pub(super) async fn ended(parent: Pid) -> io::Result<()> {
        let pidfd = match pidfd_open(parent, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return Ok(()),
            opened => AsyncFd::with_interest(opened?, Interest::READABLE)?,
        };
        // The parent may have ended before, and its number may belong to another process.
        if getppid() == Some(parent) {
            _ = pidfd.readable().await?;
        }
        Ok(())
    }
}

mod adopted {
    //! Whether the parent ended before it was found.
    //!
    //! A process has the session of its parent, unless it leads a session of its own. A process in a session that is neither its
    //! own nor its parent's was adopted by that parent.

    use rustix::process::{Pid, getpid, getppid};

    pub(super) fn is_adopted() -> bool {
        let sessions = (session(getpid()), getppid().and_then(session));
        let (Some(own), Some(of_parent)) = sessions else { return false };
        is_foreign(own, getpid().as_raw_pid(), of_parent)
    }

    fn is_foreign(session: i32, own: i32, of_parent: i32) -> bool {
        session != own && session != of_parent
    }

    /// The session of a process, from Linux's `/proc`; `None` if that can't be read. It is 0 if the leader of the session is in
    /// another PID namespace, which `getsid` of rustix can't represent.
    fn session(process: Pid) -> Option<i32> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_pid())).ok()?;
        parse_session(&stat)
    }

    /// The fourth field after the name of the program, which is in parentheses and may contain some itself.
    fn parse_session(stat: &str) -> Option<i32> {
        stat.rsplit_once(')')?.1.split_whitespace().nth(3)?.parse().ok()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_session_is_a_field_of_stat() {
            assert_eq!(parse_session("42 (a) (b) c) S 1 42 7 0 -1 4194304 1 2"), Some(7));
            assert_eq!(parse_session("42 (a"), None);
        }

        #[test]
        fn a_process_in_the_session_of_another_process_than_its_parent_is_adopted() {
            assert!(!is_foreign(7, 42, 7), "the session of the parent");
            assert!(!is_foreign(42, 42, 7), "a session of its own");
            assert!(!is_foreign(0, 42, 0), "a session from outside of the PID namespace, as that of the parent");
            assert!(is_foreign(7, 42, 0), "adopted by process 1");
        }
    }
}
