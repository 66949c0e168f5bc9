//! The encodings of ECDSA signatures: JSON Web Signatures have r and s side by side, X.509 and TLS have them in DER.

use super::Signature;
use der::asn1::UintRef;
use der::{Encode, Sequence};

#[derive(Sequence)]
struct Parts<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// The bytes are not an ECDSA signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an ECDSA signature of two numbers of equal length")]
pub struct InvalidSignature;

/// Converts a signature by ES256 or ES384 into DER, as TLS has it.
///
/// # Errors
/// If the signature has an odd number of bytes, or none.
pub fn ecdsa_signature_to_der(signature: &Signature) -> Result<Vec<u8>, InvalidSignature> {
    let bytes = &signature.0[..];
    let (r, s) = bytes.split_at(bytes.len() / 2);
    if r.is_empty() || r.len() != s.len() {
        return Err(InvalidSignature);
    }
    let encode = || Parts { r: UintRef::new(r)?, s: UintRef::new(s)? }.to_der();
    encode().map_err(|_| InvalidSignature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_leading_zeros_in_der_and_are_positive() {
        let signature = Signature([0, 1, 0x80, 2].as_slice().to_vec().into());
        assert_eq!(ecdsa_signature_to_der(&signature).unwrap(), [0x30, 8, 2, 1, 1, 2, 3, 0, 0x80, 2]);
        for bytes in [&[][..], &[1, 2, 3]] {
            assert_eq!(ecdsa_signature_to_der(&Signature(bytes.to_vec().into())), Err(InvalidSignature));
        }
    }
}
