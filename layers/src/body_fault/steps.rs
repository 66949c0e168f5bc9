//! The steps in which a faulty body is sent.

use super::{BodyFault, Cut, Pace};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Send(Bytes),
    Wait(Duration),
    /// Lets the server write the bytes so far: it would drop them when the body fails.
    Flush,
    /// Ends the connection.
    Fail,
}

impl BodyFault {
    /// The steps for this body.
    pub(super) fn steps(&self, body: Bytes) -> VecDeque<Step> {
        let body = if self.is_corrupted { corrupted(body) } else { body };
        let Some(cut) = self.cut else { return self.paced(body).into() };
        let mut steps = self.paced(body.slice(..cut.position(body.len())));
        steps.extend([Step::Flush, Step::Fail]);
        steps.into()
    }

    fn paced(&self, body: Bytes) -> Vec<Step> {
        match self.pace {
            None => vec![Step::Send(body)],
            Some(Pace::Stall { bytes, time }) => {
                let at = bytes.min(body.len());
                vec![Step::Send(body.slice(..at)), Step::Wait(time), Step::Send(body.slice(at..))]
            }
            Some(Pace::Dribble { chunks, time }) => {
                // More chunks than bytes would be empty.
                let chunks = chunks.min(body.len()).max(1);
                let end = |index: usize| {
                    let position = index as u128 * body.len() as u128 / chunks as u128;
                    usize::try_from(position).unwrap_or(body.len())
                };
                let pause = time / u32::try_from(chunks).unwrap_or(u32::MAX);
                let sent = |index| [Step::Wait(pause), Step::Send(body.slice(end(index)..end(index + 1)))];
                (0..chunks).flat_map(sent).collect()
            }
        }
    }
}

impl Cut {
    /// The number of bytes before the cut. A cast from a float saturates.
    fn position(self, length: usize) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.min(length),
            Self::Fraction(fraction) => ((length as f64 * fraction) as usize).min(length),
        }
    }
}

/// The body with its last character replaced, which makes every JSON text invalid: none ends with `{`.
fn corrupted(body: Bytes) -> Bytes {
    let Some(last) = body.iter().rposition(|byte| !byte.is_ascii_whitespace()) else { return body };
    let mut changed = BytesMut::from(&*body);
    changed[last] = b'{';
    changed.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn steps(fault: BodyFault, body: &'static str) -> Vec<Step> {
        fault.steps(body.into()).into()
    }

    fn send(bytes: &'static str) -> Step {
        Step::Send(bytes.into())
    }

    #[test]
    fn a_cut_body_fails_after_its_first_bytes() {
        let cut = |bytes| vec![send(bytes), Step::Flush, Step::Fail];
        assert_eq!(steps(BodyFault::new().cut_after(2), "abcd"), cut("ab"));
        assert_eq!(steps(BodyFault::new().cut_after(9), "abcd"), cut("abcd"));
        for (fraction, bytes) in [(0.0, ""), (0.5, "ab"), (0.99, "abc"), (1.0, "abcd")] {
            assert_eq!(steps(BodyFault::new().cut_at(fraction), "abcd"), cut(bytes), "{fraction}");
        }
    }

    #[test]
    fn a_dribbled_body_has_chunks_of_equal_size_and_pauses() {
        let wait = || Step::Wait(SECOND);
        let dribble = |chunks, body| steps(BodyFault::new().dribble(chunks, SECOND * 2), body);
        assert_eq!(dribble(2, "abcde"), [wait(), send("ab"), wait(), send("cde")]);
        assert_eq!(dribble(9, "ab"), [wait(), send("a"), wait(), send("b")], "no more chunks than bytes");
        assert_eq!(dribble(0, "ab"), [Step::Wait(SECOND * 2), send("ab")]);
        assert_eq!(dribble(3, ""), [Step::Wait(SECOND * 2), send("")]);
    }

    #[test]
    fn a_stalled_body_pauses_once() {
        let stall = |bytes| steps(BodyFault::new().stall_after(bytes, SECOND), "abcd");
        assert_eq!(stall(1), [send("a"), Step::Wait(SECOND), send("bcd")]);
        assert_eq!(stall(9), [send("abcd"), Step::Wait(SECOND), send("")]);
    }

    #[test]
    fn a_corrupted_body_has_its_length_and_is_no_json() {
        for (body, corrupted) in [("{\"a\":1}\n", "{\"a\":1{\n"), ("7", "{"), ("", ""), ("\"a\"", "\"a{")] {
            assert_eq!(steps(BodyFault::new().corrupt(), body), [send(corrupted)]);
        }
    }

    #[test]
    fn changes_of_one_body_are_combined() {
        let fault = BodyFault::new().stall_after(1, SECOND).cut_after(3).corrupt();
        assert_eq!(steps(fault, "abc"), [send("a"), Step::Wait(SECOND), send("b{"), Step::Flush, Step::Fail]);
    }
}
