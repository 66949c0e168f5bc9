//! Keys in PKCS#11 tokens: each test has its own SoftHSM.

mod commands;
mod own_process;
mod recovery;
mod signer;
mod tokens;
#[cfg(feature = "tpm")]
mod tpm2;
