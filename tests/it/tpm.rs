//! Keys in a TPM, of every kind that there is, on a TPM of each test's own.

mod commands;
mod mds_client_certificate;
mod signer;
mod tokens;
