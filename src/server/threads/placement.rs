//! Assigns connections to threads.
//!
//! A connection stays on its thread. A request is one read and one write, so this saves thread switches. Few connections share one
//! thread, because their clients usually run on the same machine and compete for its processors. Many connections are spread, so
//! that a change does not wake all long polls on one thread. Connections with TLS are spread at once, because handshakes take long.
//! `benches/RESULTS.md` has the measurements; measure again before you change the rule.

use std::num::NonZeroUsize;

/// The first thread gets every connection until it has this many.
const FEW: usize = 1024;

/// One thread answers tens of thousands of requests per second, so more threads would be idle.
const MAX_THREADS: NonZeroUsize = NonZeroUsize::new(4).expect("not 0");

/// The default number of threads on a machine with this many processors.
pub(super) fn threads_for(processors: NonZeroUsize) -> NonZeroUsize {
    processors.min(MAX_THREADS)
}

/// The index of the thread for the next connection, given the number of connections of each thread. There must be one at least.
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
    fn the_default_is_a_thread_per_processor_up_to_four() {
        for (processors, threads) in [(1, 1), (2, 2), (4, 4), (16, 4)] {
            let number = |number| NonZeroUsize::new(number).unwrap();
            assert_eq!(threads_for(number(processors)), number(threads), "{processors}");
        }
    }

    /// The number of connections of each thread, after this many were assigned.
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
