//! PKCS#11 URIs (RFC 7512), which name tokens and the keys in them.

mod parse;

pub use parse::UriError;

use cryptoki::context::Info;
use cryptoki::object::{Attribute, ObjectClass};
use cryptoki::slot::{Slot, SlotInfo, TokenInfo};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode_byte, utf8_percent_encode};
use std::fmt;
use std::path::{Path, PathBuf};

/// The characters of a value that must be escaped. Spaces and other characters with a meaning for shells are too.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b'+');

/// A PKCS#11 URI (RFC 7512): it selects a token by its properties, and a key in it by its label (`object`) and `id`.
/// `Display` writes the URI without its query, which names files.
///
/// ```
/// use gce_metadata_signer::pkcs11::Pkcs11Uri;
///
/// let uri: Pkcs11Uri = "pkcs11:token=gce;object=vm-1;id=%02?pin-source=file:/run/pin".parse().unwrap();
/// assert_eq!(uri.to_string(), "pkcs11:token=gce;object=vm-1;id=%02");
/// assert!("pkcs11:token=gce?pin-value=1234".parse::<Pkcs11Uri>().is_err());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pkcs11Uri {
    token: Option<String>,
    manufacturer: Option<String>,
    model: Option<String>,
    serial: Option<String>,
    slot_id: Option<u64>,
    slot_description: Option<String>,
    slot_manufacturer: Option<String>,
    library_description: Option<String>,
    library_manufacturer: Option<String>,
    library_version: Option<(u8, u8)>,
    object: Option<String>,
    id: Option<Vec<u8>>,
    module_path: Option<PathBuf>,
    pin_source: Option<PathBuf>,
}

impl Pkcs11Uri {
    /// The URI of a token.
    pub(super) fn of_token(token: &TokenInfo) -> Self {
        let given = |value: &str| Some(value.to_owned()).filter(|value| !value.is_empty());
        Self { token: given(token.label()), serial: given(token.serial_number()), ..Self::default() }
    }

    /// The URI of a key in this token.
    pub(super) fn with_key(self, label: Option<String>, id: Option<Vec<u8>>) -> Self {
        Self { object: label, id, ..self }
    }

    /// Returns the path of the module in the query.
    pub fn module_path(&self) -> Option<&Path> {
        self.module_path.as_deref()
    }

    /// The file with the PIN in the query.
    pub(super) fn pin_source(&self) -> Option<&Path> {
        self.pin_source.as_deref()
    }

    /// Returns whether the URI names a file with the PIN.
    pub fn has_pin_source(&self) -> bool {
        self.pin_source.is_some()
    }

    pub(super) fn fits_library(&self, library: &Info) -> bool {
        let version = library.library_version();
        fits(self.library_description.as_deref(), library.library_description())
            && fits(self.library_manufacturer.as_deref(), library.manufacturer_id())
            && self.library_version.is_none_or(|wanted| wanted == (version.major(), version.minor()))
    }

    pub(super) fn fits_token(&self, token: &TokenInfo) -> bool {
        fits(self.token.as_deref(), token.label())
            && fits(self.manufacturer.as_deref(), token.manufacturer_id())
            && fits(self.model.as_deref(), token.model())
            && fits(self.serial.as_deref(), token.serial_number())
    }

    pub(super) fn fits_slot(&self, slot: Slot, info: &SlotInfo) -> bool {
        self.slot_id.is_none_or(|id| id == slot.id())
            && fits(self.slot_description.as_deref(), info.slot_description())
            && fits(self.slot_manufacturer.as_deref(), info.manufacturer_id())
    }

    /// The search for objects of this class.
    pub(super) fn template(&self, class: ObjectClass) -> Vec<Attribute> {
        let label = self.object.as_ref().map(|label| Attribute::Label(label.clone().into_bytes()));
        let id = self.id.clone().map(Attribute::Id);
        [Some(Attribute::Class(class)), label, id].into_iter().flatten().collect()
    }
}

/// Modules pad their texts with spaces.
fn fits(wanted: Option<&str>, actual: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == actual.trim_end())
}

impl fmt::Display for Pkcs11Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!("{name}={}", utf8_percent_encode(value, ESCAPED)))
        };
        let attributes = [
            text("token", &self.token),
            text("manufacturer", &self.manufacturer),
            text("model", &self.model),
            text("serial", &self.serial),
            self.slot_id.map(|id| format!("slot-id={id}")),
            text("slot-description", &self.slot_description),
            text("slot-manufacturer", &self.slot_manufacturer),
            text("library-description", &self.library_description),
            text("library-manufacturer", &self.library_manufacturer),
            self.library_version.map(|(major, minor)| format!("library-version={major}.{minor}")),
            text("object", &self.object),
            self.id.as_ref().map(|id| format!("id={}", every_byte_escaped(id))),
        ];
        write!(f, "pkcs11:{}", attributes.into_iter().flatten().collect::<Vec<_>>().join(";"))
    }
}

/// The usual form of an `id`, which is seldom text.
fn every_byte_escaped(id: &[u8]) -> String {
    id.iter().map(|byte| percent_encode_byte(*byte)).collect()
}
