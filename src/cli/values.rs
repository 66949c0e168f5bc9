//! Parsers of option values.

use anyhow::Context;
use gce_metadata_server::layers::AllowedHosts;
use gce_metadata_server::routes::token::Secret;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

/// The Go emulator's default is `:8080`, and that is how its command lines spell it.
pub(super) fn port(port: &str) -> Result<u16, String> {
    let digits = port.strip_prefix(':').unwrap_or(port);
    digits.parse().map_err(|_| "a port is a number from 0 to 65535, such as 8080 or :8080".to_owned())
}

pub(super) fn metrics_path(path: &str) -> Result<String, String> {
    match path {
        "/healthz" | "/readyz" => Err("another answer stands there; choose another path, such as /metrics".to_owned()),
        _ if path.starts_with('/') => Ok(path.to_owned()),
        _ => Err("a path starts with a slash, as /metrics does".to_owned()),
    }
}

pub(super) fn url(url: &str) -> Result<String, String> {
    match url.starts_with("https://") || url.starts_with("http://") {
        true => Ok(url.to_owned()),
        false => Err("a URL begins with https:// (or http://)".to_owned()),
    }
}

pub(super) fn host(name: &str) -> Result<String, String> {
    AllowedHosts::new().allow(name).map(|_| name.to_owned()).map_err(|error| error.to_string())
}

pub(super) fn file_mode(mode: &str) -> Result<u32, String> {
    let digits = mode.trim_start_matches("0o");
    let parsed = u32::from_str_radix(digits, 8).ok().filter(|mode| digits.len() >= 3 && *mode <= 0o777);
    parsed.ok_or_else(|| "a file mode is three octal digits, such as 660".to_owned())
}

pub(super) fn positive(number: &str) -> Result<usize, String> {
    number.parse().ok().filter(|number| *number > 0).ok_or_else(|| "a number from 1 on is needed".to_owned())
}

/// The address that an option names; an empty name is all addresses.
pub(super) fn address(option: &str, name: &str, port: u16) -> anyhow::Result<SocketAddr> {
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if name.is_empty() {
        return Ok((Ipv4Addr::UNSPECIFIED, port).into());
    }
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok((ip, port).into());
    }
    // Resolving blocks; a start has a thread of its own for that.
    let mut found = (name, port)
        .to_socket_addrs()
        .with_context(|| format!("{option} {name}: neither an IP address nor a name that has one"))?;
    found.next().with_context(|| format!("{option} {name}: the name has no address"))
}

/// A secret, which nothing prints.
pub(super) fn secret(text: &str) -> Result<Secret, String> {
    Ok(text.into())
}

pub(super) fn tpm_handle(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    let known = parsed.ok().filter(|handle| (0x8100_0000..=0x81ff_ffff).contains(handle));
    known.ok_or_else(|| "a persistent handle is a number from 0x81000000 to 0x81ffffff".to_owned())
}

/// Bytes that were given in hex.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "tpm"), allow(dead_code))]
pub(super) struct Hex(pub(super) Vec<u8>);

pub(super) fn hex(text: &str) -> Result<Hex, String> {
    let text = text.trim_start_matches("0x");
    let digits = text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    let digits = digits.collect::<Option<Vec<u8>>>().filter(|digits| !digits.is_empty() && digits.len() % 2 == 0);
    let bytes = digits.map(|digits| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect());
    bytes.map(Hex).ok_or_else(|| "pairs of hexadecimal digits are expected".to_owned())
}
