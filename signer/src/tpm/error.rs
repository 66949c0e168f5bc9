//! What can go wrong between here and a TPM, and what to do about it.

use std::path::PathBuf;
use tss_esapi::Error as TssError;
use tss_esapi::constants::response_code::{Tss2ResponseCode, Tss2ResponseCodeKind as Kind};

/// Why a TPM does not do what it is asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TpmError {
    /// There is no TPM at that address.
    #[error("no TPM at {at}: {reason}; say where it is with --tpm-path")]
    Nowhere {
        /// The address.
        at: String,
        /// What is known of it.
        reason: String,
    },
    /// This user may not use the device.
    #[error("{}: no permission; add the user to the group that owns it (`tss` on Debian)", path.display())]
    Forbidden {
        /// The device.
        path: PathBuf,
    },
    /// An option can't be understood.
    #[error("{0}")]
    Option(String),
    /// The key file can't be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// There is nothing at the persistent handle.
    #[error("no key at the persistent handle {handle:#x}; `tpm2_getcap handles-persistent` lists those that there are")]
    NoKey {
        /// The handle.
        handle: u32,
    },
    /// A password is wrong, or missing.
    #[error("wrong password of the {of}; it is not tried again, since a TPM locks itself after a few wrong ones")]
    WrongPassword {
        /// Whose.
        of: &'static str,
    },
    /// The key needs a password, and none is given.
    #[error("the key needs a password: give it with --key-pass-file, or in GCE_METADATA_KEY_PASS")]
    MissingPassword,
    /// Too many wrong passwords, or too many starts after a sudden end.
    #[error("the TPM is locked after too many wrong passwords or sudden ends{}; `tpm2_dictionarylockout -c` unlocks it at once", .seconds.map(|it| format!("; it allows another attempt in {it} seconds at most")).unwrap_or_default())]
    Locked {
        /// How long it takes until it allows another attempt.
        seconds: Option<u32>,
    },
    /// The key may only be used while platform registers have other values.
    #[error("the key's policy does not allow its use while {pcrs}; give the registers that it is bound to with --pcrs")]
    Pcrs {
        /// The registers that were given, with their values.
        pcrs: String,
    },
    /// The key may only be used under conditions that these options don't meet.
    #[error(
        "the key has a policy that is none of the options': give --key-pass for a password, or --pcrs for the registers that it is bound to"
    )]
    Policy,
    /// The key was made for another parent.
    #[error("the key does not belong to this parent: it was made by another TPM, or needs {remedy}")]
    OtherParent {
        /// What to try.
        remedy: &'static str,
    },
    /// A key for something else.
    #[error("not an RSA key that signs with SHA-256: {0}")]
    NotSigning(String),
    /// The TPM is not the one that was expected.
    #[error(
        "the endorsement key's name is {found}, not {expected}: this is another TPM, or something between here and it"
    )]
    OtherName {
        /// The name that was given.
        expected: String,
        /// The names that there are.
        found: String,
    },
    /// There is no room for another key or session.
    #[error(
        "the TPM is full: use the kernel's resource manager (/dev/tpmrm0), or empty it with `tpm2_flushcontext -t` and `-s`"
    )]
    Full,
    /// It says nothing at all.
    #[error(
        "the TPM at {at} has not answered for {seconds} seconds: it has hung, or another program has it to itself; end that, or start the TPM again"
    )]
    Silent {
        /// The address.
        at: String,
        /// For how long.
        seconds: u64,
    },
    /// It takes too long.
    #[error("the TPM did not sign within {0} seconds")]
    TooSlow(u64),
    /// Anything else, in the words of the TPM's software stack.
    #[error("TPM: {0}")]
    Other(String),
}

impl TpmError {
    /// Whether the same may work later, or on a fresh connection.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Other(_) | Self::Nowhere { .. } | Self::NoKey { .. } | Self::Full)
    }
}

impl From<TssError> for TpmError {
    fn from(error: TssError) -> Self {
        match kind(&error) {
            Some(Kind::Lockout) => Self::Locked { seconds: None },
            Some(Kind::ObjectMemory | Kind::SessionMemory | Kind::SessionHandles | Kind::Memory) => Self::Full,
            _ => Self::Other(in_words(&error)),
        }
    }
}

/// The library's words, and the code by which one finds out more (`tpm2_rc_decode`).
fn in_words(error: &TssError) -> String {
    match error {
        TssError::Tss2Error(Tss2ResponseCode::FormatZero(code)) => format!("{error} ({code})"),
        TssError::Tss2Error(Tss2ResponseCode::FormatOne(code)) => format!("{error} ({code})"),
        _ => error.to_string(),
    }
}

/// The TPM's own word for it, if the error is one of its own.
pub(super) fn kind(error: &TssError) -> Option<Kind> {
    match error {
        TssError::Tss2Error(code) => code.kind(),
        TssError::WrapperError(_) => None,
    }
}

/// A refusal for want of the right password.
pub(super) fn is_unauthorized(error: &TssError) -> bool {
    matches!(kind(error), Some(Kind::AuthFail | Kind::BadAuth | Kind::AuthMissing))
}
