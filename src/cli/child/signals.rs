//! The signals that `exec` and `doctor` pass on to their command.
//!
//! The command is in the process group of this program, so the terminal sends it SIGINT, SIGQUIT and SIGCONT itself. Passing these on
//! would make the command receive them twice, which kills pytest and npm without their clean-up.
//!
//! The states of scenarios send it signals too.
//!
//! Signals that are ignored, as by `nohup`, stay ignored for the command too: a handler would end that.

use crate::cli::signals::Ignored;
use gce_metadata_server::{ScenarioEvent, Signal as Simulated};
use rustix::process::Signal as Number;
use std::future::poll_fn;
use std::io::{self, IsTerminal};
use std::task::Poll;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// Signals that are always passed on.
const ALWAYS: [Number; 4] = [Number::TERM, Number::HUP, Number::USR1, Number::USR2];

/// Signals that a terminal sends to the whole process group.
const BY_TERMINAL: [Number; 3] = [Number::INT, Number::QUIT, Number::CONT];

/// Listeners for all signals that a command may get through this program. None of them ends this program.
pub(in crate::cli) struct Signals {
    /// `None` without a server that runs scenarios.
    scenarios: Option<Receiver<ScenarioEvent>>,
    streams: Vec<(Number, Signal)>,
    has_terminal: bool,
}

impl Signals {
    /// Installs the handlers of those signals that are not ignored.
    pub(in crate::cli) fn listen_except(ignored: Ignored) -> io::Result<Self> {
        let listen = |number: Number| Ok((number, signal(SignalKind::from_raw(number.as_raw()))?));
        let streams = ALWAYS.into_iter().chain(BY_TERMINAL).filter(|number| !ignored.has(*number));
        let streams = streams.map(listen).collect::<io::Result<_>>()?;
        Ok(Self { scenarios: None, streams, has_terminal: io::stdin().is_terminal() })
    }

    /// Adds the signals of scenarios, in their order.
    pub(in crate::cli) fn follow(&mut self, events: Receiver<ScenarioEvent>) {
        self.scenarios = Some(events);
    }

    /// Waits for the next signal to pass on.
    pub(in crate::cli) async fn next(&mut self) -> Number {
        let Self { scenarios, streams, has_terminal } = self;
        tokio::select! {
            signal = received(streams, *has_terminal) => signal,
            signal = simulated(scenarios) => signal,
        }
    }
}

async fn received(streams: &mut [(Number, Signal)], has_terminal: bool) -> Number {
    poll_fn(|context| {
        for (number, stream) in &mut *streams {
            let is_received = stream.poll_recv(context).is_ready();
            if is_received && !(has_terminal && BY_TERMINAL.contains(number)) {
                return Poll::Ready(*number);
            }
        }
        Poll::Pending
    })
    .await
}

/// Waits for a state with a signal.
async fn simulated(events: &mut Option<Receiver<ScenarioEvent>>) -> Number {
    while let Some(receiver) = events {
        match receiver.recv().await {
            Ok(event) => {
                if let Some(number) = event.signal().and_then(number) {
                    return number;
                }
            }
            Err(RecvError::Lagged(lost)) => tracing::warn!(lost, "signals of scenarios may be lost: too many events"),
            Err(RecvError::Closed) => *events = None,
        }
    }
    std::future::pending().await
}

fn number(signal: Simulated) -> Option<Number> {
    Some(match signal {
        Simulated::Term => Number::TERM,
        Simulated::Kill => Number::KILL,
        Simulated::Stop => Number::STOP,
        Simulated::Cont => Number::CONT,
        Simulated::Hup => Number::HUP,
        Simulated::Int => Number::INT,
        Simulated::Usr1 => Number::USR1,
        Simulated::Usr2 => Number::USR2,
        _ => return None,
    })
}
