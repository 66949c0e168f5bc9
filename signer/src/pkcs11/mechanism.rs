//! The mechanisms of signatures: those that hash in the token, or else those that sign a digest made here.

use crate::JwsAlgorithm;
use aws_lc_rs::digest::{SHA256, SHA384, digest};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use std::borrow::Cow;

/// The DER encoding of a DigestInfo of SHA-256 without its digest (RFC 8017, section 9.2).
const DIGEST_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/// The length of a PSS salt, which JSON Web Signatures and TLS want to be that of the digest.
const SALT_LENGTH: u64 = 32;

/// How a signature is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// PKCS#1 v1.5; the token hashes.
    Sha256RsaPkcs,
    /// PKCS#1 v1.5 of a DigestInfo.
    RsaPkcs,
    /// PSS; the token hashes.
    Sha256RsaPkcsPss,
    /// PSS of a digest.
    RsaPkcsPss,
    /// ECDSA of a digest of SHA-256.
    EcdsaSha256,
    /// ECDSA of a digest of SHA-384.
    EcdsaSha384,
}

impl Scheme {
    /// The scheme for an algorithm, of the mechanisms that `has` allows.
    pub(super) fn choose(alg: JwsAlgorithm, has: impl Fn(MechanismType) -> bool) -> Option<Self> {
        let candidates: &[Self] = match alg {
            JwsAlgorithm::Rs256 => &[Self::Sha256RsaPkcs, Self::RsaPkcs],
            JwsAlgorithm::Ps256 => &[Self::Sha256RsaPkcsPss, Self::RsaPkcsPss],
            JwsAlgorithm::Es256 => &[Self::EcdsaSha256],
            JwsAlgorithm::Es384 => &[Self::EcdsaSha384],
        };
        candidates.iter().copied().find(|scheme| has(scheme.mechanism().mechanism_type()))
    }

    pub(super) fn mechanism(self) -> Mechanism<'static> {
        let pss =
            PkcsPssParams { hash_alg: MechanismType::SHA256, mgf: PkcsMgfType::MGF1_SHA256, s_len: SALT_LENGTH.into() };
        match self {
            Self::Sha256RsaPkcs => Mechanism::Sha256RsaPkcs,
            Self::RsaPkcs => Mechanism::RsaPkcs,
            Self::Sha256RsaPkcsPss => Mechanism::Sha256RsaPkcsPss(pss),
            Self::RsaPkcsPss => Mechanism::RsaPkcsPss(pss),
            Self::EcdsaSha256 | Self::EcdsaSha384 => Mechanism::Ecdsa,
        }
    }

    /// What the token gets of a message.
    pub(super) fn input(self, message: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Sha256RsaPkcs | Self::Sha256RsaPkcsPss => message.into(),
            Self::RsaPkcs => [&DIGEST_INFO, digest(&SHA256, message).as_ref()].concat().into(),
            Self::RsaPkcsPss | Self::EcdsaSha256 => digest(&SHA256, message).as_ref().to_vec().into(),
            Self::EcdsaSha384 => digest(&SHA384, message).as_ref().to_vec().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_does_not_hash_gets_a_digest() {
        let all = |_| true;
        assert_eq!(Scheme::choose(JwsAlgorithm::Rs256, all), Some(Scheme::Sha256RsaPkcs));
        assert_eq!(Scheme::Sha256RsaPkcs.input(b"message"), &b"message"[..]);
        let no_hash = |mechanism| [MechanismType::RSA_PKCS, MechanismType::RSA_PKCS_PSS].contains(&mechanism);
        assert_eq!(Scheme::choose(JwsAlgorithm::Rs256, no_hash), Some(Scheme::RsaPkcs));
        assert_eq!(Scheme::choose(JwsAlgorithm::Ps256, no_hash), Some(Scheme::RsaPkcsPss));
        assert_eq!(Scheme::choose(JwsAlgorithm::Es256, no_hash), None);
        assert_eq!(Scheme::RsaPkcs.input(b"message").len(), 51);
    }
}
