//! A connection to a TPM: its primary and endorsement keys, which are the parents of other keys, and its sessions.

use super::bridge::Bridge;
use super::error::{TpmError, is_unauthorized, kind};
use super::{TpmAddress, TpmParent};
use gce_metadata_support::Secret;
use std::fmt::Write;
use tss_esapi::Context;
use tss_esapi::abstraction::{AsymmetricAlgorithmSelection, ek};
use tss_esapi::attributes::{ObjectAttributesBuilder, SessionAttributesBuilder};
use tss_esapi::constants::response_code::Tss2ResponseCodeKind;
use tss_esapi::constants::{PropertyTag, SessionType};
use tss_esapi::handles::{AuthHandle, KeyHandle, ObjectHandle, PersistentTpmHandle, SessionHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{
    Auth, Digest, EccPoint, EccScheme, KeyDerivationFunctionScheme, Name, Nonce, Public, PublicBuilder,
    PublicEccParametersBuilder, PublicKeyRsa, PublicRsaParametersBuilder, RsaExponent, RsaScheme, SymmetricDefinition,
    SymmetricDefinitionObject,
};

/// The endorsement keys of the TCG's default templates, by the names that `tpm ek-name` prints.
pub(super) const ENDORSEMENT_KEYS: [(&str, AsymmetricAlgorithmSelection); 2] = [
    ("rsa", AsymmetricAlgorithmSelection::Rsa(RsaKeyBits::Rsa2048)),
    ("ecc", AsymmetricAlgorithmSelection::Ecc(EccCurve::NistP256)),
];

/// A connection to a TPM.
pub(super) struct Device {
    pub(super) context: Context,
    /// Declared after `context`, which uses it, so that it is dropped later.
    _bridge: Option<Bridge>,
}

/// A loaded parent key. It is released after each use, because a TPM without a resource manager has room for three
/// keys.
pub(super) struct Parent {
    pub(super) handle: KeyHandle,
    /// The policy session that authorises its use; `None` if a password does.
    policy: Option<PolicySession>,
    is_transient: bool,
}

impl Parent {
    /// The error of loading a key under this parent, with the remedy if the key has another parent.
    pub(super) fn load_error(&self, error: tss_esapi::Error) -> TpmError {
        let remedy = if self.policy.is_some() { "another parent than the endorsement key" } else { "--use-ek-parent" };
        match kind(&error) {
            Some(Tss2ResponseCodeKind::Integrity | Tss2ResponseCodeKind::Value) => TpmError::WrongParent { remedy },
            _ => error.into(),
        }
    }
}

impl Device {
    pub(super) fn open(address: &TpmAddress) -> Result<Self, TpmError> {
        let (context, bridge) = address.connect()?;
        Ok(Self { context, _bridge: bridge })
    }

    /// Recreates a primary key from the TPM's seed, or looks up a persistent one.
    pub(super) fn parent(&mut self, parent: TpmParent, password: Option<&Secret>) -> Result<Parent, TpmError> {
        match parent {
            TpmParent::Owner => self.primary(Hierarchy::Owner, ecc_parent()?, password),
            TpmParent::OwnerRsa => self.primary(Hierarchy::Owner, rsa_parent()?, password),
            TpmParent::Endorsement => {
                let handle = self.endorsement_key(ENDORSEMENT_KEYS[0].1, password)?.0;
                let policy = match self.endorsement_policy() {
                    Ok(policy) => policy,
                    Err(error) => {
                        self.flush(handle.into());
                        return Err(error);
                    }
                };
                Ok(Parent { handle, policy: Some(policy), is_transient: true })
            }
            TpmParent::Persistent(handle) => {
                let handle: KeyHandle = self.persistent(handle)?.into();
                self.authorize(handle.into(), password)?;
                Ok(Parent { handle, policy: None, is_transient: false })
            }
        }
    }

    /// Runs one command that uses the parent, authorised by its password or policy.
    pub(super) fn with_parent<T>(
        &mut self,
        parent: &Parent,
        work: impl FnOnce(&mut Context, KeyHandle) -> tss_esapi::Result<T>,
    ) -> Result<tss_esapi::Result<T>, TpmError> {
        let session = parent.policy.map_or(AuthSession::Password, AuthSession::from);
        let done = self.context.execute_with_session(Some(session), |context| work(context, parent.handle));
        match done {
            Err(error) if is_unauthorized(&error) => Err(TpmError::WrongPassword { of: "parent" }),
            done => Ok(done),
        }
    }

    /// Restarts the parent's policy session, because each command that uses it consumes the policy.
    pub(super) fn restart_policy(&mut self, parent: &Parent) -> Result<(), TpmError> {
        let Some(policy) = parent.policy else { return Ok(()) };
        self.context.policy_restart(policy)?;
        self.endorse(policy)
    }

    /// Flushes the parent and its session.
    pub(super) fn release(&mut self, parent: Parent) {
        if let Some(policy) = parent.policy {
            self.flush(SessionHandle::from(AuthSession::from(policy)).into());
        }
        if parent.is_transient {
            self.flush(parent.handle.into());
        }
    }

    /// Recreates an endorsement key, and returns its handle and name.
    pub(super) fn endorsement_key(
        &mut self,
        kind: AsymmetricAlgorithmSelection,
        password: Option<&Secret>,
    ) -> Result<(KeyHandle, Name), TpmError> {
        let public = ek::create_ek_public_from_default_template_2(kind, None)?;
        let handle = self.primary(Hierarchy::Endorsement, public, password)?.handle;
        match self.context.tr_get_name(handle.into()) {
            Ok(name) => Ok((handle, name)),
            Err(error) => {
                self.flush(handle.into());
                Err(error.into())
            }
        }
    }

    /// Looks up a key at a persistent handle.
    pub(super) fn persistent(&mut self, handle: u32) -> Result<ObjectHandle, TpmError> {
        let tpm_handle = PersistentTpmHandle::new(handle).map_err(|_| {
            TpmError::InvalidOption(format!("{handle:#x}: a persistent handle, 0x81000000 to 0x81ffffff, is expected"))
        })?;
        let found = self.context.execute_without_session(|it| it.tr_from_tpm_public(TpmHandle::Persistent(tpm_handle)));
        found.map_err(|error| match kind(&error) {
            Some(Tss2ResponseCodeKind::Handle) => TpmError::NoKey { handle },
            _ => error.into(),
        })
    }

    /// Sets the password with which commands use the object.
    pub(super) fn authorize(&mut self, object: ObjectHandle, password: Option<&Secret>) -> Result<(), TpmError> {
        Ok(self.context.tr_set_auth(object, auth(password)?)?)
    }

    /// Starts a policy session, or a trial session, which only calculates the digest of a policy.
    pub(super) fn policy_session(&mut self, session_type: SessionType) -> Result<PolicySession, TpmError> {
        let session = self.session(None, session_type)?;
        PolicySession::try_from(session).map_err(TpmError::from)
    }

    /// Starts an HMAC session that is salted with `key` and encrypts the parameters of commands.
    pub(super) fn encrypted_session(&mut self, key: KeyHandle) -> Result<AuthSession, TpmError> {
        let session = self.session(Some(key), SessionType::Hmac)?;
        let attributes = SessionAttributesBuilder::new().with_decrypt(true).with_continue_session(true).build();
        self.context.tr_sess_set_attributes(session, attributes.0, attributes.1)?;
        Ok(session)
    }

    /// Starts an HMAC session, which proves that the caller knows the password without sending it.
    pub(super) fn hmac_session(&mut self) -> Result<AuthSession, TpmError> {
        let session = self.session(None, SessionType::Hmac)?;
        let attributes = SessionAttributesBuilder::new().with_continue_session(true).build();
        self.context.tr_sess_set_attributes(session, attributes.0, attributes.1)?;
        Ok(session)
    }

    /// Frees an object or a session in the TPM.
    pub(super) fn flush(&mut self, handle: ObjectHandle) {
        // This fails only if the handle no longer exists.
        let _ = self.context.flush_context(handle);
    }

    /// The error of a locked TPM, with the time until it allows one more attempt.
    pub(super) fn locked(&mut self) -> TpmError {
        let seconds = self.context.get_tpm_property(PropertyTag::LockoutInterval).ok().flatten();
        TpmError::Locked { seconds }
    }

    fn session(&mut self, salt: Option<KeyHandle>, session_type: SessionType) -> Result<AuthSession, TpmError> {
        let session = self.context.execute_without_session(|context| {
            context.start_auth_session(
                salt,
                None,
                None,
                session_type,
                SymmetricDefinition::AES_128_CFB,
                HashingAlgorithm::Sha256,
            )
        });
        session?.ok_or_else(|| TpmError::Other("no session".to_owned()))
    }

    fn primary(&mut self, hierarchy: Hierarchy, public: Public, password: Option<&Secret>) -> Result<Parent, TpmError> {
        let create = |context: &mut Context| context.create_primary(hierarchy, public.clone(), None, None, None, None);
        let made = self.in_hierarchy(hierarchy, password, create)?.map_err(TpmError::from)?;
        Ok(Parent { handle: made.key_handle, policy: None, is_transient: true })
    }

    /// Runs a command that needs a hierarchy's password. The empty password is tried first, because `password` may be
    /// meant for another hierarchy. The TPM does not count wrong passwords of hierarchies, unlike those of keys.
    pub(super) fn in_hierarchy<T>(
        &mut self,
        hierarchy: Hierarchy,
        password: Option<&Secret>,
        work: impl Fn(&mut Context) -> tss_esapi::Result<T>,
    ) -> Result<tss_esapi::Result<T>, TpmError> {
        self.authorize(hierarchy.into(), None)?;
        let mut done = self.context.execute_with_session(Some(AuthSession::Password), &work);
        if password.is_some() && done.as_ref().is_err_and(is_unauthorized) {
            self.authorize(hierarchy.into(), password)?;
            done = self.context.execute_with_session(Some(AuthSession::Password), &work);
        }
        match done {
            Err(error) if is_unauthorized(&error) => Err(TpmError::WrongPassword { of: "parent's hierarchy" }),
            done => Ok(done),
        }
    }

    fn endorsement_policy(&mut self) -> Result<PolicySession, TpmError> {
        let policy = self.policy_session(SessionType::Policy)?;
        self.endorse(policy).map(|()| policy)
    }

    /// Satisfies the policy of an endorsement key: PolicySecret with the endorsement hierarchy.
    fn endorse(&mut self, policy: PolicySession) -> Result<(), TpmError> {
        let none = (Nonce::default(), Digest::default(), Nonce::default());
        let done = self.context.execute_with_session(Some(AuthSession::Password), |context| {
            context.policy_secret(policy, AuthHandle::Endorsement, none.0, none.1, none.2, None)
        });
        done.map(drop).map_err(|error| match is_unauthorized(&error) {
            true => TpmError::WrongPassword { of: "endorsement hierarchy" },
            false => error.into(),
        })
    }
}

/// A password as the TPM's type.
pub(super) fn auth(password: Option<&Secret>) -> Result<Auth, TpmError> {
    let bytes = password.map_or("", Secret::expose).as_bytes();
    Auth::try_from(bytes)
        .map_err(|_| TpmError::InvalidOption(format!("a password of a TPM has at most {} bytes", Auth::MAX_SIZE)))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The template of the default parent of key files, called H2 by their specification.
fn ecc_parent() -> Result<Public, TpmError> {
    let symmetric = SymmetricDefinitionObject::AES_128_CFB;
    let parameters = PublicEccParametersBuilder::new_restricted_decryption_key(symmetric, EccCurve::NistP256)
        .with_ecc_scheme(EccScheme::Null)
        .with_key_derivation_function_scheme(KeyDerivationFunctionScheme::Null)
        .build()?;
    let public = storage(PublicAlgorithm::Ecc)?.with_ecc_parameters(parameters);
    Ok(public.with_ecc_unique_identifier(EccPoint::default()).build()?)
}

/// The RSA variant of the template, which a key file selects with `rsaParent`.
fn rsa_parent() -> Result<Public, TpmError> {
    let symmetric = SymmetricDefinitionObject::AES_128_CFB;
    let (bits, exponent) = (RsaKeyBits::Rsa2048, RsaExponent::default());
    let parameters = PublicRsaParametersBuilder::new_restricted_decryption_key(symmetric, bits, exponent);
    let parameters = parameters.with_scheme(RsaScheme::Null).build()?;
    let public = storage(PublicAlgorithm::Rsa)?.with_rsa_parameters(parameters);
    Ok(public.with_rsa_unique_identifier(PublicKeyRsa::default()).build()?)
}

/// The part of a storage key's template that both algorithms share.
fn storage(algorithm: PublicAlgorithm) -> Result<PublicBuilder, TpmError> {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_restricted(true)
        .with_decrypt(true)
        .build()?;
    Ok(PublicBuilder::new()
        .with_public_algorithm(algorithm)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes))
}
