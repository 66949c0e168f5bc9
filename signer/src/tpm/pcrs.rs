//! Platform configuration registers (PCRs), in the syntax of `--pcrs`.

use super::TpmError;
use std::fmt;
use std::str::FromStr;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::structures::{PcrSelectSize, PcrSelection, PcrSelectionList, PcrSlot};
use tss_esapi::tss2_esys::{TPML_PCR_SELECTION, TPMS_PCR_SELECTION};

/// A selection of platform configuration registers, parsed by `FromStr`: `23`, `0,2,23`, `sha256:23` or
/// `sha1:0,1+sha256:23`. The default bank is `sha256`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pcrs(Vec<(Bank, Vec<u32>)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bank(&'static str, HashingAlgorithm);

const SHA256: Bank = Bank("sha256", HashingAlgorithm::Sha256);
const BANKS: [Bank; 4] = [
    Bank("sha1", HashingAlgorithm::Sha1),
    SHA256,
    Bank("sha384", HashingAlgorithm::Sha384),
    Bank("sha512", HashingAlgorithm::Sha512),
];
/// The number of registers in a bank of a PC's TPM.
const REGISTERS: u32 = 24;

impl FromStr for Pcrs {
    type Err = TpmError;

    fn from_str(text: &str) -> Result<Self, TpmError> {
        let invalid = || {
            TpmError::InvalidOption(format!(
                "`{text}`: registers from 0 to {} are expected, such as 0,2,23 or sha1:0+sha256:23",
                REGISTERS - 1
            ))
        };
        let bank = |part: &str| {
            let (bank, numbers) = part.split_once(':').unwrap_or(("sha256", part));
            let bank = BANKS.into_iter().find(|known| known.0 == bank)?;
            let number = |text: &str| text.trim().parse().ok().filter(|number| *number < REGISTERS);
            let mut numbers = numbers.split(',').map(number).collect::<Option<Vec<u32>>>()?;
            numbers.sort_unstable();
            numbers.dedup();
            Some((bank, numbers))
        };
        text.split('+').map(bank).collect::<Option<_>>().map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for Pcrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bank = |(bank, numbers): &(Bank, Vec<u32>)| {
            format!("{}:{}", bank.0, numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(","))
        };
        f.write_str(&self.0.iter().map(bank).collect::<Vec<_>>().join("+"))
    }
}

impl Pcrs {
    /// The selection in the order of the text. The digest of a policy depends on the order, and the library's builder
    /// does not keep it.
    pub(super) fn selection(&self) -> Result<PcrSelectionList, TpmError> {
        let mut list = TPML_PCR_SELECTION::default();
        for (selection, (bank, numbers)) in list.pcrSelections.iter_mut().zip(&self.0) {
            *selection = select(bank.1, numbers)?;
            list.count += 1;
        }
        Ok(PcrSelectionList::try_from(list)?)
    }

    /// A selection of each single register, with its name.
    pub(super) fn each(&self) -> impl Iterator<Item = (String, Result<PcrSelectionList, TpmError>)> {
        self.0.iter().flat_map(|(bank, numbers)| {
            numbers.iter().map(|number| {
                let one = Self(vec![(*bank, vec![*number])]);
                (one.to_string(), one.selection())
            })
        })
    }
}

fn select(bank: HashingAlgorithm, numbers: &[u32]) -> Result<TPMS_PCR_SELECTION, TpmError> {
    let slots = numbers.iter().map(|number| PcrSlot::try_from(1 << number)).collect::<Result<Vec<_>, _>>()?;
    Ok(PcrSelection::create(bank, PcrSelectSize::ThreeOctets, &slots)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn register_lists_are_parsed_with_their_banks() {
        let shown = |text: &str| text.parse::<Pcrs>().unwrap().to_string();
        assert_eq!(shown("23"), "sha256:23");
        assert_eq!(shown("23, 2,2"), "sha256:2,23");
        assert_eq!(shown("sha384:7+sha1:0"), "sha384:7+sha1:0");
        let list = "sha384:7+sha1:0".parse::<Pcrs>().unwrap().selection().unwrap();
        let banks = list.get_selections().iter().map(PcrSelection::hashing_algorithm).collect::<Vec<_>>();
        assert_eq!(banks, [HashingAlgorithm::Sha384, HashingAlgorithm::Sha1]);
        for text in ["", "24", "-1", "sha3:1", "sha256:", "a"] {
            assert!(text.parse::<Pcrs>().unwrap_err().to_string().contains("0,2,23"), "{text}");
        }
    }
}
