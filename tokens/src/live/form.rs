//! The form of a token endpoint's request. It records which of its values are secret.

use super::redact::Redactions;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use form_urlencoded::Serializer;
use gce_metadata_routes::token::Secret;

/// A form that requests a token.
#[must_use]
pub(super) struct Form {
    /// The encoded fields.
    pub(super) body: String,
    /// HTTP Basic credentials in base64.
    pub(super) basic: Option<Secret>,
    /// The secrets to redact in quotes of the answer.
    pub(super) redactions: Redactions,
}

impl Form {
    /// A form for this grant type.
    pub(super) fn new(grant_type: &str) -> Self {
        let form = Self { body: String::new(), basic: None, redactions: Redactions::default() };
        form.field("grant_type", grant_type)
    }

    /// Adds a field that is not secret.
    pub(super) fn field(mut self, name: &str, value: &str) -> Self {
        Serializer::new(&mut self.body).append_pair(name, value);
        self
    }

    /// Adds a secret field.
    pub(super) fn secret(self, name: &str, value: &Secret) -> Self {
        let form = self.field(name, value.expose());
        Self { redactions: form.redactions.secret(value), ..form }
    }

    /// Redacts a value that a secret field contains in encoded form, such as a claim of a signed assertion.
    pub(super) fn redact(self, value: &str) -> Self {
        Self { redactions: self.redactions.text(value), ..self }
    }

    /// Authenticates the client by HTTP Basic authentication.
    pub(super) fn client(self, id: &str, password: &Secret) -> Self {
        let basic = Secret::from(BASE64_STANDARD.encode(format!("{id}:{}", password.expose())));
        let redactions = self.redactions.secret(password).secret(&basic);
        Self { basic: Some(basic), redactions, ..self }
    }
}
