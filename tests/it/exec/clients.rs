//! Programs of Google's libraries in an environment full of traps.
