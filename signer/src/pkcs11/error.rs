//! The errors of PKCS#11 tokens, each with its remedy.

use crate::queue::DeviceError;
use cryptoki::error::{Error as CryptokiError, RvError};
use std::path::PathBuf;

/// The error of an operation with a PKCS#11 token.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Pkcs11Error {
    /// No module is given.
    #[error("no PKCS#11 module is given: add --pkcs11-module, or module-path to the URI")]
    NoModule,
    /// The module can't be loaded.
    #[error("{}: can't be loaded as a PKCS#11 module: {reason}; set the module's path with --pkcs11-module", path.display())]
    Module {
        /// The path of the module.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
    /// No token fits the URI.
    #[error("no token fits {uri}; {found}; `gce-metadata-server pkcs11 show` lists the tokens of a module")]
    NoToken {
        /// The URI.
        uri: String,
        /// The tokens of the module, in words.
        found: String,
    },
    /// Several tokens fit the URI.
    #[error("several tokens fit {uri}: {found}; add token or serial to the URI")]
    SeveralTokens {
        /// The URI.
        uri: String,
        /// The tokens that fit.
        found: String,
    },
    /// No key fits the URI.
    #[error("no private key fits {uri}; {found}; `gce-metadata-server pkcs11 show` lists the keys of a token")]
    NoKey {
        /// The URI.
        uri: String,
        /// What the token has instead, in words.
        found: String,
    },
    /// Several keys fit the URI.
    #[error("several private keys fit {uri}: {found}; add object or id to the URI")]
    SeveralKeys {
        /// The URI.
        uri: String,
        /// The keys that fit.
        found: String,
    },
    /// The key can't sign tokens.
    #[error("{0}")]
    UnsuitableKey(String),
    /// The token needs a PIN, and none is given.
    #[error(
        "the token `{token}` needs a PIN: give it with --pkcs11-pin-file, in GCE_METADATA_PKCS11_PIN, or as pin-source=file:PATH in the URI"
    )]
    MissingPin {
        /// The label of the token.
        token: String,
    },
    /// The file with the PIN can't be read.
    #[error("{}: {problem}", path.display())]
    PinFile {
        /// The file.
        path: PathBuf,
        /// The problem, without the path.
        problem: String,
    },
    /// The token refused the PIN, now or earlier.
    #[error(
        "the token `{token}` refused the PIN; it is not tried again, because a token locks itself after a few wrong PINs"
    )]
    WrongPin {
        /// The label of the token.
        token: String,
    },
    /// One more wrong PIN would lock the token, so none is tried.
    #[error(
        "the token `{token}` allows one more attempt before it locks itself, so no PIN is tried: log in with the right PIN by `pkcs11-tool --login`, which resets the count"
    )]
    LastAttempt {
        /// The label of the token.
        token: String,
    },
    /// The token is locked after wrong PINs.
    #[error("the token `{token}` is locked after too many wrong PINs: its security officer must set a new PIN")]
    Locked {
        /// The label of the token.
        token: String,
    },
    /// The module did not answer within the time-out.
    #[error(
        "the PKCS#11 module {} has not answered for {seconds} seconds: it hangs, or its token does; restart the token or its service", module.display()
    )]
    Unresponsive {
        /// The path of the module.
        module: PathBuf,
        /// The time-out, in seconds.
        seconds: u64,
    },
    /// A signature took longer than the time-out, in seconds.
    #[error("the PKCS#11 token did not sign within {0} seconds")]
    SignTimeout(u64),
    /// The session has ended: the token was removed or restarted, or the module was restarted for another key.
    #[error("the session with the token has ended")]
    SessionEnded,
    /// Any other error of a function of the module.
    #[error("PKCS#11: {0}")]
    Other(String),
}

impl DeviceError for Pkcs11Error {
    fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::SessionEnded | Self::Other(_) | Self::NoToken { .. } | Self::NoKey { .. } | Self::Module { .. }
        )
    }

    fn is_permanent(&self) -> bool {
        matches!(self, Self::WrongPin { .. })
    }
}

impl From<CryptokiError> for Pkcs11Error {
    fn from(error: CryptokiError) -> Self {
        match error {
            CryptokiError::Pkcs11(
                RvError::SessionClosed | RvError::SessionHandleInvalid | RvError::CryptokiNotInitialized,
                _,
            ) => Self::SessionEnded,
            // cryptoki prints paragraphs of the specification; the name of the code is what users search for.
            CryptokiError::Pkcs11(code, function) => Self::Other(format!("C_{function:?}: {}", code_name(code))),
            error => Self::Other(error.to_string()),
        }
    }
}

/// The return code of a failed function; `None` for errors of cryptoki.
pub(super) fn code(error: &CryptokiError) -> Option<RvError> {
    match error {
        CryptokiError::Pkcs11(code, _) => Some(*code),
        _ => None,
    }
}

/// The name of a return code in the specification, such as `CKR_DEVICE_REMOVED`.
fn code_name(code: RvError) -> String {
    if let RvError::VendorDefined(number) = code {
        return format!("CKR_VENDOR_DEFINED ({number:#x})");
    }
    format!("{code:?}").chars().fold("CKR".to_owned(), |mut name, character| {
        if character.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(character.to_ascii_uppercase());
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cryptoki::context::Function;

    #[test]
    fn errors_of_a_module_have_the_names_of_the_specification() {
        let error = |code| Pkcs11Error::from(CryptokiError::Pkcs11(code, Function::Sign));
        assert_eq!(error(RvError::DeviceRemoved).to_string(), "PKCS#11: C_Sign: CKR_DEVICE_REMOVED");
        assert_eq!(
            error(RvError::VendorDefined(0x8000_0001)).to_string(),
            "PKCS#11: C_Sign: CKR_VENDOR_DEFINED (0x80000001)"
        );
        assert!(matches!(error(RvError::SessionHandleInvalid), Pkcs11Error::SessionEnded));
    }
}
