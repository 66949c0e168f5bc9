//! Which thread serves a connection.
//!
//! A connection stays on its thread for life. A request is one read and one write, so what is saved is the switch between
//! threads. Few connections share one thread: their clients run on the same machine, where more threads would only take
//! turns with them. Many are spread, since long polls on one thread would all be answered by it; and so are connections with
//! TLS, whose handshakes take long. The price is that a signature, which takes a quarter of a millisecond, delays all of the
//! few. `benches/RESULTS.md` has the measurements; the rule changes only with another one.

use std::num::NonZeroUsize;

/// As long as the first thread has fewer connections than this, it gets the next one.
const FEW: usize = 1024;

/// One thread answers tens of thousands of requests a second, so that more than a few would have nothing to do.
const MAX_THREADS: NonZeroUsize = NonZeroUsize::new(4).expect("not 0");

/// How many threads serve connections on a machine with so many processors, unless the caller sets a number.
pub(super) fn threads_for(processors: NonZeroUsize) -> NonZeroUsize {
    processors.min(MAX_THREADS)
}

/// The index of the thread that serves the next connection, given how many connections each thread has. There is one thread at
/// least.
pub(super) fn thread_for_next(connections: &[usize], is_tls: bool) -> usize {
    match connections {
        [first, ..] if !is_tls && *first < FEW => 0,
        _ => connections.iter().enumerate().min_by_key(|(_, count)| **count).map_or(0, |(index, _)| index),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_as_many_threads_as_processors_up_to_four() {
        for (processors, threads) in [(1, 1), (2, 2), (4, 4), (16, 4)] {
            let number = |number| NonZeroUsize::new(number).unwrap();
            assert_eq!(threads_for(number(processors)), number(threads), "{processors}");
        }
    }

    /// How many of so many connections each thread gets.
    fn placed(threads: usize, connections: usize, is_tls: bool) -> Vec<usize> {
        let mut placed = vec![0; threads];
        for _ in 0..connections {
            let thread = thread_for_next(&placed, is_tls);
            placed[thread] += 1;
        }
        placed
    }

    #[test]
    fn few_connections_share_the_first_thread_and_many_are_spread() {
        let first_and_rest = |first, rest, threads| [vec![first], vec![rest; threads - 1]].concat();
        for threads in [1, 2, 4, 16] {
            assert_eq!(placed(threads, FEW, false), first_and_rest(FEW, 0, threads), "{threads}");
            let more = 10 * (threads - 1);
            assert_eq!(placed(threads, FEW + more, false), first_and_rest(FEW, 10.min(more), threads), "{threads}");
            assert_eq!(placed(threads, threads * (FEW + 5), false), vec![FEW + 5; threads], "{threads}");
        }
    }

    #[test]
    fn connections_with_tls_are_spread_at_once() {
        for threads in [1, 2, 4, 16] {
            assert_eq!(placed(threads, 3 * threads, true), vec![3; threads], "{threads}");
        }
    }
}
