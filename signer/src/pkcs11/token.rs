//! Finds the token that a URI names.

use super::{Pkcs11Error, Pkcs11Uri};
use cryptoki::context::Pkcs11;
use cryptoki::slot::{Slot, SlotInfo, TokenInfo};

/// A token in its slot.
pub(super) struct Token {
    pub(super) slot: Slot,
    pub(super) info: TokenInfo,
    slot_info: SlotInfo,
}

impl Token {
    /// All initialized tokens of a module that fit the URI. Slots that can't be read, such as that of a token that is
    /// being removed, are left out.
    pub(super) fn all(library: &Pkcs11, uri: &Pkcs11Uri) -> Result<Vec<Self>, Pkcs11Error> {
        let library_info = library.get_library_info()?;
        let read = |slot| {
            let (info, slot_info) = (library.get_token_info(slot).ok()?, library.get_slot_info(slot).ok()?);
            Some(Self { slot, info, slot_info })
        };
        let tokens = library.get_slots_with_token()?.into_iter().filter_map(read);
        let tokens = tokens.filter(|token| token.info.token_initialized());
        Ok(tokens.filter(|token| uri.fits_library(&library_info) && token.fits(uri)).collect())
    }

    /// The only token that fits the URI.
    pub(super) fn find(library: &Pkcs11, uri: &Pkcs11Uri) -> Result<Self, Pkcs11Error> {
        let mut fitting = Self::all(library, uri)?;
        match (fitting.pop(), fitting.is_empty()) {
            (Some(token), true) => Ok(token),
            (Some(token), false) => {
                fitting.push(token);
                Err(Pkcs11Error::SeveralTokens { uri: uri.to_string(), found: names(&fitting) })
            }
            (None, _) => {
                let all = Self::all(library, &Pkcs11Uri::default())?;
                let found = match names(&all) {
                    names if names.is_empty() => "the module has no token".to_owned(),
                    names => format!("the module's tokens are {names}"),
                };
                Err(Pkcs11Error::NoToken { uri: uri.to_string(), found })
            }
        }
    }

    fn fits(&self, uri: &Pkcs11Uri) -> bool {
        uri.fits_token(&self.info) && uri.fits_slot(self.slot, &self.slot_info)
    }

    /// The URI of this token.
    pub(super) fn uri(&self) -> Pkcs11Uri {
        Pkcs11Uri::of_token(&self.info)
    }
}

/// The URIs of tokens, for an error.
fn names(tokens: &[Token]) -> String {
    tokens.iter().map(|token| token.uri().to_string()).collect::<Vec<_>>().join(", ")
}
