//! A secret string, which `Debug` redacts and which is wiped from memory.

use std::fmt;
use std::sync::{Arc, OnceLock};
use zeroize::Zeroizing;

/// A secret string. `Debug` prints `Secret(…)`, and the memory is wiped when the last clone is dropped. Cloning is
/// cheap: clones share the string.
#[derive(Clone)]
pub struct Secret(Arc<Texts>);

struct Texts {
    plain: Zeroizing<String>,
    encoded: OnceLock<Zeroizing<String>>,
}

impl Secret {
    /// Returns the string itself. Never write it to a log, a metric or an error.
    pub fn expose(&self) -> &str {
        &self.0.plain
    }

    /// Returns the string as `encode` writes it, such as a JSON string. The first call encodes it for all clones, so each call must
    /// pass the same function. Never write it to a log, a metric or an error.
    pub fn expose_encoded(&self, encode: fn(&str) -> String) -> &str {
        self.0.encoded.get_or_init(|| Zeroizing::new(encode(self.expose())))
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(Arc::new(Texts { plain: Zeroizing::new(secret), encoded: OnceLock::new() }))
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self::from(secret.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_print_the_secret() {
        let secret = Secret::from("ya29.hidden");
        assert_eq!(secret.expose_encoded(|secret| format!("<{secret}>")), "<ya29.hidden>");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(secret.expose(), "ya29.hidden");
    }
}
