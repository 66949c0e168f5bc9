//! A key in a token that is logged in, ready to sign.

use super::attributes::KeyAttributes;
use super::login::log_in;
use super::mechanism::Scheme;
use super::public::{KeyKind, public_key};
use super::session::TokenSession;
use super::token::Token;
use super::{Pkcs11Error, Pkcs11Key, Pkcs11Options, Pkcs11Uri};
use crate::public_key::PublicKey;
use crate::queue::DeviceKey;
use crate::{JwsAlgorithm, KeyInfo, key_info};
use cryptoki::context::Pkcs11;
use cryptoki::object::{ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use rcgen::PublicKeyData;

/// A key in a token.
pub(super) struct OpenKey {
    session: TokenSession,
    handle: ObjectHandle,
    usable: UsableKey,
}

/// The public part of a private key that can sign, and how it signs.
pub(super) struct UsableKey {
    pub(super) kind: KeyKind,
    pub(super) public: PublicKey,
    schemes: Vec<(JwsAlgorithm, Scheme)>,
}

impl OpenKey {
    /// Opens a session, logs in and finds the key. It makes no signature.
    pub(super) fn open(key: &Pkcs11Key, options: &Pkcs11Options) -> Result<Self, Pkcs11Error> {
        let module = options.modules.get(&key.module);
        let state = module.initialized()?;
        let library = state.library()?;
        let token = Token::find(library, &key.uri)?;
        let session = TokenSession::open(&module, library, state.generation, token.slot)?;
        let opened = session.get()?;
        log_in(opened, &token, key.pin(options).as_ref(), &options.modules, &module)?;
        let (handle, attributes) = find(opened, &key.uri)?;
        let usable = UsableKey::of(opened, library, &token, &attributes)?;
        Ok(Self { session, handle, usable })
    }

    pub(super) fn info(&self) -> KeyInfo {
        let info = key_info(&self.subject_public_key_info());
        let alg = self.usable.kind.algorithms().first().copied().unwrap_or(info.alg);
        KeyInfo { alg, ..info }
    }

    pub(super) fn subject_public_key_info(&self) -> Vec<u8> {
        self.usable.public.subject_public_key_info()
    }

    pub(super) fn public_key(&self) -> &PublicKey {
        &self.usable.public
    }

    pub(super) fn algorithms(&self) -> Vec<JwsAlgorithm> {
        self.usable.algorithms()
    }
}

impl DeviceKey for OpenKey {
    type Error = Pkcs11Error;

    fn sign(&mut self, alg: JwsAlgorithm, message: &[u8]) -> Result<Vec<u8>, Pkcs11Error> {
        let scheme = self.usable.schemes.iter().find(|(known, _)| *known == alg).map(|(_, scheme)| *scheme);
        let Some(scheme) = scheme else {
            let kind = self.usable.kind;
            return Err(Pkcs11Error::UnsuitableKey(format!(
                "{alg}: the key ({kind}) can't sign with it in this token"
            )));
        };
        self.session.with(|session| Ok(session.sign(&scheme.mechanism(), self.handle, &scheme.input(message))?))
    }
}

impl UsableKey {
    /// Checks that a private key can sign.
    pub(super) fn of(
        session: &Session,
        library: &Pkcs11,
        token: &Token,
        key: &KeyAttributes,
    ) -> Result<Self, Pkcs11Error> {
        let unsuitable = |why: &str| Pkcs11Error::UnsuitableKey(why.to_owned());
        let (kind, public) = public_key(session, key)?;
        if !key.sign {
            return Err(unsuitable("the key may not sign (CKA_SIGN is false): use a key that was made for signing"));
        }
        if key.always_authenticate {
            return Err(unsuitable(
                "the key wants the PIN before each signature (CKA_ALWAYS_AUTHENTICATE), which is not supported: use a key without",
            ));
        }
        let mechanisms = library.get_mechanism_list(token.slot)?;
        let has = |mechanism| {
            let is_allowed = key.allowed_mechanisms.is_empty() || key.allowed_mechanisms.contains(&mechanism);
            let signs = || library.get_mechanism_info(token.slot, mechanism).is_ok_and(|info| info.sign());
            is_allowed && mechanisms.contains(&mechanism) && signs()
        };
        let scheme = |alg: &JwsAlgorithm| Scheme::choose(*alg, has).map(|scheme| (*alg, scheme));
        let schemes: Vec<_> = kind.algorithms().iter().filter_map(scheme).collect();
        if schemes.is_empty() {
            return Err(unsuitable("the token has no mechanism by which the key could sign with SHA-256"));
        }
        Ok(Self { kind, public, schemes })
    }

    pub(super) fn algorithms(&self) -> Vec<JwsAlgorithm> {
        self.schemes.iter().map(|(alg, _)| *alg).collect()
    }
}

/// The only private key that fits the URI.
fn find(session: &Session, uri: &Pkcs11Uri) -> Result<(ObjectHandle, KeyAttributes), Pkcs11Error> {
    let private = session.find_objects(&uri.template(ObjectClass::PRIVATE_KEY))?;
    match private[..] {
        [key] => Ok((key, KeyAttributes::read(session, key)?)),
        [] => Err(Pkcs11Error::NoKey { uri: uri.to_string(), found: found_instead(session, uri)? }),
        _ => Err(Pkcs11Error::SeveralKeys { uri: uri.to_string(), found: names(session, &private)? }),
    }
}

/// What the token has instead of the private key, in words.
fn found_instead(session: &Session, uri: &Pkcs11Uri) -> Result<String, Pkcs11Error> {
    for (class, name) in [(ObjectClass::PUBLIC_KEY, "a public key"), (ObjectClass::CERTIFICATE, "a certificate")] {
        if !session.find_objects(&uri.template(class))?.is_empty() {
            return Ok(format!("the token has {name} of this name only"));
        }
    }
    let all = session.find_objects(&Pkcs11Uri::default().template(ObjectClass::PRIVATE_KEY))?;
    Ok(match names(session, &all)? {
        names if names.is_empty() => "the token has no private key".to_owned(),
        names => format!("the token's private keys are {names}"),
    })
}

/// The URIs of keys, for an error.
fn names(session: &Session, keys: &[ObjectHandle]) -> Result<String, Pkcs11Error> {
    let name = |key: &ObjectHandle| {
        let KeyAttributes { label, id, .. } = KeyAttributes::read(session, *key)?;
        Ok(Pkcs11Uri::default().with_key(label, id).to_string())
    };
    Ok(keys.iter().map(name).collect::<Result<Vec<_>, Pkcs11Error>>()?.join(", "))
}
