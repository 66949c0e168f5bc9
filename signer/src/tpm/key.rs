//! A key that is ready to sign.

use super::device::{Device, hex};
use super::error::{TpmError, is_unauthorized, kind};
use super::keyfile::KeyFile;
use super::policy::{Authorization, Branch};
use super::public::RsaPublic;
use super::{ENDORSEMENT_KEYS, TpmKey, TpmOptions};
use crate::JwsAlgorithm;
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

/// A key, the TPM that it is in, and what its use takes.
pub(super) struct LoadedKey {
    pub(super) device: Device,
    handle: KeyHandle,
    pub(super) rsa: RsaPublic,
    pub(super) authorization: Authorization,
    /// Whether the options have a password for the key.
    has_password: bool,
    session: Option<AuthSession>,
    /// Beside it, where what is asked must be encrypted and `session` can't do it.
    encryption: Option<AuthSession>,
}

impl LoadedKey {
    /// Connects, loads the key, and finds out how to use it. Nothing is signed, so no password is tried.
    pub(super) fn open(key: &TpmKey, options: &TpmOptions) -> Result<Self, TpmError> {
        let mut device = Device::open(&options.tpm)?;
        let opened = Self::load(&mut device, key, options);
        let (handle, public) = opened.map_err(|error| device.explained(error))?;
        let rsa = RsaPublic::of(&public)?;
        let parent_password = options.parent_password.as_ref();
        let authorization = Authorization::of(&mut device, &public, options.pcrs.as_ref(), parent_password)?;
        let has_password = options.key_password.is_some();
        let mut key = Self { device, handle, rsa, authorization, has_password, session: None, encryption: None };
        key.device.authorize(handle.into(), options.key_password.as_ref())?;
        key.start_sessions(options)?;
        Ok(key)
    }

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
                let wrong = |problem: String| TpmError::File { path: path.clone(), problem };
                let bytes = file::read(path, Limit::PEM).map_err(|error| wrong(error.to_string()))?;
                let file = KeyFile::from_pem(&bytes).map_err(wrong)?;
                let handle = device.load(&file, options)?;
                Ok((handle, file.public))
            }
        }
    }

    /// Sessions that serve for all signatures.
    fn start_sessions(&mut self, options: &TpmOptions) -> Result<(), TpmError> {
        let encryption = options.encrypt_with_name.as_ref().map(|name| self.encrypted(name, options)).transpose()?;
        match &self.authorization {
            Authorization::Policy(_) => {
                self.session = Some(self.device.policy(SessionType::Policy)?.into());
                self.encryption = encryption;
            }
            Authorization::Password if encryption.is_some() => self.session = encryption,
            // What is said in such a session does not tell the password to whoever listens.
            Authorization::Password if options.key_password.is_some() => self.session = Some(self.device.proving()?),
            Authorization::Password => self.session = Some(AuthSession::Password),
        }
        Ok(())
    }

    /// A session that only the TPM with an endorsement key of this name can read.
    fn encrypted(&mut self, expected: &[u8], options: &TpmOptions) -> Result<AuthSession, TpmError> {
        let mut found = Vec::new();
        for (_, kind) in ENDORSEMENT_KEYS {
            let (key, name) = self.device.endorsement_key(kind, options.parent_password.as_ref())?;
            let session = (name.value() == expected).then(|| self.device.encrypted(key));
            self.device.flush(key.into());
            if let Some(session) = session {
                return session;
            }
            found.push(hex(name.value()));
        }
        Err(TpmError::OtherName { expected: hex(expected), found: found.join(" or ") })
    }

    /// Signs. After an error the key is best opened anew, for sessions may have come out of step.
    pub(super) fn sign(&mut self, alg: JwsAlgorithm, message: &[u8]) -> Result<Vec<u8>, TpmError> {
        let signed = self.try_sign(alg, message);
        signed.map_err(|error| self.device.explained(error))
    }

    fn try_sign(&mut self, alg: JwsAlgorithm, message: &[u8]) -> Result<Vec<u8>, TpmError> {
        let hash_scheme = HashScheme::new(HashingAlgorithm::Sha256);
        let scheme = match alg {
            JwsAlgorithm::Rs256 => SignatureScheme::RsaSsa { hash_scheme },
            JwsAlgorithm::Ps256 if self.rsa.any_scheme => SignatureScheme::RsaPss { hash_scheme },
            JwsAlgorithm::Ps256 => return Err(TpmError::NotSigning("it signs with PKCS#1 v1.5 alone".to_owned())),
        };
        let digest = Digest::try_from(digest::digest(&digest::SHA256, message).as_ref())?;
        // Says that the digest was not made by the TPM.
        let ticket = TPMT_TK_HASHCHECK { tag: TPM2_ST_HASHCHECK, hierarchy: TPM2_RH_NULL, digest: Default::default() };
        let ticket = HashcheckTicket::try_from(ticket)?;
        if let (Authorization::Policy(policy), Some(session)) = (&self.authorization, self.session) {
            let session = PolicySession::try_from(session)?;
            // A session's policy is spent with each use.
            self.device.context.policy_restart(session)?;
            policy.go(&mut self.device, session)?;
        }
        let (handle, sessions) = (self.handle, (self.session, self.encryption, None));
        let signed = self
            .device
            .context
            .execute_with_sessions(sessions, |context| context.sign(handle, digest, scheme, ticket))
            .map_err(|error| self.refused(&error))?;
        match signed {
            Signature::RsaSsa(signature) | Signature::RsaPss(signature) => Ok(signature.signature().value().to_vec()),
            _ => Err(TpmError::Other("a signature of another kind".to_owned())),
        }
    }

    fn refused(&mut self, error: &tss_esapi::Error) -> TpmError {
        match (kind(error), &self.authorization) {
            _ if is_unauthorized(error) && !self.has_password => TpmError::MissingPassword,
            _ if is_unauthorized(error) => TpmError::WrongPassword { of: "key" },
            (Some(Kind::PolicyFail | Kind::PcrChanged), Authorization::Policy(policy)) => match &policy.branch {
                Branch::Pcrs(pcrs) | Branch::PcrsAndAuthValue(pcrs) => {
                    self.device.values(pcrs).map_or_else(|error| error, |pcrs| TpmError::Pcrs { pcrs })
                }
                _ => TpmError::Policy,
            },
            _ => (*error).into(),
        }
    }
}

/// Lets go of everything, as if it had never been there. A key that is left behind would take one of the TPM's few places
/// until that is restarted; the library lets go of that itself.
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
    /// Loads what a file holds; what is still wrapped is imported first.
    pub(super) fn load(&mut self, file: &KeyFile, options: &TpmOptions) -> Result<KeyHandle, TpmError> {
        let place = if options.use_ek_parent { super::TpmParent::Endorsement } else { file.parent };
        let parent = self.parent(place, options.parent_password.as_ref())?;
        let loaded = self.load_below(&parent, file);
        self.release(parent);
        loaded
    }

    fn load_below(&mut self, parent: &super::device::Parent, file: &KeyFile) -> Result<KeyHandle, TpmError> {
        let private = match &file.secret {
            None => file.private.clone(),
            Some(secret) => {
                let (public, duplicate, secret) = (file.public.clone(), file.private.clone(), secret.clone());
                let imported = self.with_parent(parent, |context, handle| {
                    context.import(handle.into(), None, public, duplicate, secret, SymmetricDefinitionObject::Null)
                })?;
                self.renew(parent)?;
                imported.map_err(|error| parent.refused(error))?
            }
        };
        let loaded = self.with_parent(parent, |context, handle| context.load(handle, private, file.public.clone()))?;
        loaded.map_err(|error| parent.refused(error))
    }

    /// An error with what the TPM has to say about it.
    pub(super) fn explained(&mut self, error: TpmError) -> TpmError {
        match error {
            TpmError::Locked { seconds: None } => self.locked(),
            error => error,
        }
    }
}
