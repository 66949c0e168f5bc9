//! Key files: PEM with the label `TSS2 PRIVATE KEY`, which contains the public area of a key and its private area,
//! encrypted for its parent.
//!
//! The format is that of James Bottomley's draft "ASN.1 Specification for TPM 2.0 Key Files". Implementations differ,
//! so the parser is lenient: any byte but 0 is `TRUE`; `emptyAuth` is ignored, because some write its opposite.
//! Policies are ignored too: `policy.rs` derives them from the key.

use super::{TpmError, TpmParent};
use der::asn1::AnyRef;
use der::asn1::{ObjectIdentifier, OctetStringRef};
use der::{Decode, Encode, SliceReader, Tag, TagNumber, Tagged};
use tss_esapi::structures::{EncryptedSecret, Private, Public};
use tss_esapi::traits::{Marshall, UnMarshall};

const LABEL: &str = "TSS2 PRIVATE KEY";
const LOADABLE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.10.1.3");
const IMPORTABLE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.10.1.4");
const OWNER: u32 = 0x4000_0001;
const ENDORSEMENT: u32 = 0x4000_000b;

/// The content of a key file.
#[derive(Debug, Clone)]
pub(super) struct KeyFile {
    pub(super) public: Public,
    pub(super) private: Private,
    /// The encrypted seed of an importable key; `None` for a loadable key.
    pub(super) secret: Option<EncryptedSecret>,
    pub(super) parent: TpmParent,
}

impl KeyFile {
    pub(super) fn from_pem(text: &[u8]) -> Result<Self, String> {
        let begin = format!("-----BEGIN {LABEL}-----");
        let start = text.windows(begin.len()).position(|window| window == begin.as_bytes());
        let start = start.ok_or_else(|| {
            format!("no key of a TPM in PEM ({LABEL}) found; `tpm import` makes one from a service account's key")
        })?;
        let block = pem::parse(&text[start..]).map_err(|error| format!("not PEM: {error}"))?;
        Self::from_der(block.contents()).map_err(|problem| format!("not a key file of a TPM: {problem}"))
    }

    fn from_der(bytes: &[u8]) -> Result<Self, String> {
        let wrong = |error: der::Error| error.to_string();
        let whole = AnyRef::from_der(bytes).map_err(wrong)?;
        let mut reader = SliceReader::new(whole.value()).map_err(wrong)?;
        let kind = ObjectIdentifier::decode(&mut reader).map_err(wrong)?;
        let (mut secret, mut is_rsa_parent) = (None, false);
        while let Tag::ContextSpecific { number, .. } = Tag::peek(&reader).map_err(wrong)? {
            let field = AnyRef::decode(&mut reader).map_err(wrong)?;
            match number.value() {
                2 => secret = Some(<&OctetStringRef>::from_der(field.value()).map_err(wrong)?.as_bytes()),
                5 => is_rsa_parent = field.value().last().is_some_and(|byte| *byte != 0),
                // Ignored: emptyAuth, the policies and the description.
                _ => {}
            }
        }
        let parent = AnyRef::decode(&mut reader).map_err(wrong)?;
        let public = <&OctetStringRef>::decode(&mut reader).map_err(wrong)?;
        let private = <&OctetStringRef>::decode(&mut reader).map_err(wrong)?;
        let secret = match (kind == IMPORTABLE, secret) {
            (false, _) if kind != LOADABLE => return Err(format!("keys of the type {kind} are not supported")),
            (false, _) => None,
            (true, None) => return Err("an importable key without its secret".to_owned()),
            (true, Some(secret)) => Some(unsized_(secret)?.try_into().map_err(|_| "its secret is too long")?),
        };
        Ok(Self {
            public: Public::unmarshall(unsized_(public.as_bytes())?).map_err(|_| "its public area is invalid")?,
            private: unsized_(private.as_bytes())?.try_into().map_err(|_| "its private area is too long")?,
            secret,
            parent: parent_of(parent, is_rsa_parent)?,
        })
    }

    /// Encodes a loadable key. Imported keys are loadable.
    pub(super) fn to_pem(&self) -> Result<String, TpmError> {
        let wrong = |error: der::Error| TpmError::Other(error.to_string());
        let public = sized(&self.public.marshall()?);
        let private = sized(self.private.value());
        let parent = match self.parent {
            TpmParent::Owner | TpmParent::OwnerRsa => OWNER,
            TpmParent::Endorsement => ENDORSEMENT,
            TpmParent::Persistent(handle) => handle,
        };
        let mut fields = LOADABLE.to_der().map_err(wrong)?;
        if self.parent == TpmParent::OwnerRsa {
            let tag = Tag::ContextSpecific { constructed: true, number: TagNumber(5) };
            let field = true.to_der().and_then(|inner| AnyRef::new(tag, &inner)?.to_der());
            fields.extend(field.map_err(wrong)?);
        }
        fields.extend(parent.to_der().map_err(wrong)?);
        for area in [&public, &private] {
            fields.extend(OctetStringRef::new(area).and_then(|area| area.to_der()).map_err(wrong)?);
        }
        let whole = AnyRef::new(Tag::Sequence, &fields).and_then(|whole| whole.to_der()).map_err(wrong)?;
        let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        Ok(pem::encode_config(&pem::Pem::new(LABEL, whole), config))
    }
}

fn parent_of(integer: AnyRef<'_>, is_rsa: bool) -> Result<TpmParent, String> {
    if integer.tag() != Tag::Integer {
        return Err("its parent is not a number".to_owned());
    }
    // Some implementations write handles as negative numbers.
    let handle = integer.value().iter().fold(0_u32, |handle, byte| handle << 8 | u32::from(*byte));
    match handle {
        OWNER if is_rsa => Ok(TpmParent::OwnerRsa),
        OWNER => Ok(TpmParent::Owner),
        ENDORSEMENT => Ok(TpmParent::Endorsement),
        0x8100_0000..=0x81ff_ffff => Ok(TpmParent::Persistent(handle)),
        _ => Err(format!("its parent is {handle:#x}, which is neither a hierarchy nor a persistent handle")),
    }
}

/// Removes the two-byte length prefix, and checks it.
fn unsized_(bytes: &[u8]) -> Result<&[u8], String> {
    let (length, rest) = bytes.split_first_chunk().ok_or("a part of it is missing")?;
    if usize::from(u16::from_be_bytes(*length)) != rest.len() {
        return Err("a part of it is cut off".to_owned());
    }
    Ok(rest)
}

/// Adds a two-byte length prefix.
pub(super) fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of the Go emulator's documentation, made by tpm2-tools 5.4, whose `emptyAuth` is 0x01 instead of 0xff.
    fn sample() -> Vec<u8> {
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/loadable.pem")).unwrap()
    }

    #[test]
    fn a_key_file_of_tpm2_tools_round_trips() {
        let file = KeyFile::from_pem(&sample()).unwrap();
        assert_eq!(file.parent, TpmParent::Owner);
        assert!(file.secret.is_none());
        let again = KeyFile::from_pem(file.to_pem().unwrap().as_bytes()).unwrap();
        assert_eq!((&again.public, &again.private), (&file.public, &file.private));
    }

    #[test]
    fn any_boolean_byte_and_optional_fields_are_accepted() {
        let der = pem::parse(sample()).unwrap().contents().to_vec();
        // emptyAuth follows the OID: a0 03 01 01 VALUE.
        let start = der.windows(4).position(|window| window == [0xa0, 3, 1, 1]).unwrap();
        for byte in [0, 1, 0x42, 0xff] {
            let mut der = der.clone();
            der[start + 4] = byte;
            KeyFile::from_der(&der).unwrap();
        }
        // A policy [1] with a made-up step, and a description [4].
        let optional: &[u8] = &[0xa1, 2, 0x30, 0, 0xa4, 4, 0x0c, 2, b'h', b'i'];
        let fields = [&der[4..start + 5], optional, &der[start + 5..]].concat();
        KeyFile::from_der(&AnyRef::new(Tag::Sequence, &fields).unwrap().to_der().unwrap()).unwrap();
    }

    #[test]
    fn other_content_is_an_error_that_names_the_pem_label_or_the_format() {
        let refused = |text: &[u8]| KeyFile::from_pem(text).unwrap_err();
        assert!(refused(b"nothing").contains(LABEL));
        // Google's JSON escapes the line ends of the PEM.
        let json = br#"{"private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}"#;
        assert!(refused(json).contains(LABEL));
        assert!(refused(b"-----BEGIN TSS2 PRIVATE KEY-----\nA?\n-----END TSS2 PRIVATE KEY-----\n").contains("not PEM"));
        assert!(refused(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").contains(LABEL));
        let block = |bytes: &[u8]| pem::encode(&pem::Pem::new(LABEL, bytes)).into_bytes();
        assert!(refused(&block(&[0x30, 0])).contains("not a key file"));
        let mut der = pem::parse(sample()).unwrap().contents().to_vec();
        der.truncate(der.len() - 1);
        assert!(refused(&block(&der)).contains("not a key file"));
    }
}
