//! Parsers of option values.

use super::target::Target;
use anyhow::Context;
use gce_metadata_server::layers::AllowedHosts;
use gce_metadata_server::routes::token::Secret;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

/// A port number, with or without a colon before it: the Go emulator's command lines say `:8080`.
pub(super) fn port(port: &str) -> Result<u16, String> {
    let digits = port.strip_prefix(':').unwrap_or(port);
    digits.parse().map_err(|_| "a port is a number from 0 to 65535, such as 8080 or :8080".to_owned())
}

/// A path that does not collide with the other pages of the metrics listener.
pub(super) fn metrics_path(path: &str) -> Result<String, String> {
    match path {
        "/healthz" | "/readyz" => {
            Err("the metrics listener answers this path itself; choose another one, such as /metrics".to_owned())
        }
        _ if path.starts_with('/') => Ok(path.to_owned()),
        _ => Err("a path starts with a slash, such as /metrics".to_owned()),
    }
}

/// A URL with the scheme `http` or `https`.
pub(super) fn url(url: &str) -> Result<String, String> {
    match url.starts_with("https://") || url.starts_with("http://") {
        true => Ok(url.to_owned()),
        false => Err("a URL starts with https:// (or http://)".to_owned()),
    }
}

/// The URL of a server: `http://HOST:PORT`.
pub(super) fn http_url(url: &str) -> Result<Target, String> {
    Target::from_url(url).ok_or_else(|| "the URL of a server is http://HOST:PORT, without a path".to_owned())
}

/// A pattern for [`AllowedHosts`].
pub(super) fn host(name: &str) -> Result<String, String> {
    AllowedHosts::new().allow(name).map(|_| name.to_owned()).map_err(|error| error.to_string())
}

/// A Unix file mode: three octal digits, optionally after `0` or `0o`.
pub(super) fn file_mode(mode: &str) -> Result<u32, String> {
    let digits = mode.trim_start_matches("0o");
    let parsed = u32::from_str_radix(digits, 8).ok().filter(|mode| digits.len() >= 3 && *mode <= 0o777);
    parsed.ok_or_else(|| "a file mode is three octal digits, such as 660".to_owned())
}

/// An integer of this type.
pub(super) fn number<N: FromStr>(number: &str) -> Result<N, String> {
    number.parse().map_err(|_| "a number is expected".to_owned())
}

/// An integer of at least 1.
pub(super) fn positive(text: &str) -> Result<usize, String> {
    Some(number(text)?).filter(|number| *number > 0).ok_or_else(|| "at least 1 is expected".to_owned())
}

/// A duration: a number of seconds, or numbers with the units `d`, `h`, `m`, `s` and `ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    gce_metadata_support::duration::parse(text).ok_or_else(|| gce_metadata_support::duration::EXPECTED.to_owned())
}

/// A [`duration`] of whole seconds, as tokens have.
pub(super) fn whole_seconds(text: &str) -> Result<Duration, String> {
    let is_whole = |duration: &Duration| duration.subsec_nanos() == 0;
    Some(duration(text)?).filter(is_whole).ok_or_else(|| "whole seconds are expected".to_owned())
}

/// The lifetime of an offline token: [`whole_seconds`] from a second to twelve hours, the limits of Google's tokens.
pub(super) fn token_lifetime(text: &str) -> Result<Duration, String> {
    const MAX: Duration = Duration::from_secs(12 * 3600);
    let is_allowed = |lifetime: &Duration| (Duration::from_secs(1)..=MAX).contains(lifetime);
    Some(whole_seconds(text)?).filter(is_allowed).ok_or_else(|| "1 to 43200 seconds are allowed".to_owned())
}

/// A number of days that a certificate is valid.
pub(super) fn days(text: &str) -> Result<u16, String> {
    let days = text.parse().ok().filter(|days| (1..=3650).contains(days));
    days.ok_or_else(|| "a number of days from 1 to 3650 is expected".to_owned())
}

/// Resolves the address that an option names. An empty name is the unspecified address: all interfaces.
pub(super) fn address(option: &str, name: &str, port: u16) -> anyhow::Result<SocketAddr> {
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if name.is_empty() {
        return Ok((Ipv4Addr::UNSPECIFIED, port).into());
    }
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok((ip, port).into());
    }
    // DNS lookups block; the server is started on a thread that may block.
    let mut found = (name, port)
        .to_socket_addrs()
        .with_context(|| format!("{option} {name}: neither an IP address nor a host name that resolves"))?;
    found.next().with_context(|| format!("{option} {name}: the host name has no address"))
}

/// A secret. Its `Debug` output is redacted.
pub(super) fn secret(text: &str) -> Result<Secret, String> {
    Ok(text.into())
}

/// A persistent TPM handle, in hexadecimal with `0x` or in decimal.
pub(super) fn tpm_handle(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    let known = parsed.ok().filter(|handle| (0x8100_0000..=0x81ff_ffff).contains(handle));
    known.ok_or_else(|| "a persistent handle is a number from 0x81000000 to 0x81ffffff".to_owned())
}

/// A persistent TPM handle, or 0, the default value of the Go emulator's option.
pub(super) fn tpm_handle_or_zero(text: &str) -> Result<u32, String> {
    if text == "0" { Ok(0) } else { tpm_handle(text) }
}

/// Bytes, written in hexadecimal.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "tpm"), allow(dead_code))]
pub(super) struct Hex(pub(super) Vec<u8>);

/// Parses pairs of hexadecimal digits, optionally after `0x`.
pub(super) fn hex(text: &str) -> Result<Hex, String> {
    let text = text.trim_start_matches("0x");
    let digits = text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    let digits = digits.collect::<Option<Vec<u8>>>().filter(|digits| !digits.is_empty() && digits.len() % 2 == 0);
    let bytes = digits.map(|digits| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect());
    bytes.map(Hex).ok_or_else(|| "pairs of hexadecimal digits are expected".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_of_seconds_or_has_units() {
        for (text, milliseconds) in [("10", 10_000), ("5m", 300_000), ("1m30s", 90_000), ("250ms", 250)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "ten", "-1", "1.5", "10 s", "1w", "\u{e9}", "18446744073709551615h"] {
            assert!(duration(text).unwrap_err().starts_with("a number of seconds is expected"), "{text}");
        }
    }

    #[test]
    fn a_token_lifetime_has_limits() {
        assert_eq!(token_lifetime("12h"), Ok(Duration::from_secs(43200)));
        assert_eq!(token_lifetime("1500ms").unwrap_err(), "whole seconds are expected");
        for text in ["0", "0m", "43201", "13h"] {
            assert_eq!(token_lifetime(text).unwrap_err(), "1 to 43200 seconds are allowed", "{text}");
        }
    }
}
