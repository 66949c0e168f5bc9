//! The public key of a private key in a token, from the attributes of the private key or of its public key.

use super::Pkcs11Error;
use super::attributes::KeyAttributes;
use crate::JwsAlgorithm;
use crate::public_key::PublicKey;
use cryptoki::object::{Attribute, KeyType, ObjectClass};
use cryptoki::session::Session;
use der::Decode;
use der::asn1::OctetString;
use std::fmt;

/// The object identifiers of the curves, in DER.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

/// The smallest RSA key that Google accepts, in bits.
const MIN_BITS: usize = 2048;

/// The type of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// RSA, with the length of the modulus in bits.
    Rsa(usize),
    P256,
    P384,
}

impl KeyKind {
    /// The algorithms of such keys. The first one is that of tokens.
    pub(super) fn algorithms(self) -> &'static [JwsAlgorithm] {
        match self {
            Self::Rsa(_) => &[JwsAlgorithm::Rs256, JwsAlgorithm::Ps256],
            Self::P256 => &[JwsAlgorithm::Es256],
            Self::P384 => &[JwsAlgorithm::Es384],
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA, {bits} bits"),
            Self::P256 => f.write_str("elliptic curve P-256"),
            Self::P384 => f.write_str("elliptic curve P-384"),
        }
    }
}

/// The type and the public key of a private key. Some tokens have the public part in the public key only.
pub(super) fn public_key(session: &Session, private: &KeyAttributes) -> Result<(KeyKind, PublicKey), Pkcs11Error> {
    match private.key_type {
        Some(KeyType::RSA) => rsa(session, private),
        Some(KeyType::EC) => elliptic_curve(session, private),
        _ => Err(unsuitable("the key is neither an RSA key nor one of an elliptic curve")),
    }
}

fn rsa(session: &Session, private: &KeyAttributes) -> Result<(KeyKind, PublicKey), Pkcs11Error> {
    let (modulus, exponent) = match (&private.modulus, &private.exponent) {
        (Some(modulus), Some(exponent)) => (modulus.clone(), exponent.clone()),
        _ => {
            let public = public_object(session, private)?;
            public.modulus.zip(public.exponent).ok_or_else(no_public_key)?
        }
    };
    let modulus: Vec<u8> = modulus.into_iter().skip_while(|byte| *byte == 0).collect();
    let bits = modulus.len() * 8;
    if bits < MIN_BITS {
        return Err(unsuitable(&format!(
            "the key has {bits} bits; Google accepts RSA keys of {MIN_BITS} bits or more"
        )));
    }
    let key = PublicKey::rsa(&modulus, &exponent).map_err(|error| Pkcs11Error::Other(error.to_string()))?;
    Ok((KeyKind::Rsa(bits), key))
}

fn elliptic_curve(session: &Session, private: &KeyAttributes) -> Result<(KeyKind, PublicKey), Pkcs11Error> {
    let public = if private.point.is_some() { None } else { Some(public_object(session, private)?) };
    let public = public.as_ref().unwrap_or(private);
    let curve = private.curve.as_deref().or(public.curve.as_deref());
    let (kind, algorithm, length) = match curve {
        Some(P256) => (KeyKind::P256, &rcgen::PKCS_ECDSA_P256_SHA256, 65),
        Some(P384) => (KeyKind::P384, &rcgen::PKCS_ECDSA_P384_SHA384, 97),
        _ => return Err(unsuitable("the curve of the key is neither P-256 nor P-384")),
    };
    let point = public.point.as_deref().ok_or_else(no_public_key)?;
    // The specification has the point in an OCTET STRING; some modules leave it out.
    let point = match OctetString::from_der(point) {
        Ok(wrapped) => wrapped.as_bytes().to_vec(),
        Err(_) => point.to_vec(),
    };
    if point.len() != length {
        return Err(unsuitable("the point of the key is not uncompressed"));
    }
    Ok((kind, PublicKey::elliptic_curve(point, algorithm)))
}

/// The attributes of the public key with the same id.
fn public_object(session: &Session, private: &KeyAttributes) -> Result<KeyAttributes, Pkcs11Error> {
    let id = private.id.clone().ok_or_else(no_public_key)?;
    let found = session.find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Id(id)])?;
    KeyAttributes::read(session, *found.first().ok_or_else(no_public_key)?)
}

fn no_public_key() -> Pkcs11Error {
    unsuitable("the token does not have the public key: write it to the token, with the id of the private key")
}

fn unsuitable(why: &str) -> Pkcs11Error {
    Pkcs11Error::UnsuitableKey(why.to_owned())
}
