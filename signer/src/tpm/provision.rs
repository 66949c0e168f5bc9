//! Provisioning: importing keys into a TPM, generating keys in it, and describing them.

use super::device::{Device, ENDORSEMENT_KEYS, Parent, auth, hex};
use super::error::kind;
use super::key::LoadedKey;
use super::keyfile::{KeyFile, sized};
use super::limit::{GENERATE_TIMEOUT, OPEN_TIMEOUT, with_timeout};
use super::policy::Branch;
use super::public::RsaPublic;
use super::rsa_private::RsaPrivate;
use super::{TpmAddress, TpmError, TpmKey, TpmOptions, TpmParent};
use crate::EndorsementKey;
use crate::key_info;
use gce_metadata_support::Secret;
use rcgen::PublicKeyData;
use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;
use tss_esapi::handles::{KeyHandle, PersistentTpmHandle};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::dynamic_handles::Persistent;
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::interface_types::resource_handles::{Hierarchy, Provision};
use tss_esapi::structures::{
    Auth, Digest, EncryptedSecret, Private, PrivateKeyRsa, Public, PublicBuilder, PublicKeyRsa, PublicParameters,
    PublicRsaParametersBuilder, RsaExponent, RsaScheme, Sensitive, SymmetricDefinitionObject,
};
use tss_esapi::traits::Marshall;
use zeroize::Zeroizing;

/// The length of a SHA-256 digest. A TPM limits the password of a key to the length of the digest in the key's name.
const MAX_PASSWORD: usize = 32;

/// The properties of a new key.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The parent of the key.
    pub parent: TpmParent,
    /// The password of a persistent parent, or of the hierarchy of a primary parent.
    pub parent_password: Option<Secret>,
    /// The key's own password (its authValue), of at most 32 bytes.
    pub key_password: Option<Secret>,
    /// Binds the use of the key to the current values of these registers.
    pub pcrs: Option<super::Pcrs>,
    /// Also stores the key at this persistent handle, 0x81000000 to 0x817fffff.
    pub persistent: Option<u32>,
}

impl NewKey {
    fn auth(&self) -> Result<Auth, TpmError> {
        match self.key_password.as_ref().map_or(0, |password| password.expose().len()) {
            0..=MAX_PASSWORD => auth(self.key_password.as_ref()),
            bytes => Err(TpmError::InvalidOption(format!(
                "the key's password has {bytes} bytes; at most {MAX_PASSWORD} are possible"
            ))),
        }
    }
}

/// A generated or imported key.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProvisionedKey {
    /// The content of its key file: PEM that only this TPM can load.
    pub file: String,
    /// Public facts about the key.
    pub description: KeyDescription,
}

/// Public facts about a key in a TPM.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyDescription {
    /// The public key in PEM.
    pub public_key: String,
    /// The SHA-256 of the public key's SubjectPublicKeyInfo in DER, in hex.
    pub fingerprint: String,
    /// The same hash as bytes.
    pub spki_sha256: [u8; 32],
    /// The TPM name of the key, in hex.
    pub name: String,
    /// The digest of the key's policy in hex; `None` without a policy.
    pub policy: Option<String>,
    /// The length of the key in bits.
    pub bits: u16,
    /// Whether the key can make PSS signatures, which TLS 1.3 requires.
    pub signs_pss: bool,
}

/// Provisions a TPM with keys, and reads its endorsement keys. Each call makes a new connection to the TPM.
#[derive(Debug)]
pub struct Provisioner {
    address: TpmAddress,
}

impl Provisioner {
    /// A provisioner of the TPM at `address`. It does not connect yet.
    pub fn new(address: TpmAddress) -> Self {
        Self { address }
    }

    /// Imports an RSA private key from PEM (PKCS#8 or PKCS#1). This blocks for up to 90 seconds.
    ///
    /// The key is sent to the TPM unencrypted: an eavesdropper on the bus between processor and chip could read it.
    ///
    /// # Errors
    /// If the PEM contains no RSA key that a TPM supports, or the TPM refuses the key or does not answer.
    pub fn import(&self, pem: &str, new: &NewKey) -> Result<ProvisionedKey, TpmError> {
        let private = RsaPrivate::from_pem(pem)?;
        let (address, new) = (self.address.clone(), new.clone());
        with_timeout(OPEN_TIMEOUT, &self.address, move || Device::open(&address)?.import(&private, &new))
    }

    /// Generates an RSA key of 2048 or 3072 bits inside the TPM, which never reveals it. This blocks for up to five
    /// minutes.
    ///
    /// # Errors
    /// If the TPM refuses or does not answer.
    pub fn generate(&self, bits: u16, new: &NewKey) -> Result<ProvisionedKey, TpmError> {
        let (address, new) = (self.address.clone(), new.clone());
        with_timeout(GENERATE_TIMEOUT, &self.address, move || Device::open(&address)?.generate(bits, &new))
    }

    /// Returns the type (`rsa` or `ecc`) and the TPM name, in hex, of each endorsement key. `password` is that of the
    /// endorsement hierarchy. This blocks for up to 90 seconds.
    ///
    /// # Errors
    /// If the TPM can't create one of them, or does not answer.
    pub fn endorsement_names(&self, password: Option<&Secret>) -> Result<Vec<(&'static str, String)>, TpmError> {
        let (address, password) = (self.address.clone(), password.cloned());
        with_timeout(OPEN_TIMEOUT, &self.address, move || Device::open(&address)?.endorsement_names(password.as_ref()))
    }

    /// Returns the elliptic-curve endorsement key, to which secrets for this TPM are sealed. `password` is that of the
    /// endorsement hierarchy. This blocks for up to 90 seconds.
    ///
    /// # Errors
    /// If the TPM can't create the key, or does not answer.
    pub fn endorsement_key(&self, password: Option<&Secret>) -> Result<EndorsementKey, TpmError> {
        let (address, password) = (self.address.clone(), password.cloned());
        with_timeout(OPEN_TIMEOUT, &self.address, move || {
            Device::open(&address)?.ecc_endorsement_key(password.as_ref())
        })
    }
}

impl Device {
    fn import(&mut self, private: &RsaPrivate, new: &NewKey) -> Result<ProvisionedKey, TpmError> {
        let public = template(self, new, private.bits()?, false)?;
        let public = public.with_rsa_unique_identifier(PublicKeyRsa::try_from(private.modulus.clone())?).build()?;
        let sensitive = Sensitive::Rsa {
            auth_value: new.auth()?,
            seed_value: Digest::default(),
            sensitive: PrivateKeyRsa::try_from(private.prime.to_vec())?,
        };
        let duplicate = Zeroizing::new(sized(&Zeroizing::new(sensitive.marshall()?)));
        let duplicate = Private::try_from(duplicate.as_slice())?;
        self.provision(new, |device, parent| {
            let (none, symmetric) = (EncryptedSecret::default(), SymmetricDefinitionObject::Null);
            let wrapped = device.with_parent(parent, |context, handle| {
                context.import(handle.into(), None, public.clone(), duplicate, none, symmetric)
            })??;
            Ok((public, wrapped))
        })
    }

    fn generate(&mut self, bits: u16, new: &NewKey) -> Result<ProvisionedKey, TpmError> {
        let public = template(self, new, bits, true)?;
        let public = public.with_rsa_unique_identifier(PublicKeyRsa::default()).build()?;
        let password = new.auth().map(|it| new.key_password.is_some().then_some(it))?;
        self.provision(new, |device, parent| {
            let created = device
                .with_parent(parent, |context, handle| context.create(handle, public, password, None, None, None))??;
            Ok((created.out_public, created.out_private))
        })
    }

    fn endorsement_names(&mut self, password: Option<&Secret>) -> Result<Vec<(&'static str, String)>, TpmError> {
        let mut names = Vec::new();
        for (kind, template) in ENDORSEMENT_KEYS {
            let (key, name) = self.endorsement_key(template, password)?;
            self.flush(key.into());
            names.push((kind, hex(name.value())));
        }
        Ok(names)
    }

    fn ecc_endorsement_key(&mut self, password: Option<&Secret>) -> Result<EndorsementKey, TpmError> {
        let (_, ecc) = ENDORSEMENT_KEYS[1];
        let (key, _) = self.endorsement_key(ecc, password)?;
        let public = self.context.execute_without_session(|context| context.read_public(key));
        self.flush(key.into());
        let (Public::Ecc { unique, .. }, ..) = public? else {
            return Err(TpmError::Other("its endorsement key is not an elliptic-curve key".to_owned()));
        };
        EndorsementKey::from_coordinates(unique.x().value(), unique.y().value())
            .map_err(|error| TpmError::Other(error.to_string()))
    }
}

/// Describes a key without using it. This blocks for up to 90 seconds.
///
/// # Errors
/// If there is no such key, or the TPM does not answer.
pub fn describe(key: &TpmKey, options: &TpmOptions) -> Result<KeyDescription, TpmError> {
    let (key, opened_with) = (key.clone(), options.clone());
    with_timeout(OPEN_TIMEOUT, &options.tpm, move || {
        let mut device = Device::open(&opened_with.tpm)?;
        let (handle, public) = LoadedKey::load(&mut device, &key, &opened_with)?;
        description(&mut device, handle, &public)
    })
}

impl Device {
    /// Creates a key under its parent, describes it, and stores it at its persistent handle, if it has one.
    fn provision(
        &mut self,
        new: &NewKey,
        create: impl FnOnce(&mut Self, &Parent) -> Result<(Public, Private), TpmError>,
    ) -> Result<ProvisionedKey, TpmError> {
        let parent = self.parent(new.parent, new.parent_password.as_ref())?;
        let loaded = create(self, &parent).and_then(|(public, private)| {
            self.restart_policy(&parent)?;
            let handle =
                self.with_parent(&parent, |context, handle| context.load(handle, private.clone(), public.clone()))??;
            Ok((public, private, handle))
        });
        self.release(parent);
        let (public, private, handle) = loaded.map_err(|error| self.with_lockout_time(error))?;
        let description = description(self, handle, &public)?;
        let file = KeyFile { public, private, secret: None, parent: new.parent }.to_pem()?;
        // The last fallible step: no later error can leave a persistent key behind.
        if let Some(persistent) = new.persistent {
            self.make_persistent(handle, persistent, new.parent_password.as_ref())?;
        }
        Ok(ProvisionedKey { file, description })
    }

    fn make_persistent(&mut self, key: KeyHandle, handle: u32, password: Option<&Secret>) -> Result<(), TpmError> {
        let out_of_range = || TpmError::InvalidOption(format!("{handle:#x}: 0x81000000 to 0x817fffff is expected"));
        let persistent = PersistentTpmHandle::new(handle).map_err(|_| out_of_range())?;
        let stored = self.in_hierarchy(Hierarchy::Owner, password, |context| {
            context.evict_control(Provision::Owner, key.into(), Persistent::Persistent(persistent))
        })?;
        stored.map(drop).map_err(|error| match kind(&error) {
            Some(Kind::NvDefined) => TpmError::InvalidOption(format!(
                "{handle:#x}: the handle is in use; `tpm2_evictcontrol -c {handle:#x}` removes its key"
            )),
            Some(Kind::Range) => out_of_range(),
            _ => error.into(),
        })
    }
}

fn description(device: &mut Device, handle: KeyHandle, public: &Public) -> Result<KeyDescription, TpmError> {
    let rsa = RsaPublic::of(public)?;
    let Public::Rsa { parameters, .. } = public else { return Err(TpmError::UnsuitableKey("not RSA".to_owned())) };
    let spki_sha256 = key_info(&rsa.key.subject_public_key_info()).spki_sha256;
    Ok(KeyDescription {
        fingerprint: hex(&spki_sha256),
        spki_sha256,
        public_key: rsa.key.pem(),
        name: hex(device.context.tr_get_name(handle.into())?.value()),
        policy: Some(public.auth_policy()).filter(|policy| !policy.is_empty()).map(|policy| hex(policy.value())),
        bits: u16::from(parameters.key_bits()),
        signs_pss: rsa.any_scheme,
    })
}

/// The template of a new key: its public area without the modulus. `is_generated` tells a key generated in the TPM from
/// an imported one.
fn template(device: &mut Device, new: &NewKey, bits: u16, is_generated: bool) -> Result<PublicBuilder, TpmError> {
    let policy = match (&new.pcrs, &new.key_password) {
        (None, _) => None,
        (Some(pcrs), None) => Some(Branch::Pcrs(pcrs.clone())),
        (Some(pcrs), Some(_)) => Some(Branch::PcrsAndAuthValue(pcrs.clone())),
    };
    let policy = policy.map(|branch| device.trial(|device, session| branch.satisfy(device, session))).transpose()?;
    let attributes = ObjectAttributesBuilder::new()
        .with_sign_encrypt(true)
        .with_fixed_tpm(is_generated)
        .with_fixed_parent(is_generated)
        .with_sensitive_data_origin(is_generated)
        .with_user_with_auth(policy.is_none())
        // A key without a password needs no dictionary attack protection, whose lockout unorderly shutdowns could
        // trigger.
        .with_no_da(new.key_password.is_none())
        .build()?;
    let key_bits = match bits {
        2048 => RsaKeyBits::Rsa2048,
        3072 => RsaKeyBits::Rsa3072,
        _ => return Err(TpmError::InvalidOption(format!("{bits} bits: 2048 or 3072 are expected"))),
    };
    // Without a fixed scheme, for PKCS#1 v1.5 (tokens) and PSS (TLS 1.3).
    let parameters =
        PublicRsaParametersBuilder::new_unrestricted_signing_key(RsaScheme::Null, key_bits, RsaExponent::ZERO_EXPONENT);
    let parameters = parameters.build()?;
    let possible = PublicParameters::Rsa(parameters);
    device.context.execute_without_session(|context| context.test_parms(possible)).map_err(|error| {
        match kind(&error) {
            Some(Kind::Value) => {
                TpmError::InvalidOption(format!("{bits} bits: this TPM does not support RSA keys of this length"))
            }
            _ => error.into(),
        }
    })?;
    Ok(PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Rsa)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_auth_policy(policy.unwrap_or_default())
        .with_rsa_parameters(parameters))
}
