//! Keys in a TPM, of every kind that there is, on a TPM of each test's own.

mod commands;
mod signer;
mod tokens;
