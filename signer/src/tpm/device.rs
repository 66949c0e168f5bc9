//! A connection to a TPM, and the keys that every TPM can make anew at any time: the parents of all others.

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

/// The endorsement keys that have a template of their own.
pub(super) const ENDORSEMENT_KEYS: [(&str, AsymmetricAlgorithmSelection); 2] = [
    ("rsa", AsymmetricAlgorithmSelection::Rsa(RsaKeyBits::Rsa2048)),
    ("ecc", AsymmetricAlgorithmSelection::Ecc(EccCurve::NistP256)),
];

pub(super) struct Device {
    pub(super) context: Context,
    /// Dropped after the context that uses it.
    _bridge: Option<Bridge>,
}

/// A parent while it is needed. A TPM without a resource manager has room for three keys.
pub(super) struct Parent {
    pub(super) handle: KeyHandle,
    /// What its use must be authorised by, if that is more than a password.
    policy: Option<PolicySession>,
    is_transient: bool,
}

impl Parent {
    /// Why it does not take a key that is said to be its own.
    pub(super) fn refused(&self, error: tss_esapi::Error) -> TpmError {
        let remedy = if self.policy.is_some() { "another parent than the endorsement key" } else { "--use-ek-parent" };
        match kind(&error) {
            Some(Tss2ResponseCodeKind::Integrity | Tss2ResponseCodeKind::Value) => TpmError::OtherParent { remedy },
            _ => error.into(),
        }
    }
}

impl Device {
    pub(super) fn open(address: &TpmAddress) -> Result<Self, TpmError> {
        let (context, bridge) = address.connect()?;
        Ok(Self { context, _bridge: bridge })
    }

    /// The parent's key, made anew from the TPM's own seed, or what is at a persistent handle.
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

    /// Uses a parent for one thing.
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

    /// Once for each use of a parent with a policy.
    pub(super) fn renew(&mut self, parent: &Parent) -> Result<(), TpmError> {
        let Some(policy) = parent.policy else { return Ok(()) };
        self.context.policy_restart(policy)?;
        self.endorse(policy)
    }

    pub(super) fn release(&mut self, parent: Parent) {
        if let Some(policy) = parent.policy {
            self.flush(SessionHandle::from(AuthSession::from(policy)).into());
        }
        if parent.is_transient {
            self.flush(parent.handle.into());
        }
    }

    /// An endorsement key, and its name.
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

    /// A key at a persistent handle.
    pub(super) fn persistent(&mut self, handle: u32) -> Result<ObjectHandle, TpmError> {
        let tpm_handle = PersistentTpmHandle::new(handle).map_err(|_| {
            TpmError::Option(format!("{handle:#x}: a persistent handle, 0x81000000 to 0x81ffffff, is expected"))
        })?;
        let found = self.context.execute_without_session(|it| it.tr_from_tpm_public(TpmHandle::Persistent(tpm_handle)));
        found.map_err(|error| match kind(&error) {
            Some(Tss2ResponseCodeKind::Handle) => TpmError::NoKey { handle },
            _ => error.into(),
        })
    }

    /// The password with which an object is to be used from here on.
    pub(super) fn authorize(&mut self, object: ObjectHandle, password: Option<&Secret>) -> Result<(), TpmError> {
        Ok(self.context.tr_set_auth(object, auth(password)?)?)
    }

    /// A session of a policy. A trial session only calculates the policy's digest.
    pub(super) fn policy(&mut self, session_type: SessionType) -> Result<PolicySession, TpmError> {
        let session = self.session(None, session_type)?;
        PolicySession::try_from(session).map_err(TpmError::from)
    }

    /// A session in which whatever is asked is encrypted for this key alone.
    pub(super) fn encrypted(&mut self, key: KeyHandle) -> Result<AuthSession, TpmError> {
        let session = self.session(Some(key), SessionType::Hmac)?;
        let attributes = SessionAttributesBuilder::new().with_decrypt(true).with_continue_session(true).build();
        self.context.tr_sess_set_attributes(session, attributes.0, attributes.1)?;
        Ok(session)
    }

    /// A session that proves that a password is known without telling it.
    pub(super) fn proving(&mut self) -> Result<AuthSession, TpmError> {
        let session = self.session(None, SessionType::Hmac)?;
        let attributes = SessionAttributesBuilder::new().with_continue_session(true).build();
        self.context.tr_sess_set_attributes(session, attributes.0, attributes.1)?;
        Ok(session)
    }

    pub(super) fn flush(&mut self, handle: ObjectHandle) {
        // What can't be flushed is gone already.
        let _ = self.context.flush_context(handle);
    }

    /// How long a locked TPM stays so, before it allows one more attempt.
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

    /// Does what a hierarchy's own password allows. The password may be another hierarchy's, so none is tried first: a
    /// hierarchy's password, unlike a key's, may be guessed as often as one likes.
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
        let policy = self.policy(SessionType::Policy)?;
        self.endorse(policy).map(|()| policy)
    }

    /// Whoever may use the endorsement hierarchy may use its key.
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

pub(super) fn auth(password: Option<&Secret>) -> Result<Auth, TpmError> {
    let bytes = password.map_or("", Secret::expose).as_bytes();
    Auth::try_from(bytes)
        .map_err(|_| TpmError::Option(format!("a password of a TPM has {} bytes at most", Auth::MAX_SIZE)))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The parent of key files: the template that their specification calls H2.
fn ecc_parent() -> Result<Public, TpmError> {
    let symmetric = SymmetricDefinitionObject::AES_128_CFB;
    let parameters = PublicEccParametersBuilder::new_restricted_decryption_key(symmetric, EccCurve::NistP256)
        .with_ecc_scheme(EccScheme::Null)
        .with_key_derivation_function_scheme(KeyDerivationFunctionScheme::Null)
        .build()?;
    let public = storage(PublicAlgorithm::Ecc)?.with_ecc_parameters(parameters);
    Ok(public.with_ecc_unique_identifier(EccPoint::default()).build()?)
}

/// The same with RSA, for files that say so.
fn rsa_parent() -> Result<Public, TpmError> {
    let symmetric = SymmetricDefinitionObject::AES_128_CFB;
    let (bits, exponent) = (RsaKeyBits::Rsa2048, RsaExponent::default());
    let parameters = PublicRsaParametersBuilder::new_restricted_decryption_key(symmetric, bits, exponent);
    let parameters = parameters.with_scheme(RsaScheme::Null).build()?;
    let public = storage(PublicAlgorithm::Rsa)?.with_rsa_parameters(parameters);
    Ok(public.with_rsa_unique_identifier(PublicKeyRsa::default()).build()?)
}

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
