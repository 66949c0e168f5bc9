//! The second factor: what a person is asked for, and whether the answer is right.

use crate::token::Secret;
use std::fmt;
use totp_rs::{Algorithm, Secret as Base32, TOTP};

/// What authenticator apps use.
const DIGITS: usize = 6;
const STEP_SECONDS: u64 = 30;
/// Steps that a clock may be off.
const SKEW: u8 = 1;

/// The kinds that the guest's PAM module knows.
pub(crate) const KINDS: [&str; 5] =
    ["AUTHZEN", "IDV_PREREGISTERED_PHONE", "INTERNAL_TWO_FACTOR", "SECURITY_KEY_OTP", "TOTP"];

/// One way to prove who one is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    pub(crate) kind: String,
    pub(crate) proof: Proof,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// A code from an authenticator app (RFC 6238), by its secret in base32.
    Totp(Secret),
    /// This code.
    Code(Secret),
    /// A prompt on a phone, which is answered so.
    Prompt { approves: bool },
}

impl Challenge {
    /// Whether the credential is the right one, `now` seconds after 1970.
    pub(crate) fn is_met(&self, credential: Option<&str>, now: u64) -> bool {
        match (&self.proof, credential) {
            (Proof::Totp(secret), Some(credential)) => {
                totp(secret.expose()).is_some_and(|totp| totp.check(credential.trim(), now))
            }
            (Proof::Code(code), Some(credential)) => code.expose() == credential.trim(),
            (Proof::Prompt { approves }, _) => *approves,
            (_, None) => false,
        }
    }
}

/// Without the length that the standard asks for: what a secret was made with is not ours to say.
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

    /// The secret of RFC 6238's own examples, whose codes are these, cut to six digits.
    #[test]
    fn codes_are_those_of_the_standard() {
        let secret = "gezd gnbv gy3t qojq gezd gnbv gy3t qojq";
        let challenge = Challenge { kind: "TOTP".into(), proof: Proof::Totp(secret.into()) };
        for (now, code) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            assert!(challenge.is_met(Some(code), now), "{now}");
            assert!(challenge.is_met(Some(code), now + 30), "a clock may be a step off");
            assert!(!challenge.is_met(Some(code), now + 90), "{now}");
        }
        assert!(!challenge.is_met(None, 59));
        assert!(!format!("{challenge:?}").contains("gezd"));
        assert!(totp("0189!").is_none() && totp("").is_none());
    }

    #[test]
    fn a_prompt_needs_no_code() {
        let prompt = |approves| Challenge { kind: "AUTHZEN".into(), proof: Proof::Prompt { approves } };
        assert!(prompt(true).is_met(None, 0) && !prompt(false).is_met(None, 0));
        let code = Challenge { kind: "IDV_PREREGISTERED_PHONE".into(), proof: Proof::Code("123456".into()) };
        assert!(code.is_met(Some("123456\n"), 0) && !code.is_met(Some("12345"), 0) && !code.is_met(None, 0));
    }
}
