//! The made-up SSH keys of samples and tests: Google's guest agent creates no user for a key that it can't parse.

use crate::support::repository;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use gce_metadata_server::Metadata;

/// The fields of a public key in SSH's wire format; `None` if a field is longer than the rest.
fn fields(mut blob: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Vec::new();
    while !blob.is_empty() {
        let (length, rest) = blob.split_first_chunk::<4>()?;
        let (field, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        fields.push(field);
        blob = rest;
    }
    Some(fields)
}

#[test]
fn sample_ssh_keys_are_valid_public_keys() {
    let sample = Metadata::sample().tree().text("project/attributes/ssh-keys").unwrap();
    let files =
        ["config.json", "tests/conformance/vm.json", "tests/clients/guest/vm.json", "tests/conformance/oslogin.toml"];
    let texts = files.map(|file| std::fs::read_to_string(repository(file)).unwrap());
    let mut count = 0;
    for text in texts.iter().chain([&sample]) {
        let words: Vec<_> = text.split([' ', '"', ':', '\\', '\n']).collect();
        for pair in words.windows(2).filter(|pair| pair[0].contains("ssh-ed25519") && pair[1].starts_with("AAAA")) {
            let [kind, key] = [pair[0], pair[1]];
            let blob = BASE64_STANDARD.decode(key).unwrap_or_else(|error| panic!("{key}: {error}"));
            let fields = fields(&blob).unwrap_or_else(|| panic!("{key}: a field is too long"));
            assert_eq!((fields[0], fields[1].len()), (kind.as_bytes(), 32), "{key}");
            count += 1;
        }
    }
    assert!(count >= 9, "{count} keys are too few: has the form of the files changed?");
}
