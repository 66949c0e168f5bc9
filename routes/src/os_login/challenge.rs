//! Challenges: the second factors of OS Login, and the verification of answers.

use crate::token::Secret;
use std::fmt;
use totp_rs::{Algorithm, Secret as Base32, TOTP};

/// The parameters of authenticator apps.
const DIGITS: usize = 6;
const STEP_SECONDS: u64 = 30;
/// The accepted clock skew, in steps.
const SKEW: u8 = 1;

/// The challenge types that the guest's PAM module supports.
pub(crate) const KINDS: [&str; 5] =
    ["AUTHZEN", "IDV_PREREGISTERED_PHONE", "INTERNAL_TWO_FACTOR", "SECURITY_KEY_OTP", "TOTP"];

/// A second factor of a user.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    pub(crate) kind: String,
    pub(crate) proof: Proof,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// A code from an authenticator app (RFC 6238). The secret is in base32.
    Totp(Secret),
    /// A fixed code.
    Code(Secret),
    /// A secret or code that is not known: null in the config. No answer is accepted.
    Unknown,
    /// A prompt on a phone, with its configured answer.
    Prompt { approves: bool },
}

impl Challenge {
    /// Whether the credential is valid at `now`, in seconds since 1970.
    pub(crate) fn is_met(&self, credential: Option<&str>, now: u64) -> bool {
        match (&self.proof, credential) {
            (Proof::Totp(secret), Some(credential)) => {
                totp(secret.expose()).is_some_and(|totp| totp.check(credential.trim(), now))
            }
            (Proof::Code(code), Some(credential)) => code.expose() == credential.trim(),
            (Proof::Prompt { approves }, _) => *approves,
            (Proof::Unknown, _) | (_, None) => false,
        }
    }
}

/// The TOTP of a secret in base32; `None` for invalid base32. Secrets shorter than the standard requires are accepted, because many
/// apps issue them.
pub(crate) fn totp(base32: &str) -> Option<TOTP> {
    let plain: String = base32.chars().filter(|it| !matches!(it, ' ' | '-' | '=')).collect();
    let secret = Base32::Encoded(plain.to_uppercase()).to_bytes().ok().filter(|secret| !secret.is_empty())?;
    Some(TOTP::new_unchecked(Algorithm::SHA1, DIGITS, SKEW, STEP_SECONDS, secret))
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenge").field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of RFC 6238, cut to six digits.
    #[test]
    fn totp_codes_match_the_test_vectors_of_rfc_6238() {
        let secret = "gezd gnbv gy3t qojq gezd gnbv gy3t qojq";
        let challenge = Challenge { kind: "TOTP".into(), proof: Proof::Totp(secret.into()) };
        for (now, code) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            assert!(challenge.is_met(Some(code), now), "{now}");
            assert!(challenge.is_met(Some(code), now + 30), "a skew of one step is accepted");
            assert!(!challenge.is_met(Some(code), now + 90), "{now}");
        }
        assert!(!challenge.is_met(None, 59));
        assert!(!format!("{challenge:?}").contains("gezd"));
        assert!(totp("0189!").is_none() && totp("").is_none());
    }

    #[test]
    fn a_prompt_needs_no_code_and_a_code_must_match() {
        let prompt = |approves| Challenge { kind: "AUTHZEN".into(), proof: Proof::Prompt { approves } };
        assert!(prompt(true).is_met(None, 0) && !prompt(false).is_met(None, 0));
        let code = Challenge { kind: "IDV_PREREGISTERED_PHONE".into(), proof: Proof::Code("123456".into()) };
        assert!(code.is_met(Some("123456\n"), 0) && !code.is_met(Some("12345"), 0) && !code.is_met(None, 0));
    }
}
