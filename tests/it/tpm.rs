//! Keys in a TPM: each test starts its own swtpm.

mod commands;
mod mds_client_certificate;
mod signer;
mod tokens;
