//! The attributes of a key object.

use super::Pkcs11Error;
use cryptoki::mechanism::MechanismType;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectHandle};
use cryptoki::session::Session;

/// The attributes that tokens give away. An attribute is false or `None` if the token does not have it.
#[derive(Default)]
pub(super) struct KeyAttributes {
    pub(super) key_type: Option<KeyType>,
    pub(super) label: Option<String>,
    pub(super) id: Option<Vec<u8>>,
    pub(super) sign: bool,
    pub(super) decrypt: bool,
    pub(super) unwrap: bool,
    pub(super) derive: bool,
    pub(super) extractable: bool,
    /// Whether the PIN must be given again before each signature.
    pub(super) always_authenticate: bool,
    /// The mechanisms that the key may be used with; empty if it is not restricted.
    pub(super) allowed_mechanisms: Vec<MechanismType>,
    pub(super) modulus: Option<Vec<u8>>,
    pub(super) exponent: Option<Vec<u8>>,
    pub(super) curve: Option<Vec<u8>>,
    pub(super) point: Option<Vec<u8>>,
}

const READ: [AttributeType; 13] = [
    AttributeType::KeyType,
    AttributeType::Label,
    AttributeType::Id,
    AttributeType::Sign,
    AttributeType::Decrypt,
    AttributeType::Unwrap,
    AttributeType::Derive,
    AttributeType::Extractable,
    AttributeType::AlwaysAuthenticate,
    AttributeType::Modulus,
    AttributeType::PublicExponent,
    AttributeType::EcParams,
    AttributeType::EcPoint,
];

impl KeyAttributes {
    pub(super) fn read(session: &Session, key: ObjectHandle) -> Result<Self, Pkcs11Error> {
        let mut read = Self::default();
        for attribute in session.get_attributes(key, &READ)? {
            read.set(attribute);
        }
        // Separately, because cryptoki fails for mechanisms that it does not know.
        for attribute in session.get_attributes(key, &[AttributeType::AllowedMechanisms]).unwrap_or_default() {
            read.set(attribute);
        }
        Ok(read)
    }

    fn set(&mut self, attribute: Attribute) {
        let given = |bytes: Vec<u8>| Some(bytes).filter(|bytes| !bytes.is_empty());
        match attribute {
            Attribute::KeyType(key_type) => self.key_type = Some(key_type),
            Attribute::Label(label) => {
                self.label = given(label).map(|label| String::from_utf8_lossy(&label).into_owned());
            }
            Attribute::Id(id) => self.id = given(id),
            Attribute::Sign(sign) => self.sign = sign,
            Attribute::Decrypt(decrypt) => self.decrypt = decrypt,
            Attribute::Unwrap(unwrap) => self.unwrap = unwrap,
            Attribute::Derive(derive) => self.derive = derive,
            Attribute::Extractable(extractable) => self.extractable = extractable,
            Attribute::AlwaysAuthenticate(always) => self.always_authenticate = always,
            Attribute::AllowedMechanisms(mechanisms) => self.allowed_mechanisms = mechanisms,
            Attribute::Modulus(modulus) => self.modulus = given(modulus),
            Attribute::PublicExponent(exponent) => self.exponent = given(exponent),
            Attribute::EcParams(curve) => self.curve = given(curve),
            Attribute::EcPoint(point) => self.point = given(point),
            _ => {}
        }
    }
}
