//! The errors of TPM operations, each with its remedy.

use crate::queue::DeviceError;
use std::path::PathBuf;
use tss_esapi::Error as TssError;
use tss_esapi::constants::response_code::{Tss2ResponseCode, Tss2ResponseCodeKind as Kind};

/// The error of a TPM operation.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TpmError {
    /// No TPM could be reached at the address.
    #[error("no TPM at {at}: {reason}; set its address with --tpm-path")]
    NotFound {
        /// The address.
        at: String,
        /// The cause, or the likely causes.
        reason: String,
    },
    /// The process has no permission to open the device.
    #[error("{}: no permission; add the user to the group that owns it (`tss` on Debian)", path.display())]
    PermissionDenied {
        /// The device.
        path: PathBuf,
    },
    /// An option is invalid, or not supported by this TPM.
    #[error("{0}")]
    InvalidOption(String),
    /// The key file can't be used.
    #[error("{}: {problem}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// The problem, without the path.
        problem: String,
    },
    /// The persistent handle has no key.
    #[error(
        "no key at the persistent handle {handle:#x}; `tpm2_getcap handles-persistent` lists the handles with keys"
    )]
    NoKey {
        /// The handle.
        handle: u32,
    },
    /// A password is wrong or missing.
    #[error(
        "wrong password of the {of}; it is not tried again, because a TPM locks itself after a few wrong passwords"
    )]
    WrongPassword {
        /// The object of the password, such as `key` or `parent`.
        of: &'static str,
    },
    /// The key needs a password, and none is given.
    #[error("the key needs a password: give it with --key-pass-file, or in GCE_METADATA_KEY_PASS")]
    MissingPassword,
    /// The TPM is locked (dictionary attack protection): there were too many wrong passwords or unorderly shutdowns.
    #[error("the TPM is locked after too many wrong passwords or unorderly shutdowns{}; `tpm2_dictionarylockout -c` unlocks it at once", .seconds.map(|it| format!("; it allows another attempt in at most {it} seconds")).unwrap_or_default())]
    Locked {
        /// The longest time until the TPM allows another attempt, in seconds; `None` if it is not known.
        seconds: Option<u32>,
    },
    /// The key's policy requires other registers, or other values of them.
    #[error("the key's policy does not allow its use while {pcrs}; give the registers that it is bound to with --pcrs")]
    PcrMismatch {
        /// The given registers with their values.
        pcrs: String,
    },
    /// The options do not satisfy the key's policy.
    #[error(
        "the options do not satisfy the key's policy: give its password with --key-pass, or the registers that it is bound to with --pcrs"
    )]
    PolicyMismatch,
    /// The key belongs to another parent.
    #[error("the key does not belong to this parent: it was made by another TPM, or needs {remedy}")]
    WrongParent {
        /// The option to change.
        remedy: &'static str,
    },
    /// The key can't sign tokens.
    #[error("not an RSA key that signs with SHA-256: {0}")]
    UnsuitableKey(String),
    /// The endorsement key is not the expected one.
    #[error(
        "the endorsement key's name is {found}, not {expected}: this is another TPM, or the connection is intercepted"
    )]
    WrongEndorsementKey {
        /// The expected name, in hex.
        expected: String,
        /// The names of this TPM's endorsement keys, in hex.
        found: String,
    },
    /// The TPM has no memory for another key or session.
    #[error(
        "the TPM's memory is full: use the kernel's resource manager (/dev/tpmrm0), or free memory with `tpm2_flushcontext -t` and `-s`"
    )]
    OutOfMemory,
    /// The TPM did not answer within the time-out of the operation.
    #[error(
        "the TPM at {at} has not answered for {seconds} seconds: it hangs, or another program has it open; end that program, or restart the TPM"
    )]
    Unresponsive {
        /// The address.
        at: String,
        /// The time-out, in seconds.
        seconds: u64,
    },
    /// A signature took longer than the time-out, in seconds.
    #[error("the TPM did not sign within {0} seconds")]
    SignTimeout(u64),
    /// Any other error. The text is that of tpm2-tss.
    #[error("TPM: {0}")]
    Other(String),
}

impl DeviceError for TpmError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Other(_) | Self::NotFound { .. } | Self::NoKey { .. } | Self::OutOfMemory)
    }

    fn is_permanent(&self) -> bool {
        matches!(self, Self::WrongPassword { .. } | Self::MissingPassword)
    }
}

impl From<TssError> for TpmError {
    fn from(error: TssError) -> Self {
        match kind(&error) {
            Some(Kind::Lockout) => Self::Locked { seconds: None },
            Some(Kind::ObjectMemory | Kind::SessionMemory | Kind::SessionHandles | Kind::Memory) => Self::OutOfMemory,
            _ => Self::Other(with_code(&error)),
        }
    }
}

/// The library's error text, with the response code, which `tpm2_rc_decode` explains.
fn with_code(error: &TssError) -> String {
    match error {
        TssError::Tss2Error(Tss2ResponseCode::FormatZero(code)) => format!("{error} ({code})"),
        TssError::Tss2Error(Tss2ResponseCode::FormatOne(code)) => format!("{error} ({code})"),
        _ => error.to_string(),
    }
}

/// The kind of the TPM's response code; `None` for errors of the library.
pub(super) fn kind(error: &TssError) -> Option<Kind> {
    match error {
        TssError::Tss2Error(code) => code.kind(),
        TssError::WrapperError(_) => None,
    }
}

/// Whether a password was wrong or missing.
pub(super) fn is_unauthorized(error: &TssError) -> bool {
    matches!(kind(error), Some(Kind::AuthFail | Kind::BadAuth | Kind::AuthMissing))
}
