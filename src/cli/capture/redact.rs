//! Replaces secrets by `x`. Lengths, white space and all other text stay, so that an answer keeps its form.
//!
//! A secret is known by its path (an attribute such as `ssh-keys`), or by its text (a private key in PEM).

use std::ops::Range;

/// Attributes whose values are keys, scripts or user data. A `*` at the end stands for any text.
const ATTRIBUTES: [&str; 12] = [
    "configure-sh",
    "gce-container-declaration",
    "kube-env",
    "kubelet-config",
    "shutdown-script*",
    "ssh-keys",
    "sshKeys",
    "startup-script*",
    "sysprep-specialize-script*",
    "user-data*",
    "windows-*",
    "k8s-node-setup*",
];

/// The certificates of a workload identity with their keys, in paths and in JSON.
const WORKLOAD_KEYS: [&str; 2] = ["workload-identities", "workloadIdentities"];

/// The client certificate of HTTPS, whose parts are encrypted for the VM's TPM.
const SEALED: [&str; 2] = ["mds-client-certificate", "mdsClientCertificate"];

const FILLER: char = 'x';

/// Redacts the text of the leaf at a path below `/computeMetadata/v1/`.
pub(super) fn leaf(text: &str, path: &str) -> String {
    value(text, &path.split('/').collect::<Vec<_>>())
}

/// Redacts the strings of valid JSON that is served at a path, and changes no other byte.
pub(super) fn json(text: &str, path: &str) -> String {
    let above: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let mut redacted = String::with_capacity(text.len());
    let mut copied = 0;
    // The keys of the open objects. An item of a list has the key of the list.
    let mut keys: Vec<&str> = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'{' | b'[' => keys.push(""),
            b'}' | b']' => _ = keys.pop(),
            b'"' => {
                let literal = at..end_of_string(text, at);
                at = literal.end;
                if text[at..].trim_start().starts_with(':') {
                    if let Some(key) = keys.last_mut() {
                        *key = text[literal].trim_matches('"');
                    }
                    continue;
                }
                let path = [above.as_slice(), keys.as_slice()].concat();
                let path: Vec<&str> = path.into_iter().filter(|key| !key.is_empty()).collect();
                redacted.push_str(&text[copied..literal.start]);
                redacted.push_str(&string(&text[literal.clone()], &path));
                copied = literal.end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    redacted + &text[copied..]
}

/// Redacts flattened text, in which a line has a path and a value, by the values that JSON has at the same paths.
pub(super) fn flattened(text: &str, dump: &serde_json::Value) -> String {
    let mut secrets = Vec::new();
    collect(dump, &mut Vec::new(), &mut secrets);
    secrets.iter().fold(text.to_owned(), |text, (secret, filler)| text.replace(secret.as_str(), filler))
}

/// The strings that are redacted, each after the key and the space that precede it in flattened text, with their fillers.
fn collect<'a>(json: &'a serde_json::Value, path: &mut Vec<&'a str>, secrets: &mut Vec<(String, String)>) {
    match json {
        serde_json::Value::Object(object) => object.iter().for_each(|(key, below)| {
            path.push(key);
            collect(below, path, secrets);
            path.pop();
        }),
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, path, secrets)),
        serde_json::Value::String(text) => {
            let redacted = value(text, path);
            if redacted != *text {
                secrets.push((format!(" {text}\n"), format!(" {redacted}\n")));
            }
        }
        _ => {}
    }
}

/// The end of the string literal that begins here.
fn end_of_string(text: &str, start: usize) -> usize {
    let mut is_escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(start + 1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

/// Redacts a string literal. A literal without a secret is returned as it is.
fn string(literal: &str, path: &[&str]) -> String {
    let text: String = serde_json::from_str(literal).unwrap_or_default();
    let redacted = value(&text, path);
    if redacted == text { literal.to_owned() } else { serde_json::Value::String(redacted).to_string() }
}

/// Redacts a value, by the last segments of its path or its JSON keys.
fn value(text: &str, path: &[&str]) -> String {
    let is_attribute = matches!(path, [.., "attributes", name] if is_secret_attribute(name));
    if is_attribute || path.iter().any(|segment| SEALED.contains(segment)) {
        return filler(text);
    }
    let redacted = without_private_keys(text);
    let is_workload = path.last().is_some_and(|name| WORKLOAD_KEYS.contains(name));
    // A key in another form than PEM.
    if is_workload && redacted == text && text.to_ascii_lowercase().contains("private") {
        return filler(text);
    }
    redacted
}

fn is_secret_attribute(name: &str) -> bool {
    ATTRIBUTES.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *pattern,
    })
}

/// As many bytes as the text, with its white space.
fn filler(text: &str) -> String {
    let fill = |letter: char| if letter.is_ascii_whitespace() { vec![letter] } else { vec![FILLER; letter.len_utf8()] };
    text.chars().flat_map(fill).collect()
}

/// Replaces the Base64 of private keys in PEM. The text may be JSON, in which a line break is `\n`.
fn without_private_keys(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut copied = 0;
    while let Some(key) = private_key(text, copied) {
        redacted.push_str(&text[copied..key.start]);
        let mut is_escaped = false;
        for letter in text[key.clone()].chars() {
            let is_base64 = letter.is_ascii_alphanumeric() || matches!(letter, '+' | '/' | '=');
            redacted.push(if is_base64 && !is_escaped { FILLER } else { letter });
            is_escaped = letter == '\\';
        }
        copied = key.end;
    }
    redacted + &text[copied..]
}

/// The text between the lines BEGIN and END of the next private key. A key without an end reaches to the end of the text.
fn private_key(text: &str, from: usize) -> Option<Range<usize>> {
    const LABEL: &str = "PRIVATE KEY-----";
    let begin = from + text[from..].find("-----BEGIN ")?;
    let label = begin + text[begin..].find(LABEL)?;
    let start = label + LABEL.len();
    Some(start..text[start..].find("-----END ").map_or(text.len(), |length| start + length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMIGHAgEA+/=\n-----END PRIVATE KEY-----\n";
    const REDACTED: &str = "-----BEGIN PRIVATE KEY-----\nxxxxxxxxxxx\n-----END PRIVATE KEY-----\n";

    #[test]
    fn secret_attributes_keep_their_length_and_others_their_value() {
        for name in ["ssh-keys", "sshKeys", "startup-script-url", "user-data", "windows-keys", "kube-env"] {
            let text = leaf("ada:ssh-ed25519 AAAA é\n", &format!("instance/attributes/{name}"));
            assert_eq!(text, "xxxxxxxxxxxxxxx xxxx xx\n", "{name}");
        }
        for path in ["project/attributes/color", "instance/service-accounts/ssh-keys/email", "instance/ssh-keys"] {
            assert_eq!(leaf("ada@example.com", path), "ada@example.com", "{path}");
        }
    }

    #[test]
    fn private_keys_are_redacted_wherever_they_are() {
        assert_eq!(leaf(PEM, "instance/attributes/anything"), REDACTED);
        let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        assert_eq!(leaf(&format!("{certificate}{PEM}{PEM}"), "x"), format!("{certificate}{REDACTED}{REDACTED}"));
        assert_eq!(leaf("-----BEGIN RSA PRIVATE KEY-----\nMII", "x"), "-----BEGIN RSA PRIVATE KEY-----\nxxx");
        let document = json!({"privateKeyPem": PEM, "certificatePem": certificate}).to_string();
        let redacted = leaf(&document, "instance/gce-workload-certificates/workload-identities");
        assert_eq!(redacted, json!({"privateKeyPem": REDACTED, "certificatePem": certificate}).to_string());
        let other = leaf(r#"{"privateKey":"AAAA"}"#, "instance/workload-identities");
        assert_eq!(other, "x".repeat(other.len()));
    }

    #[test]
    fn json_is_redacted_by_its_keys_and_its_other_bytes_stay() {
        let text = r#"{ "instance":{"attributes":{"a\"":"\u0041","ssh-keys":"k\n\"é","b":"c"}}, "n":[1,{"attributes":{"user-data":"d"}}] }"#;
        let expected = r#"{ "instance":{"attributes":{"a\"":"\u0041","ssh-keys":"x\nxxx","b":"c"}}, "n":[1,{"attributes":{"user-data":"x"}}] }"#;
        assert_eq!(json(text, ""), expected);
        assert_eq!(json("\"key\"", "instance/attributes/ssh-keys"), "\"xxx\"");
        assert_eq!(json(r#"{"seed":["s"]}"#, "instance/credentials/mds-client-certificate"), r#"{"seed":["x"]}"#);
    }

    #[test]
    fn flattened_text_is_redacted_by_the_values_of_json() {
        let dump = json!({"instance": {"attributes": {"ssh-keys": "a\nb", "color": "a"}}});
        let text = "instance/attributes/color a\ninstance/attributes/ssh-keys a\nb\n";
        let expected = "instance/attributes/color a\ninstance/attributes/ssh-keys x\nx\n";
        assert_eq!(flattened(text, &dump), expected);
    }
}
