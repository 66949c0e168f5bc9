//! Parses PKCS#11 URIs. Errors never quote the query, which could have a PIN.

use super::Pkcs11Uri;
use percent_encoding::percent_decode_str;
use std::path::PathBuf;
use std::str::FromStr;

/// Why `pin-value` is refused.
const PIN_VALUE: &str = "pin-value would show the PIN in the list of processes: write the PIN to a file, and give \
                         ?pin-source=file:PATH or --pkcs11-pin-file";

/// The error of an invalid or unsupported PKCS#11 URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a usable PKCS#11 URI: {0}")]
pub struct UriError(String);

fn error(problem: &str) -> UriError {
    UriError(problem.to_owned())
}

impl FromStr for Pkcs11Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let expected = "pkcs11:token=LABEL;object=LABEL;id=%01 is expected";
        let rest = text.trim().strip_prefix("pkcs11:").ok_or_else(|| error(expected))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self::default();
        for attribute in path.split(';').filter(|attribute| !attribute.is_empty()) {
            let (name, value) = attribute.split_once('=').ok_or_else(|| error(expected))?;
            uri.set_path_attribute(name, value)?;
        }
        for attribute in query.split('&').filter(|attribute| !attribute.is_empty()) {
            let (name, value) = attribute.split_once('=').ok_or_else(|| error("the query has no NAME=VALUE"))?;
            uri.set_query_attribute(name, value)?;
        }
        Ok(uri)
    }
}

impl Pkcs11Uri {
    fn set_path_attribute(&mut self, name: &str, value: &str) -> Result<(), UriError> {
        let slot = match name {
            "token" => &mut self.token,
            "manufacturer" => &mut self.manufacturer,
            "model" => &mut self.model,
            "serial" => &mut self.serial,
            "slot-description" => &mut self.slot_description,
            "slot-manufacturer" => &mut self.slot_manufacturer,
            "library-description" => &mut self.library_description,
            "library-manufacturer" => &mut self.library_manufacturer,
            "object" => &mut self.object,
            "id" => return set(&mut self.id, name, percent_decode_str(value).collect()),
            "slot-id" => {
                let number = value.parse().map_err(|_| error("slot-id: a number is expected"))?;
                return set(&mut self.slot_id, name, number);
            }
            "library-version" => {
                let version =
                    version(value).ok_or_else(|| error("library-version: MAJOR or MAJOR.MINOR is expected"))?;
                return set(&mut self.library_version, name, version);
            }
            // The class of the object, which is always a private key.
            "type" if value == "private" => return Ok(()),
            "type" => return Err(error("type: private is expected, because a private key signs")),
            "pin-value" => return Err(error(PIN_VALUE)),
            _ => return Err(UriError(format!("`{name}` is not known: token, object, id and the like select a key"))),
        };
        set(slot, name, decoded(name, value)?)
    }

    fn set_query_attribute(&mut self, name: &str, value: &str) -> Result<(), UriError> {
        match name {
            "module-path" => set(&mut self.module_path, name, PathBuf::from(decoded(name, value)?)),
            "pin-source" => {
                let source = decoded(name, value)?;
                let path = source.strip_prefix("file:").unwrap_or(&source);
                // RFC 8089 allows file:///path for file:/path.
                let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
                if path.starts_with('|') || path.is_empty() || path.contains("://") {
                    return Err(error("pin-source: file:PATH is expected; programs and other URLs are not supported"));
                }
                set(&mut self.pin_source, name, PathBuf::from(path))
            }
            "pin-value" => Err(error(PIN_VALUE)),
            "module-name" => {
                Err(error("module-name is not supported: give the path with module-path or --pkcs11-module"))
            }
            // RFC 7512: vendors' attributes of the query are ignored.
            _ if name.starts_with("x-") => Ok(()),
            _ => Err(error("the query has an attribute that is not known: pin-source and module-path are")),
        }
    }
}

fn set<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), UriError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(UriError(format!("{name} is given twice"))),
    }
}

fn decoded(name: &str, value: &str) -> Result<String, UriError> {
    let decoded = percent_decode_str(value).decode_utf8().map_err(|_| UriError(format!("{name}: not UTF-8")))?;
    Ok(decoded.into_owned())
}

fn version(text: &str) -> Option<(u8, u8)> {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parse(text: &str) -> Result<Pkcs11Uri, String> {
        text.parse().map_err(|error: UriError| error.to_string())
    }

    #[test]
    fn every_attribute_of_the_path_is_kept() {
        for text in [
            "pkcs11:",
            "pkcs11:token=My%20token;object=vm-1;id=%00%ff",
            "pkcs11:token=t;manufacturer=m;model=o;serial=0123;slot-id=4;slot-description=d;slot-manufacturer=n",
            "pkcs11:library-description=l;library-manufacturer=v;library-version=2.40",
        ] {
            assert_eq!(parse(text).unwrap().to_string().to_lowercase(), text.to_lowercase());
        }
        let mixed = parse("pkcs11:id=a%2Fb;type=private;token=%c3%a9").unwrap();
        assert_eq!(mixed.to_string(), "pkcs11:token=%C3%A9;id=%61%2F%62");
    }

    #[test]
    fn the_query_has_the_module_and_the_file_of_the_pin() {
        let uri = parse("pkcs11:token=t?module-path=/usr/lib/m%20x.so&pin-source=file:/run/pin&x-vendor=1").unwrap();
        assert_eq!(uri.module_path(), Some(Path::new("/usr/lib/m x.so")));
        assert_eq!(uri.pin_source(), Some(Path::new("/run/pin")));
        assert_eq!(uri.to_string(), "pkcs11:token=t");
        for source in ["file:///run/pin", "/run/pin"] {
            let uri = parse(&format!("pkcs11:?pin-source={source}")).unwrap();
            assert_eq!(uri.pin_source(), Some(Path::new("/run/pin")), "{source}");
        }
    }

    #[test]
    fn unusable_uris_are_refused_with_a_remedy() {
        for (text, problem) in [
            ("token=t", "pkcs11:token=LABEL;object=LABEL;id=%01 is expected"),
            ("pkcs11:token", "is expected"),
            ("pkcs11:token=a;token=b", "token is given twice"),
            ("pkcs11:slot-id=x", "slot-id: a number"),
            ("pkcs11:type=cert", "type: private is expected"),
            ("pkcs11:tokn=a", "`tokn` is not known"),
            ("pkcs11:token=%ff", "token: not UTF-8"),
            ("pkcs11:?pin-source=%7C/bin/pin", "programs and other URLs are not supported"),
            ("pkcs11:?pin-source=https://pin.example.com", "programs and other URLs are not supported"),
            ("pkcs11:?module-name=softhsm2", "give the path with module-path or --pkcs11-module"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with("not a usable PKCS#11 URI: ") && error.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn a_pin_in_the_uri_is_refused_and_not_quoted() {
        for text in [
            "pkcs11:token=t?pin-value=98765",
            "pkcs11:token=t?98765",
            "pkcs11:token=t?pin=98765",
            "pkcs11:pin-value=98765",
        ] {
            let error = parse(text).unwrap_err();
            assert!(!error.contains("98765"), "{error}");
        }
        assert!(parse("pkcs11:?pin-value=98765").unwrap_err().contains("?pin-source=file:PATH or --pkcs11-pin-file"));
    }
}
