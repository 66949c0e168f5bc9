//! Tests of the faults of a server.
