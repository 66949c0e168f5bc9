//! Logs in to a token. A wrong PIN is tried once and never again, because a token locks itself after a few.

use super::error::code;
use super::module::{Module, RefusedPin};
use super::token::Token;
use super::{Pkcs11Error, Pkcs11Modules, Pkcs11Pin};
use cryptoki::error::RvError;
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use gce_metadata_support::Secret;
use gce_metadata_support::file::{self, Limit};
use zeroize::Zeroizing;

/// Logs in to the token of this session, if it needs that.
pub(super) fn log_in(
    session: &Session,
    token: &Token,
    pin: Option<&Pkcs11Pin>,
    modules: &Pkcs11Modules,
    module: &Module,
) -> Result<(), Pkcs11Error> {
    let label = token.info.label().to_owned();
    if !token.info.login_required() {
        return Ok(());
    }
    let Some(pin) = pin else { return Err(Pkcs11Error::MissingPin { token: label }) };
    let pin = RefusedPin { label: label.clone(), serial: token.info.serial_number().to_owned(), pin: pin.read()? };
    let _alone = module.lock_login();
    if modules.has_refused(&pin) {
        return Err(Pkcs11Error::WrongPin { token: label });
    }
    if token.info.user_pin_locked() {
        return Err(Pkcs11Error::Locked { token: label });
    }
    if token.info.user_pin_final_try() {
        return Err(Pkcs11Error::LastAttempt { token: label });
    }
    let Err(error) = session.login(UserType::User, Some(&AuthPin::new(pin.pin.expose().into()))) else { return Ok(()) };
    match code(&error) {
        // Another session of this process has logged in: the login belongs to the token.
        Some(RvError::UserAlreadyLoggedIn) => Ok(()),
        Some(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange | RvError::PinExpired) => {
            modules.remember_refused(pin);
            Err(Pkcs11Error::WrongPin { token: label })
        }
        Some(RvError::PinLocked) => {
            modules.remember_refused(pin);
            Err(Pkcs11Error::Locked { token: label })
        }
        _ => Err(error.into()),
    }
}

impl Pkcs11Pin {
    fn read(&self) -> Result<Secret, Pkcs11Error> {
        let path = match self {
            Self::Value(pin) => return Ok(pin.clone()),
            Self::File(path) => path,
        };
        let unusable = |problem: String| Pkcs11Error::PinFile { path: path.clone(), problem };
        let bytes = file::read(path, Limit::PIN).map(Zeroizing::new).map_err(|error| unusable(error.to_string()))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| unusable("not UTF-8".to_owned()))?;
        // Editors append a newline.
        Ok(text.trim_end_matches(['\r', '\n']).into())
    }
}
