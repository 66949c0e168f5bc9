//! A loaded key: its connection, handle and sessions, ready to sign.

use super::device::{Device, hex};
use super::error::{TpmError, is_unauthorized, kind};
use super::keyfile::KeyFile;
use super::policy::{Authorization, Branch};
use super::public::RsaPublic;
use super::{ENDORSEMENT_KEYS, TpmKey, TpmOptions};
use crate::JwsAlgorithm;
use crate::queue::DeviceKey;
use aws_lc_rs::digest;
use gce_metadata_support::file::{self, Limit};
use tss_esapi::constants::SessionType;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;
use tss_esapi::constants::tss::{TPM2_RH_NULL, TPM2_ST_HASHCHECK};
use tss_esapi::handles::{KeyHandle, SessionHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{
    Digest, HashScheme, HashcheckTicket, Public, Signature, SignatureScheme, SymmetricDefinitionObject,
};
use tss_esapi::tss2_esys::TPMT_TK_HASHCHECK;

/// A key that is loaded into a TPM, with the sessions that authorise its use.
pub(super) struct LoadedKey {
    pub(super) device: Device,
    handle: KeyHandle,
    pub(super) rsa: RsaPublic,
    pub(super) authorization: Authorization,
    /// Whether the options have a password for the key.
    has_password: bool,
    session: Option<AuthSession>,
    /// A second session that encrypts parameters, because a policy session does not.
    encryption: Option<AuthSession>,
}

impl LoadedKey {
    /// Connects, loads the key, and selects how its use is authorised. It makes no signature, so the key's password is
    /// not tried.
    pub(super) fn open(key: &TpmKey, options: &TpmOptions) -> Result<Self, TpmError> {
        let mut device = Device::open(&options.tpm)?;
        let loaded = Self::load(&mut device, key, options);
        let (handle, public) = loaded.map_err(|error| device.with_lockout_time(error))?;
        let rsa = RsaPublic::of(&public)?;
        let parent_password = options.parent_password.as_ref();
        let authorization = Authorization::of(&mut device, &public, options.pcrs.as_ref(), parent_password)?;
        let has_password = options.key_password.is_some();
        let mut key = Self { device, handle, rsa, authorization, has_password, session: None, encryption: None };
        key.device.authorize(handle.into(), options.key_password.as_ref())?;
        key.start_sessions(options)?;
        Ok(key)
    }

    /// Loads a key file, or looks up a persistent key, and returns its handle and public area.
    pub(super) fn load(
        device: &mut Device,
        key: &TpmKey,
        options: &TpmOptions,
    ) -> Result<(KeyHandle, Public), TpmError> {
        match key {
            TpmKey::Persistent(handle) => {
                let handle: KeyHandle = device.persistent(*handle)?.into();
                let (public, _, _) = device.context.execute_without_session(|context| context.read_public(handle))?;
                Ok((handle, public))
            }
            TpmKey::File(path) => {
                let unusable = |problem: String| TpmError::KeyFile { path: path.clone(), problem };
                let bytes = file::read(path, Limit::PEM).map_err(|error| unusable(error.to_string()))?;
                let file = KeyFile::from_pem(&bytes).map_err(unusable)?;
                let handle = device.load(&file, options)?;
                Ok((handle, file.public))
            }
        }
    }

    /// Starts the sessions, which all signatures share.
    fn start_sessions(&mut self, options: &TpmOptions) -> Result<(), TpmError> {
        let name = options.encrypt_with_name.as_ref();
        let encryption = name.map(|name| self.encrypted_session(name, options)).transpose()?;
        match &self.authorization {
            Authorization::Policy(_) => {
                self.session = Some(self.device.policy_session(SessionType::Policy)?.into());
                self.encryption = encryption;
            }
            Authorization::Password if encryption.is_some() => self.session = encryption,
            // An HMAC session keeps the password from an eavesdropper on the bus.
            Authorization::Password if options.key_password.is_some() => {
                self.session = Some(self.device.hmac_session()?);
            }
            Authorization::Password => self.session = Some(AuthSession::Password),
        }
        Ok(())
    }

    /// Starts a session that is encrypted for the endorsement key with this name.
    fn encrypted_session(&mut self, expected: &[u8], options: &TpmOptions) -> Result<AuthSession, TpmError> {
        let mut found = Vec::new();
        for (_, kind) in ENDORSEMENT_KEYS {
            let (key, name) = self.device.endorsement_key(kind, options.parent_password.as_ref())?;
            let session = (name.value() == expected).then(|| self.device.encrypted_session(key));
            self.device.flush(key.into());
            if let Some(session) = session {
                return session;
            }
            found.push(hex(name.value()));
        }
        Err(TpmError::WrongEndorsementKey { expected: hex(expected), found: found.join(" or ") })
    }

    fn try_sign(&mut self, alg: JwsAlgorithm, message: &[u8]) -> Result<Vec<u8>, TpmError> {
        let hash_scheme = HashScheme::new(HashingAlgorithm::Sha256);
        let scheme = match alg {
            JwsAlgorithm::Rs256 => SignatureScheme::RsaSsa { hash_scheme },
            JwsAlgorithm::Ps256 if self.rsa.any_scheme => SignatureScheme::RsaPss { hash_scheme },
            _ => return Err(TpmError::UnsuitableKey("it signs with PKCS#1 v1.5 only".to_owned())),
        };
        let digest = Digest::try_from(digest::digest(&digest::SHA256, message).as_ref())?;
        // The ticket of a digest that the TPM did not calculate. Only restricted keys need a real one.
        let ticket = TPMT_TK_HASHCHECK { tag: TPM2_ST_HASHCHECK, hierarchy: TPM2_RH_NULL, digest: Default::default() };
        let ticket = HashcheckTicket::try_from(ticket)?;
        if let (Authorization::Policy(policy), Some(session)) = (&self.authorization, self.session) {
            let session = PolicySession::try_from(session)?;
            // Each command that uses the session consumes its policy.
            self.device.context.policy_restart(session)?;
            policy.satisfy(&mut self.device, session)?;
        }
        let (handle, sessions) = (self.handle, (self.session, self.encryption, None));
        let signed = self
            .device
            .context
            .execute_with_sessions(sessions, |context| context.sign(handle, digest, scheme, ticket))
            .map_err(|error| self.sign_error(&error))?;
        match signed {
            Signature::RsaSsa(signature) | Signature::RsaPss(signature) => Ok(signature.signature().value().to_vec()),
            _ => Err(TpmError::Other("a signature of an unexpected type".to_owned())),
        }
    }

    fn sign_error(&mut self, error: &tss_esapi::Error) -> TpmError {
        match (kind(error), &self.authorization) {
            _ if is_unauthorized(error) && !self.has_password => TpmError::MissingPassword,
            _ if is_unauthorized(error) => TpmError::WrongPassword { of: "key" },
            (Some(Kind::PolicyFail | Kind::PcrChanged), Authorization::Policy(policy)) => match &policy.branch {
                Branch::Pcrs(pcrs) | Branch::PcrsAndAuthValue(pcrs) => {
                    self.device.pcr_values(pcrs).map_or_else(|error| error, |pcrs| TpmError::PcrMismatch { pcrs })
                }
                _ => TpmError::PolicyMismatch,
            },
            _ => (*error).into(),
        }
    }
}

impl DeviceKey for LoadedKey {
    type Error = TpmError;

    fn sign(&mut self, alg: JwsAlgorithm, message: &[u8]) -> Result<Vec<u8>, TpmError> {
        let signed = self.try_sign(alg, message);
        signed.map_err(|error| self.device.with_lockout_time(error))
    }
}

/// Flushes the sessions, which would otherwise occupy the TPM's memory until it is restarted. tpm2-tss flushes the key
/// itself.
impl Drop for LoadedKey {
    fn drop(&mut self) {
        for session in [self.session, self.encryption].into_iter().flatten() {
            if session != AuthSession::Password {
                self.device.flush(SessionHandle::from(session).into());
            }
        }
    }
}

impl Device {
    /// Loads the key of a file. An importable key is imported first.
    pub(super) fn load(&mut self, file: &KeyFile, options: &TpmOptions) -> Result<KeyHandle, TpmError> {
        let parent = if options.use_ek_parent { super::TpmParent::Endorsement } else { file.parent };
        let parent = self.parent(parent, options.parent_password.as_ref())?;
        let loaded = self.load_under(&parent, file);
        self.release(parent);
        loaded
    }

    fn load_under(&mut self, parent: &super::device::Parent, file: &KeyFile) -> Result<KeyHandle, TpmError> {
        let private = match &file.secret {
            None => file.private.clone(),
            Some(secret) => {
                let (public, duplicate, secret) = (file.public.clone(), file.private.clone(), secret.clone());
                let imported = self.with_parent(parent, |context, handle| {
                    context.import(handle.into(), None, public, duplicate, secret, SymmetricDefinitionObject::Null)
                })?;
                self.restart_policy(parent)?;
                imported.map_err(|error| parent.load_error(error))?
            }
        };
        let loaded = self.with_parent(parent, |context, handle| context.load(handle, private, file.public.clone()))?;
        loaded.map_err(|error| parent.load_error(error))
    }

    /// Adds to the error of a locked TPM how long it stays locked.
    pub(super) fn with_lockout_time(&mut self, error: TpmError) -> TpmError {
        match error {
            TpmError::Locked { seconds: None } => self.locked(),
            error => error,
        }
    }
}
