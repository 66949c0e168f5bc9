//! What the values of options may be.

use anyhow::Context;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::net::lookup_host;

/// The Go emulator's default is `:8080`, and that is how its command lines spell it.
pub(super) fn port(port: &str) -> Result<u16, String> {
    let digits = port.strip_prefix(':').unwrap_or(port);
    digits.parse().map_err(|_| "a port is a number from 0 to 65535, such as 8080 or :8080".to_owned())
}

pub(super) fn url_path(path: &str) -> Result<String, String> {
    if path.starts_with('/') {
        Ok(path.to_owned())
    } else {
        Err("a path starts with a slash, as /metrics does".to_owned())
    }
}

pub(super) fn url(url: &str) -> Result<String, String> {
    match url.starts_with("https://") || url.starts_with("http://") {
        true => Ok(url.to_owned()),
        false => Err("a URL begins with https:// (or http://)".to_owned()),
    }
}

pub(super) fn file_mode(mode: &str) -> Result<u32, String> {
    let parsed = u32::from_str_radix(mode.trim_start_matches("0o"), 8).ok().filter(|mode| *mode <= 0o777);
    parsed.ok_or_else(|| "a file mode is three octal digits, such as 660".to_owned())
}

pub(super) fn positive(number: &str) -> Result<usize, String> {
    number.parse().ok().filter(|number| *number > 0).ok_or_else(|| "a number from 1 on is needed".to_owned())
}

/// The address that an option names; none is all of them.
pub(super) async fn address(option: &str, name: &str, port: u16) -> anyhow::Result<SocketAddr> {
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if name.is_empty() {
        return Ok((Ipv4Addr::UNSPECIFIED, port).into());
    }
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok((ip, port).into());
    }
    let mut found = lookup_host((name, port))
        .await
        .with_context(|| format!("{option} {name}: neither an IP address nor a name that has one"))?;
    found.next().with_context(|| format!("{option} {name}: the name has no address"))
}
