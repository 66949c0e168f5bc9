//! Signals of a scenario to the child of `exec`.

use std::fmt;

/// A Unix signal that a state of a scenario sends to the child of `exec`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// `SIGTERM`, as an ACPI soft off makes an operating system send it.
    Term,
    /// `SIGKILL`, as when the machine is switched off.
    Kill,
    /// `SIGSTOP`: the program makes no progress, as on a suspended machine.
    Stop,
    /// `SIGCONT`: a stopped program continues.
    Cont,
    /// `SIGHUP`.
    Hup,
    /// `SIGINT`.
    Int,
    /// `SIGUSR1`.
    Usr1,
    /// `SIGUSR2`.
    Usr2,
}

impl Signal {
    const ALL: [Self; 8] =
        [Self::Term, Self::Kill, Self::Stop, Self::Cont, Self::Hup, Self::Int, Self::Usr1, Self::Usr2];

    /// The name without `SIG`, such as `TERM`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Cont => "CONT",
            Self::Hup => "HUP",
            Self::Int => "INT",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
        }
    }

    /// The signal with this name, with or without `SIG`.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix("SIG").unwrap_or(name);
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }

    /// The names of all signals, for the text of an error.
    pub(super) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

/// The name without `SIG`.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
