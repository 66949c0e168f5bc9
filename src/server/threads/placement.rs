//! Assigns connections to threads.
//!
//! A connection stays on its thread. A request is one read and one write, so this saves thread switches. With TLS, or on three or more
//! processors, connections are spread from the first one on, because handshakes take long and because one thread can't use the other
//! processors. On one or two processors, few connections without TLS share one thread, because their clients usually run on the same
//! machine and compete for its processors. Many connections are spread, so that a change does not wake all long polls on one thread.
//! `benches/RESULTS.md` has the measurements; measure again before you change the rule.

use std::num::NonZeroUsize;

/// On one or two processors, the first thread gets every connection until it has this many.
const FEW: usize = 1024;

/// The number of processors from which on connections are spread from the first one on.
const SPREADING_PROCESSORS: usize = 3;

/// One thread answers tens of thousands of requests per second, so more threads would be idle.
const MAX_THREADS: NonZeroUsize = NonZeroUsize::new(4).expect("not 0");

/// The default number of threads on a machine with this many processors.
pub(super) fn threads_for(processors: NonZeroUsize) -> NonZeroUsize {
    processors.min(MAX_THREADS)
}

/// How connections are assigned to threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// The first thread gets every connection until it has [`FEW`], later connections are spread.
    FirstThreadFirst,
    /// Each connection gets the thread with the fewest.
    Spread,
}

impl Placement {
    /// The placement of connections without TLS on a machine with this many processors.
    pub(super) fn for_processors(processors: NonZeroUsize) -> Self {
        if processors.get() < SPREADING_PROCESSORS { Self::FirstThreadFirst } else { Self::Spread }
    }

    /// The index of the thread for the next connection, given the number of connections of each thread. There must be one at least.
    pub(super) fn thread_for_next(self, connections: &[usize]) -> usize {
        match connections {
            [first, ..] if self == Self::FirstThreadFirst && *first < FEW => 0,
            _ => connections.iter().enumerate().min_by_key(|(_, count)| **count).map_or(0, |(index, _)| index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: usize) -> NonZeroUsize {
        NonZeroUsize::new(number).unwrap()
    }

    #[test]
    fn the_default_is_a_thread_per_processor_up_to_four() {
        for (processors, threads) in [(1, 1), (2, 2), (4, 4), (16, 4)] {
            assert_eq!(threads_for(number(processors)), number(threads), "{processors}");
        }
    }

    #[test]
    fn connections_are_spread_from_the_first_one_on_three_or_more_processors() {
        use Placement::{FirstThreadFirst, Spread};
        for (processors, placement) in [(1, FirstThreadFirst), (2, FirstThreadFirst), (3, Spread), (16, Spread)] {
            assert_eq!(Placement::for_processors(number(processors)), placement, "{processors}");
        }
    }

    /// The number of connections of each thread, after this many were assigned.
    fn placed(threads: usize, connections: usize, placement: Placement) -> Vec<usize> {
        let mut placed = vec![0; threads];
        for _ in 0..connections {
            let thread = placement.thread_for_next(&placed);
            placed[thread] += 1;
        }
        placed
    }

    #[test]
    fn few_connections_share_the_first_thread_and_many_are_spread() {
        let placed = |threads, connections| placed(threads, connections, Placement::FirstThreadFirst);
        let first_and_rest = |first, rest, threads| [vec![first], vec![rest; threads - 1]].concat();
        for threads in [1, 2, 4, 16] {
            assert_eq!(placed(threads, FEW), first_and_rest(FEW, 0, threads), "{threads}");
            let more = 10 * (threads - 1);
            assert_eq!(placed(threads, FEW + more), first_and_rest(FEW, 10.min(more), threads), "{threads}");
            assert_eq!(placed(threads, threads * (FEW + 5)), vec![FEW + 5; threads], "{threads}");
        }
    }

    #[test]
    fn spread_connections_get_the_thread_with_the_fewest() {
        for threads in [1, 2, 4, 16] {
            assert_eq!(placed(threads, 3 * threads, Placement::Spread), vec![3; threads], "{threads}");
        }
        assert_eq!(Placement::Spread.thread_for_next(&[2, 1, 2]), 1, "the connections of the second thread have ended");
    }
}
