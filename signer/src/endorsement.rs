//! Seals a secret to the endorsement key of one TPM, so that only this TPM can unseal it.
//!
//! Sealing needs the public endorsement key, but no TPM. The result is an object duplicated to the endorsement key with
//! an outer wrapper (TPM 2.0 Library, part 1, "Protected Storage"), which `tpm2_import` and Google's guest agent
//! import.

use aws_lc_rs::agreement::{ECDH_P256, EphemeralPrivateKey, ParsedPublicKey, UnparsedPublicKey, agree_ephemeral};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::kdf::{
    KbkdfCtrHmacAlgorithmId, SskdfDigestAlgorithmId, get_kbkdf_ctr_hmac_algorithm, get_sskdf_digest_algorithm,
    kbkdf_ctr_hmac, sskdf_digest,
};
use aws_lc_rs::rand::{SystemRandom, fill};
use aws_lc_rs::{digest, hmac};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use std::fmt;
use x509_parser::prelude::*;
use x509_parser::public_key::PublicKey;
use zeroize::Zeroizing;

/// A TPM's public endorsement key: the elliptic-curve key (P-256) of the default template, which every TPM can
/// recreate.
#[derive(Clone, PartialEq, Eq)]
pub struct EndorsementKey {
    /// The uncompressed point: 4, x, y.
    point: [u8; POINT],
}

const COORDINATE: usize = 32;
const POINT: usize = 1 + 2 * COORDINATE;

/// The error of reading an endorsement key. Its text names the command that exports the right key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; `tpm2_createek -c ek.ctx -G ecc -u ek.pem -f pem` exports the elliptic-curve endorsement key")]
pub struct EndorsementKeyError {
    problem: &'static str,
}

impl EndorsementKey {
    /// Reads the key from PEM: a public key or its certificate.
    ///
    /// # Errors
    /// If the PEM contains neither, or the key is not an elliptic-curve key on P-256.
    pub fn from_pem(pem: &[u8]) -> Result<Self, EndorsementKeyError> {
        let wrong = |problem| EndorsementKeyError { problem };
        let certified = || {
            let der = CertificateDer::from_pem_slice(pem).ok()?;
            let (_, certificate) = X509Certificate::from_der(&der).ok()?;
            Some(certificate.public_key().raw.to_vec())
        };
        let bare = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok().map(|spki| spki.to_vec());
        let spki = bare.or_else(certified).ok_or(wrong("no PUBLIC KEY or CERTIFICATE in PEM"))?;
        let (_, spki) = SubjectPublicKeyInfo::from_der(&spki).map_err(|_| wrong("not a public key"))?;
        match spki.parsed() {
            Ok(PublicKey::EC(point)) => Self::from_point(point.data()),
            Ok(PublicKey::RSA(_)) => Err(wrong("an RSA key, but agents use the TPM's elliptic-curve endorsement key")),
            _ => Err(wrong("not an elliptic-curve key")),
        }
    }

    /// The key with these coordinates, from which a TPM strips leading zeros.
    #[cfg(feature = "tpm")]
    pub(crate) fn from_coordinates(x: &[u8], y: &[u8]) -> Result<Self, EndorsementKeyError> {
        let mut point = vec![4];
        for coordinate in [x, y] {
            point.extend(std::iter::repeat_n(0, COORDINATE.saturating_sub(coordinate.len())));
            point.extend(coordinate);
        }
        Self::from_point(&point)
    }

    fn from_point(point: &[u8]) -> Result<Self, EndorsementKeyError> {
        let wrong = EndorsementKeyError { problem: "not a key of the curve P-256" };
        let key = Self { point: point.try_into().map_err(|_| wrong.clone())? };
        ParsedPublicKey::try_from(key.unparsed()).map_err(|_| wrong)?;
        Ok(key)
    }

    fn unparsed(&self) -> UnparsedPublicKey<&[u8]> {
        UnparsedPublicKey::new(&ECDH_P256, &self.point)
    }

    fn x(&self) -> &[u8] {
        &self.point[1..=COORDINATE]
    }
}

impl fmt::Debug for EndorsementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndorsementKey").finish_non_exhaustive()
    }
}

/// A sealed secret: the three parts that a TPM imports.
#[derive(Debug)]
#[non_exhaustive]
pub struct ImportBlob {
    /// The content of `TPM2B_PRIVATE`: the secret, encrypted and authenticated.
    pub duplicate: Vec<u8>,
    /// The content of `TPM2B_ENCRYPTED_SECRET`: the ephemeral public key from which the TPM derives the keys.
    pub encrypted_seed: Vec<u8>,
    /// The `TPMT_PUBLIC` of the sealed object.
    pub public_area: Vec<u8>,
}

/// The error of sealing: a cryptographic operation or the system's random number generator failed.
#[derive(Debug, thiserror::Error)]
#[error("sealing to the TPM's endorsement key failed: {0}")]
pub struct SealError(Unspecified);

// Without `#[from]`, which would set `source()`: an error chain would print the cause twice.
impl From<Unspecified> for SealError {
    fn from(error: Unspecified) -> Self {
        Self(error)
    }
}

// The names are those of the TPM specification.
const TPM_ALG_KEYEDHASH: u16 = 0x0008;
const TPM_ALG_SHA256: u16 = 0x000b;
const TPM_ALG_NULL: u16 = 0x0010;
const USER_WITH_AUTH: u32 = 0x0000_0040;

impl EndorsementKey {
    /// Seals a secret. A TPM can unseal at most 128 bytes; the length is not checked here.
    ///
    /// # Errors
    /// If the system's random number generator or a cryptographic operation fails.
    pub fn seal(&self, secret: &[u8]) -> Result<ImportBlob, SealError> {
        let mut obfuscation = Zeroizing::new([0; 32]);
        fill(&mut *obfuscation)?;
        let public_area = public_area(&*obfuscation, secret);
        let name = [&TPM_ALG_SHA256.to_be_bytes(), sha256(&[&public_area]).as_ref()].concat();
        let (seed, encrypted_seed) = self.shared_seed()?;
        let mut sensitive = sensitive(&*obfuscation, secret);
        encrypt(&*derived::<16>(&*seed, "STORAGE", &name)?, &mut sensitive)?;
        let mut mac =
            hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &*derived::<32>(&*seed, "INTEGRITY", &[])?));
        mac.update(&sensitive);
        mac.update(&name);
        let duplicate = [&sized(mac.sign().as_ref())[..], &sensitive].concat();
        Ok(ImportBlob { duplicate, encrypted_seed, public_area })
    }

    /// Agrees on a seed by ECDH. Returns it with the ephemeral public key, from which the TPM derives the same seed.
    fn shared_seed(&self) -> Result<(Zeroizing<[u8; 32]>, Vec<u8>), Unspecified> {
        let ours = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new())?;
        let public = ours.compute_public_key()?;
        let (x, y) = public.as_ref()[1..].split_at(COORDINATE);
        let seed = agree_ephemeral(ours, self.unparsed(), Unspecified, |shared| {
            // KDFe of the TPM specification.
            let info = [b"DUPLICATE\0", x, self.x()].concat();
            let mut seed = Zeroizing::new([0; 32]);
            let algorithm = get_sskdf_digest_algorithm(SskdfDigestAlgorithmId::Sha256).ok_or(Unspecified)?;
            sskdf_digest(algorithm, shared, &info, &mut *seed)?;
            Ok(seed)
        })?;
        Ok((seed, [sized(x), sized(y)].concat()))
    }
}

/// Derives a key by KDFa of the TPM specification.
fn derived<const N: usize>(seed: &[u8], label: &str, context: &[u8]) -> Result<Zeroizing<[u8; N]>, Unspecified> {
    let bits = u32::try_from(8 * N).map_err(|_| Unspecified)?;
    let info = [label.as_bytes(), &[0], context, &bits.to_be_bytes()].concat();
    let mut key = Zeroizing::new([0; N]);
    let algorithm = get_kbkdf_ctr_hmac_algorithm(KbkdfCtrHmacAlgorithmId::Sha256).ok_or(Unspecified)?;
    kbkdf_ctr_hmac(algorithm, seed, &info, &mut *key)?;
    Ok(key)
}

/// Encrypts with AES-128-CFB. The initialization vector is 0, because each key encrypts one message.
fn encrypt(key: &[u8], in_out: &mut [u8]) -> Result<(), Unspecified> {
    let key = EncryptingKey::cfb128(UnboundCipherKey::new(&AES_128, key)?)?;
    key.less_safe_encrypt(in_out, EncryptionContext::Iv128(FixedLength::from([0; 16]))).map(drop)
}

/// The public area of a sealed object without a password. A hash binds it to its secret.
fn public_area(obfuscation: &[u8], secret: &[u8]) -> Vec<u8> {
    let unique = sha256(&[obfuscation, secret]);
    [
        &TPM_ALG_KEYEDHASH.to_be_bytes()[..],
        &TPM_ALG_SHA256.to_be_bytes(),
        &USER_WITH_AUTH.to_be_bytes(),
        &sized(&[]),
        &TPM_ALG_NULL.to_be_bytes(),
        &sized(unique.as_ref()),
    ]
    .concat()
}

/// The `TPM2B_SENSITIVE` of the object: an empty password, the obfuscation value, the secret.
fn sensitive(obfuscation: &[u8], secret: &[u8]) -> Zeroizing<Vec<u8>> {
    let parts = [&sized(&[])[..], &sized(obfuscation), &Zeroizing::new(sized(secret))].concat();
    let whole = Zeroizing::new([&TPM_ALG_KEYEDHASH.to_be_bytes()[..], &Zeroizing::new(parts)].concat());
    Zeroizing::new(sized(&whole))
}

/// Prefixes bytes with their length. No value here is longer than a few hundred bytes.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let count = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&count.to_be_bytes(), bytes].concat()
}

fn sha256(parts: &[&[u8]]) -> digest::Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PublicKeyData};

    #[test]
    fn a_certificate_and_its_public_key_are_read_as_equal_keys() {
        let key = KeyPair::generate().unwrap();
        let of_key = EndorsementKey::from_pem(key.public_key_pem().as_bytes()).unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap().pem();
        assert_eq!(EndorsementKey::from_pem(certificate.as_bytes()).unwrap(), of_key);
        assert_eq!(of_key.point[..], *key.der_bytes());
    }

    #[test]
    fn other_keys_are_errors_that_name_the_type() {
        let error = |pem: &str| EndorsementKey::from_pem(pem.as_bytes()).unwrap_err().to_string();
        assert!(error("nothing").starts_with("no PUBLIC KEY or CERTIFICATE in PEM; `tpm2_createek"));
        let other = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        assert!(error(&other.public_key_pem()).starts_with("not a key of the curve P-256;"));
        let rsa = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        assert!(error(&rsa.public_key_pem()).starts_with("an RSA key, but"));
        let off_curve = EndorsementKey::from_point(&[4; POINT]).unwrap_err().to_string();
        assert!(off_curve.starts_with("not a key of the curve P-256;"), "{off_curve}");
    }

    /// Checks the format only. An integration test unseals a secret with a software TPM.
    #[test]
    fn sealing_makes_a_new_object_in_the_format_of_tpm2_import() {
        let key = EndorsementKey::from_pem(KeyPair::generate().unwrap().public_key_pem().as_bytes()).unwrap();
        let (one, other) = (key.seal(&[7; 32]).unwrap(), key.seal(&[7; 32]).unwrap());
        assert_eq!(one.public_area[..14], [0, 8, 0, 0xb, 0, 0, 0, 0x40, 0, 0, 0, 0x10, 0, 32]);
        assert_eq!(one.public_area.len(), 14 + 32);
        assert_eq!((one.encrypted_seed.len(), &one.encrypted_seed[..2]), (68, &[0, 32][..]));
        assert_eq!((one.duplicate.len(), &one.duplicate[..2]), (2 + 32 + 2 + 2 + 2 + 34 + 34, &[0, 32][..]));
        assert!(one.duplicate != other.duplicate && one.public_area != other.public_area);
    }
}
