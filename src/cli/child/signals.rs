//! The signals that `exec` and `doctor` pass on to their command.
//!
//! The command is in the process group of this program, so the terminal sends it SIGINT, SIGQUIT and SIGCONT itself. Passing these on
//! would make the command receive them twice, which kills pytest and npm without their clean-up.
//!
//! Signals that are ignored, as by `nohup`, stay ignored for the command too: a handler would end that.

use crate::cli::signals::Ignored;
use rustix::process::Signal as Number;
use std::future::poll_fn;
use std::io::{self, IsTerminal};
use std::task::Poll;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that are always passed on.
const ALWAYS: [Number; 4] = [Number::TERM, Number::HUP, Number::USR1, Number::USR2];

/// Signals that a terminal sends to the whole process group.
const BY_TERMINAL: [Number; 3] = [Number::INT, Number::QUIT, Number::CONT];

/// Listeners for all signals that a command may get through this program. None of them ends this program.
pub(in crate::cli) struct Signals {
    streams: Vec<(Number, Signal)>,
    has_terminal: bool,
}

impl Signals {
    /// Installs the handlers of those signals that are not ignored.
    pub(in crate::cli) fn listen_except(ignored: Ignored) -> io::Result<Self> {
        let listen = |number: Number| Ok((number, signal(SignalKind::from_raw(number.as_raw()))?));
        let streams = ALWAYS.into_iter().chain(BY_TERMINAL).filter(|number| !ignored.has(*number));
        let streams = streams.map(listen).collect::<io::Result<_>>()?;
        Ok(Self { streams, has_terminal: io::stdin().is_terminal() })
    }

    /// Waits for the next signal to pass on.
    pub(in crate::cli) async fn next(&mut self) -> Number {
        let has_terminal = self.has_terminal;
        poll_fn(|context| {
            for (number, stream) in &mut self.streams {
                let is_received = stream.poll_recv(context).is_ready();
                if is_received && !(has_terminal && BY_TERMINAL.contains(number)) {
                    return Poll::Ready(*number);
                }
            }
            Poll::Pending
        })
        .await
    }
}
