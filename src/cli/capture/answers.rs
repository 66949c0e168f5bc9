//! The folder of `--answers`: a file for each body, and `index.json` with the requests, statuses and headers.

use super::probes::Probed;
use super::redact;
use super::walk::{Answer, Captured, Client};
use anyhow::{Context, bail};
use gce_metadata_server::routes::V1;
use http::header::{CONTENT_TYPE, ETAG};
use serde_json::{Value, json};
use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Names of files have at most this many characters of the path.
const MAX_NAME: usize = 100;

/// The mode of the files. A folder that existed before may be readable by others.
const MODE: u32 = 0o600;

/// Creates the folder, readable by its owner only. It may exist if it is empty; its mode is kept then.
pub(super) fn create(folder: &Path) -> anyhow::Result<()> {
    let context = || folder.display().to_string();
    DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(context)?;
    if fs::read_dir(folder).with_context(context)?.next().is_some() {
        bail!("{} is not empty: choose another folder", folder.display());
    }
    Ok(())
}

/// Writes all answers, in the order of their paths.
pub(super) fn write(
    folder: &Path,
    client: &Client,
    captured: &Captured,
    probed: &[Probed],
    redact: bool,
) -> anyhow::Result<()> {
    let walked = captured.answers.iter();
    let walked = walked.map(|(path, answer)| Probed::with_flavor(format!("{V1}/{path}"), answer.clone()));
    let walked: Vec<_> = walked.collect();
    let mut index = Vec::new();
    for (number, Probed { path, headers, answer }) in walked.iter().chain(probed).enumerate() {
        let file = format!("{number:04}{}", file_name(path));
        let body = if redact { redacted(path, answer, captured) } else { answer.body().to_vec() };
        let is_changed = body != **answer.body();
        write_file(&folder.join(&file), &body)?;
        let headers: serde_json::Map<_, _> =
            headers.iter().map(|(name, value)| (name.clone(), Value::from(value.clone()))).collect();
        index.push(json!({
            "path": path,
            "requestHeaders": headers,
            "status": answer.status().as_u16(),
            "headers": response_headers(answer, is_changed),
            "redacted": is_changed,
            "body": file,
        }));
    }
    let index = json!({
        "server": client.target().to_string(),
        "capturedBy": concat!("gce-metadata-server ", env!("CARGO_PKG_VERSION")),
        "answers": index,
    });
    write_file(&folder.join("index.json"), (serde_json::to_string_pretty(&index)? + "\n").as_bytes())
}

/// Creates a file that only its owner can read: answers may contain secrets.
fn write_file(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let file = File::options().write(true).create_new(true).mode(MODE).open(path);
    file.and_then(|mut file| file.write_all(content)).with_context(|| path.display().to_string())
}

/// The headers in their order. The entity tag of a redacted value is a hash of the secret, so its digits are replaced.
fn response_headers(answer: &Answer, is_redacted: bool) -> Vec<[String; 2]> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers = answer.headers().iter().map(|(name, value)| {
        let value = text(value.as_bytes());
        let is_hidden = is_redacted && name == ETAG;
        [name.to_string(), if is_hidden { "0".repeat(value.len()) } else { value }]
    });
    headers.collect()
}

fn redacted(path: &str, answer: &Answer, captured: &Captured) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(answer.body()) else { return Vec::new() };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = path.strip_prefix(V1).unwrap_or(path).trim_matches('/');
    let is_json = answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    let is_flattened = query.contains("recursive=true") && query.contains("alt=text");
    if is_flattened {
        redact::flattened(text, captured.dump.json()).into_bytes()
    } else if is_json && serde_json::from_str::<Value>(text).is_ok() {
        redact::json(text, path).into_bytes()
    } else {
        redact::leaf(text, path).into_bytes()
    }
}

/// The path without the characters that a file name can't have.
fn file_name(path: &str) -> String {
    let path = path.strip_prefix(V1).unwrap_or(path).trim_end_matches('/').chars().take(MAX_NAME);
    path.map(|letter| if letter.is_ascii_alphanumeric() || "._-@".contains(letter) { letter } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_have_no_slashes() {
        assert_eq!(file_name("/computeMetadata/v1/instance/attributes/ssh-keys"), "-instance-attributes-ssh-keys");
        assert_eq!(file_name("/computeMetadata/v1/instance/?alt=json"), "-instance--alt-json");
        assert_eq!(file_name("/"), "");
    }
}
