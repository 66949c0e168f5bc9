//! The tokens of a module and the keys in them, for people.

use super::attributes::KeyAttributes;
use super::key::UsableKey;
use super::login::log_in;
use super::public::public_key;
use super::session::TokenSession;
use super::token::Token;
use super::{Pkcs11Error, Pkcs11Options, Pkcs11Pin, Pkcs11Uri, with_timeout};
use crate::{JwsAlgorithm, key_info};
use cryptoki::context::Pkcs11;
use cryptoki::object::{ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use rcgen::PublicKeyData;
use std::path::{Path, PathBuf};

/// A token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TokenDescription {
    /// Its URI.
    pub uri: Pkcs11Uri,
    /// Its manufacturer and model.
    pub model: String,
    /// The number of its slot.
    pub slot: u64,
    /// Whether its private keys are listed; they are visible after a login only.
    pub is_logged_in: bool,
    /// Its private keys that fit the URI.
    pub keys: Vec<KeyDescription>,
}

/// A private key in a token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KeyDescription {
    /// Its URI.
    pub uri: Pkcs11Uri,
    /// Its type and size in words; `None` if it is not known.
    pub kind: Option<String>,
    /// The SHA-256 of the public key's SubjectPublicKeyInfo in DER.
    pub spki_sha256: Option<[u8; 32]>,
    /// The public key, in PEM.
    pub public_key: Option<String>,
    /// What the key may do: `sign`, `decrypt` and so on.
    pub usages: Vec<&'static str>,
    /// Whether the token can give the key away, encrypted.
    pub is_extractable: bool,
    /// The algorithms that it can sign with, or why it can't.
    pub algorithms: Result<Vec<JwsAlgorithm>, String>,
}

/// Describes the tokens of a module that fit the URI, and the keys in them. It logs in only if one token fits, because
/// the PIN would be a wrong one for the others. This blocks for up to 90 seconds.
///
/// # Errors
/// If the module can't be loaded or does not answer, if no token fits, or the PIN is wrong.
pub fn describe(module: &Path, uri: &Pkcs11Uri, options: &Pkcs11Options) -> Result<Vec<TokenDescription>, Pkcs11Error> {
    let (path, uri, options): (PathBuf, _, _) = (module.to_owned(), uri.clone(), options.clone());
    with_timeout(module, move || {
        let module = options.modules.get(&path);
        let state = module.initialized()?;
        let library = state.library()?;
        let mut tokens = Token::all(library, &uri)?;
        if tokens.is_empty() {
            tokens.push(Token::find(library, &uri)?);
        }
        let pin = uri.pin_source().map(|path| Pkcs11Pin::File(path.to_owned())).or_else(|| options.pin.clone());
        let pin = pin.filter(|_| tokens.len() == 1);
        let mut described = Vec::new();
        for token in tokens {
            let session = TokenSession::open(&module, library, state.generation, token.slot)?;
            let is_logged_in = pin.is_some() || !token.info.login_required();
            if is_logged_in {
                log_in(session.get()?, &token, pin.as_ref(), &options.modules, &module)?;
            }
            described.push(TokenDescription {
                uri: token.uri(),
                model: format!("{} {}", token.info.manufacturer_id(), token.info.model()).trim().to_owned(),
                slot: token.slot.id(),
                is_logged_in,
                keys: keys(session.get()?, library, &token, &uri)?,
            });
        }
        Ok(described)
    })
}

fn keys(
    session: &Session,
    library: &Pkcs11,
    token: &Token,
    uri: &Pkcs11Uri,
) -> Result<Vec<KeyDescription>, Pkcs11Error> {
    let found = session.find_objects(&uri.template(ObjectClass::PRIVATE_KEY))?;
    found.into_iter().map(|key| describe_key(session, library, token, key)).collect()
}

fn describe_key(
    session: &Session,
    library: &Pkcs11,
    token: &Token,
    key: ObjectHandle,
) -> Result<KeyDescription, Pkcs11Error> {
    let key = KeyAttributes::read(session, key)?;
    let public = public_key(session, &key).ok();
    let usages = [("sign", key.sign), ("decrypt", key.decrypt), ("unwrap", key.unwrap), ("derive", key.derive)];
    let algorithms = UsableKey::of(session, library, token, &key).map(|usable| usable.algorithms());
    Ok(KeyDescription {
        kind: public.as_ref().map(|(kind, _)| kind.to_string()),
        spki_sha256: public.as_ref().map(|(_, key)| key_info(&key.subject_public_key_info()).spki_sha256),
        public_key: public.map(|(_, key)| key.pem()),
        usages: usages.into_iter().filter_map(|(usage, may)| may.then_some(usage)).collect(),
        is_extractable: key.extractable,
        algorithms: algorithms.map_err(|error| error.to_string()),
        uri: token.uri().with_key(key.label, key.id),
    })
}
