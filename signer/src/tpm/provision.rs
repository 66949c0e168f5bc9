//! Keys for a TPM: brought into it or made in it, and looked at.

use super::device::{Device, ENDORSEMENT_KEYS, Parent, auth, hex};
use super::error::kind;
use super::key::LoadedKey;
use super::keyfile::{KeyFile, sized};
use super::limit::{MAKING, OPENING, within};
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

/// The length of SHA-256, which names keys here.
const LONGEST_PASSWORD: usize = 32;

/// What a new key is to be like.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Under which key it is kept.
    pub parent: TpmParent,
    /// The password of a persistent parent, or of the hierarchy that the parent is made in.
    pub parent_password: Option<Secret>,
    /// The key's own password.
    pub key_password: Option<Secret>,
    /// The registers that must have the values that they have now.
    pub pcrs: Option<super::Pcrs>,
    /// A handle by which it can be used without its file.
    pub persistent: Option<u32>,
}

impl NewKey {
    /// A TPM has no key with a password that is longer than the digest in the key's name.
    fn auth(&self) -> Result<Auth, TpmError> {
        match self.key_password.as_ref().map_or(0, |password| password.expose().len()) {
            0..=LONGEST_PASSWORD => auth(self.key_password.as_ref()),
            bytes => {
                Err(TpmError::Option(format!("the key's password has {bytes} bytes, and can have {LONGEST_PASSWORD}")))
            }
        }
    }
}

/// A key that was made or imported.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Made {
    /// The key file: PEM that only this TPM can use.
    pub file: String,
    /// What is known of it.
    pub shown: Shown,
}

/// What anyone may know of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shown {
    /// The public key in PEM.
    pub public_key: String,
    /// The SHA-256 of the public key in DER, in hex.
    pub fingerprint: String,
    /// The TPM's name of the key, in hex.
    pub name: String,
    /// The digest of its policy in hex, if it has one.
    pub policy: Option<String>,
    /// Its length.
    pub bits: u16,
    /// Whether it can also sign as TLS 1.3 wants it.
    pub signs_pss: bool,
}

/// A TPM that is to get keys, or to tell of them.
#[derive(Debug)]
pub struct Provisioner {
    address: TpmAddress,
}

impl Provisioner {
    /// For the TPM there. Each of the functions connects anew.
    pub fn new(address: TpmAddress) -> Self {
        Self { address }
    }

    /// Puts an RSA private key, PKCS#8 or PKCS#1 in PEM, into the TPM. It goes there as it is: whoever can listen between
    /// the processor and the chip at that moment can read it. This blocks, for a minute and a half at most.
    ///
    /// # Errors
    /// If it is no RSA key that a TPM can have, or the TPM refuses or does not answer.
    pub fn import(&self, pem: &str, new: &NewKey) -> Result<Made, TpmError> {
        let private = RsaPrivate::from_pem(pem)?;
        let (address, new) = (self.address.clone(), new.clone());
        within(OPENING, &self.address, move || Device::open(&address)?.import(&private, &new))
    }

    /// Has the TPM make an RSA key of 2048 or 3072 bits, which never exists anywhere else. This blocks, for five minutes at
    /// most.
    ///
    /// # Errors
    /// If the TPM refuses or does not answer.
    pub fn generate(&self, bits: u16, new: &NewKey) -> Result<Made, TpmError> {
        let (address, new) = (self.address.clone(), new.clone());
        within(MAKING, &self.address, move || Device::open(&address)?.generate(bits, &new))
    }

    /// The endorsement keys' kinds and names, the latter in hex. This blocks, for a minute and a half at most.
    ///
    /// # Errors
    /// If the TPM makes none of them, or does not answer.
    pub fn endorsement_names(&self, password: Option<&Secret>) -> Result<Vec<(&'static str, String)>, TpmError> {
        let (address, password) = (self.address.clone(), password.cloned());
        within(OPENING, &self.address, move || Device::open(&address)?.endorsement_names(password.as_ref()))
    }

    /// The elliptic-curve endorsement key, for which anyone can seal what this TPM alone can open. This blocks, for a minute
    /// and a half at most.
    ///
    /// # Errors
    /// If the TPM makes none, or does not answer.
    pub fn endorsement_key(&self, password: Option<&Secret>) -> Result<EndorsementKey, TpmError> {
        let (address, password) = (self.address.clone(), password.cloned());
        within(OPENING, &self.address, move || Device::open(&address)?.ecc_endorsement_key(password.as_ref()))
    }
}

impl Device {
    fn import(&mut self, private: &RsaPrivate, new: &NewKey) -> Result<Made, TpmError> {
        let public = template(self, new, private.bits()?, false)?;
        let public = public.with_rsa_unique_identifier(PublicKeyRsa::try_from(private.modulus.clone())?).build()?;
        let sensitive = Sensitive::Rsa {
            auth_value: new.auth()?,
            seed_value: Digest::default(),
            sensitive: PrivateKeyRsa::try_from(private.prime.to_vec())?,
        };
        let duplicate = Zeroizing::new(sized(&Zeroizing::new(sensitive.marshall()?)));
        let duplicate = Private::try_from(duplicate.as_slice())?;
        self.below(new, |device, parent| {
            let (none, symmetric) = (EncryptedSecret::default(), SymmetricDefinitionObject::Null);
            let wrapped = device.with_parent(parent, |context, handle| {
                context.import(handle.into(), None, public.clone(), duplicate, none, symmetric)
            })??;
            Ok((public, wrapped))
        })
    }

    fn generate(&mut self, bits: u16, new: &NewKey) -> Result<Made, TpmError> {
        let public = template(self, new, bits, true)?;
        let public = public.with_rsa_unique_identifier(PublicKeyRsa::default()).build()?;
        let password = new.auth().map(|it| new.key_password.is_some().then_some(it))?;
        self.below(new, |device, parent| {
            let made = device
                .with_parent(parent, |context, handle| context.create(handle, public, password, None, None, None))??;
            Ok((made.out_public, made.out_private))
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
            return Err(TpmError::Other("its endorsement key is not an elliptic-curve one".to_owned()));
        };
        EndorsementKey::from_coordinates(unique.x().value(), unique.y().value())
            .map_err(|error| TpmError::Other(error.to_string()))
    }
}

/// What can be known of a key without using it. This blocks, for a minute and a half at most.
///
/// # Errors
/// If there is no such key, or the TPM does not answer.
pub fn show(key: &TpmKey, options: &TpmOptions) -> Result<Shown, TpmError> {
    let (key, there) = (key.clone(), options.clone());
    within(OPENING, &options.tpm, move || {
        let mut device = Device::open(&there.tpm)?;
        let (handle, public) = LoadedKey::load(&mut device, &key, &there)?;
        shown(&mut device, handle, &public)
    })
}

impl Device {
    /// Makes a key under its parent, and looks at it and keeps it as it was asked for.
    fn below(
        &mut self,
        new: &NewKey,
        make: impl FnOnce(&mut Self, &Parent) -> Result<(Public, Private), TpmError>,
    ) -> Result<Made, TpmError> {
        let parent = self.parent(new.parent, new.parent_password.as_ref())?;
        let loaded = make(self, &parent).and_then(|(public, private)| {
            self.renew(&parent)?;
            let handle =
                self.with_parent(&parent, |context, handle| context.load(handle, private.clone(), public.clone()))??;
            Ok((public, private, handle))
        });
        self.release(parent);
        let (public, private, handle) = loaded.map_err(|error| self.explained(error))?;
        let shown = shown(self, handle, &public)?;
        let file = KeyFile { public, private, secret: None, parent: new.parent }.to_pem()?;
        // Nothing can go wrong after that, so nothing has to be taken away again.
        if let Some(persistent) = new.persistent {
            self.keep(handle, persistent, new.parent_password.as_ref())?;
        }
        Ok(Made { file, shown })
    }

    fn keep(&mut self, key: KeyHandle, handle: u32, password: Option<&Secret>) -> Result<(), TpmError> {
        let wrong = || TpmError::Option(format!("{handle:#x}: 0x81000000 to 0x817fffff is expected"));
        let place = PersistentTpmHandle::new(handle).map_err(|_| wrong())?;
        let kept = self.in_hierarchy(Hierarchy::Owner, password, |context| {
            context.evict_control(Provision::Owner, key.into(), Persistent::Persistent(place))
        })?;
        kept.map(drop).map_err(|error| match kind(&error) {
            Some(Kind::NvDefined) => TpmError::Option(format!(
                "{handle:#x}: there is a key already; `tpm2_evictcontrol -c {handle:#x}` takes it away"
            )),
            Some(Kind::Range) => wrong(),
            _ => error.into(),
        })
    }
}

fn shown(device: &mut Device, handle: KeyHandle, public: &Public) -> Result<Shown, TpmError> {
    let rsa = RsaPublic::of(public)?;
    let spki = rsa.subject_public_key_info();
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    let Public::Rsa { parameters, .. } = public else { return Err(TpmError::NotSigning("not RSA".to_owned())) };
    Ok(Shown {
        fingerprint: hex(&key_info(&spki).spki_sha256),
        public_key: pem::encode_config(&pem::Pem::new("PUBLIC KEY", spki), config),
        name: hex(device.context.tr_get_name(handle.into())?.value()),
        policy: Some(public.auth_policy()).filter(|policy| !policy.is_empty()).map(|policy| hex(policy.value())),
        bits: u16::from(parameters.key_bits()),
        signs_pss: rsa.any_scheme,
    })
}

/// The public half of a new key, as far as it is known before there is one.
fn template(device: &mut Device, new: &NewKey, bits: u16, is_made_here: bool) -> Result<PublicBuilder, TpmError> {
    let policy = match (&new.pcrs, &new.key_password) {
        (None, _) => None,
        (Some(pcrs), None) => Some(Branch::Pcrs(pcrs.clone())),
        (Some(pcrs), Some(_)) => Some(Branch::PcrsAndAuthValue(pcrs.clone())),
    };
    let policy = policy.map(|branch| device.trial(|device, session| branch.go(device, session))).transpose()?;
    let attributes = ObjectAttributesBuilder::new()
        .with_sign_encrypt(true)
        .with_fixed_tpm(is_made_here)
        .with_fixed_parent(is_made_here)
        .with_sensitive_data_origin(is_made_here)
        .with_user_with_auth(policy.is_none())
        // Without a password there is none to guess, and a sudden end of the machine must not count as a guess.
        .with_no_da(new.key_password.is_none())
        .build()?;
    let key_bits = match bits {
        2048 => RsaKeyBits::Rsa2048,
        3072 => RsaKeyBits::Rsa3072,
        _ => return Err(TpmError::Option(format!("{bits} bits: 2048 or 3072 are expected"))),
    };
    // Any padding: PKCS#1 v1.5 for tokens, PSS for TLS 1.3.
    let parameters =
        PublicRsaParametersBuilder::new_unrestricted_signing_key(RsaScheme::Null, key_bits, RsaExponent::ZERO_EXPONENT);
    let parameters = parameters.build()?;
    let possible = PublicParameters::Rsa(parameters);
    device.context.execute_without_session(|context| context.test_parms(possible)).map_err(|error| {
        match kind(&error) {
            Some(Kind::Value) => TpmError::Option(format!("{bits} bits: this TPM has no such RSA keys")),
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
