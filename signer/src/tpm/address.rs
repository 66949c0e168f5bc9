//! The address of a TPM: parsing it and connecting to it.

use super::TpmError;
use super::bridge::Bridge;
use std::fmt;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tss_esapi::Context;
use tss_esapi::tcti_ldr::TctiNameConf;

/// The address of a TPM, parsed by `FromStr`: a device, the TCP port (`HOST:PORT`) or Unix socket of a swtpm, or a TCTI
/// configuration of tpm2-tss (`device:`, `swtpm:`, `mssim:`, `tabrmd:`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmAddress(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Device(PathBuf),
    /// Raw TPM commands over a Unix socket.
    Unix(PathBuf),
    Tcti(TctiNameConf, String),
}

impl Default for TpmAddress {
    /// The kernel's resource manager, `/dev/tpmrm0`.
    fn default() -> Self {
        Self(Kind::Device("/dev/tpmrm0".into()))
    }
}

impl FromStr for TpmAddress {
    type Err = TpmError;

    fn from_str(text: &str) -> Result<Self, TpmError> {
        let unknown = |_| {
            TpmError::InvalidOption(format!(
                "`{text}`: a device, HOST:PORT or a Unix socket of a swtpm, or one of device:, swtpm:, mssim:, tabrmd: is expected"
            ))
        };
        let tcti = |conf: String| TctiNameConf::from_str(&conf).map_err(unknown).map(|it| Self(Kind::Tcti(it, conf)));
        if let Some(path) = text.strip_prefix("device:").filter(|path| !path.is_empty()) {
            return Ok(Self(Kind::Device(path.into())));
        }
        if let Some(path) = text.strip_prefix("swtpm:path=").or_else(|| text.strip_prefix("unix:")) {
            return Ok(Self(Kind::Unix(path.into())));
        }
        match text.split_once(':') {
            _ if text.starts_with("/dev/") => Ok(Self(Kind::Device(text.into()))),
            _ if text.starts_with(['/', '.']) => Ok(Self(Kind::Unix(text.into()))),
            Some(("device" | "swtpm" | "mssim" | "tabrmd", _)) => tcti(text.to_owned()),
            None if text.contains('/') => Ok(Self(Kind::Unix(text.into()))),
            None if Path::new(text).exists() => Ok(Self(Kind::Unix(text.into()))),
            None if text == "tabrmd" => tcti(text.to_owned()),
            _ => match text.rsplit_once(':') {
                Some((host, port)) if port.parse::<u16>().is_ok() && !host.is_empty() => {
                    tcti(format!("swtpm:host={},port={port}", host.trim_matches(['[', ']'])))
                }
                _ => Err(unknown(tss_esapi::Error::WrapperError(tss_esapi::WrapperErrorKind::InvalidParam))),
            },
        }
    }
}

impl fmt::Display for TpmAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Device(path) | Kind::Unix(path) => path.display().fmt(f),
            Kind::Tcti(_, text) => text.fmt(f),
        }
    }
}

impl TpmAddress {
    /// The likely causes of a failed connection, because tpm2-tss does not report the cause.
    fn likely_causes(&self) -> String {
        let (cause, library) = match &self.0 {
            Kind::Device(_) => ("the device is not a TPM, or another program has opened it", "device"),
            Kind::Unix(_) => ("the process at the socket is not a TPM", "swtpm"),
            Kind::Tcti(TctiNameConf::Mssim(_), _) => {
                ("nothing listens on this port, or on the next one, which is the simulator's control port", "mssim")
            }
            Kind::Tcti(TctiNameConf::Tabrmd(_), _) => ("tpm2-abrmd does not answer", "tabrmd"),
            Kind::Tcti(..) => {
                ("nothing listens on this port, or on the next one, which is the swtpm's control port", "swtpm")
            }
        };
        format!("{cause}, or the library libtss2-tcti-{library} of tpm2-tss is missing")
    }

    /// Connects. The bridge must live as long as the context.
    pub(super) fn connect(&self) -> Result<(Context, Option<Bridge>), TpmError> {
        let not_found = |reason: String| TpmError::NotFound { at: self.to_string(), reason };
        let (conf, bridge) = match &self.0 {
            Kind::Device(path) => {
                // Opened here first, because tpm2-tss does not report the cause of a failure.
                OpenOptions::new().read(true).write(true).open(path).map_err(|error| match error.kind() {
                    ErrorKind::PermissionDenied => TpmError::PermissionDenied { path: path.clone() },
                    // Includes EBUSY: a device without a resource manager can be open only once.
                    _ => not_found(error.to_string()),
                })?;
                (format!("device:{}", path.display()).parse(), None)
            }
            Kind::Unix(path) => {
                let bridge = Bridge::open(path).map_err(|error| not_found(error.to_string()))?;
                (format!("swtpm:host=127.0.0.1,port={}", bridge.port()).parse(), Some(bridge))
            }
            Kind::Tcti(conf, _) => (Ok(conf.clone()), None),
        };
        let conf = conf.map_err(|error: tss_esapi::Error| not_found(error.to_string()))?;
        // The error of tpm2-tss is the same for every cause.
        let context = Context::new(conf).map_err(|_| not_found(self.likely_causes()))?;
        Ok((context, bridge))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};
    use std::net::{Ipv4Addr, SocketAddr};

    #[test]
    fn addresses_of_the_go_emulator_are_parsed() {
        let shown = |text: &str| text.parse::<TpmAddress>().unwrap().to_string();
        assert_eq!(shown("/dev/tpm0"), "/dev/tpm0");
        assert_eq!(shown("device:/dev/tpm0"), "/dev/tpm0");
        assert_eq!(shown("127.0.0.1:2321"), "swtpm:host=127.0.0.1,port=2321");
        assert_eq!(shown("[::1]:2321"), "swtpm:host=::1,port=2321");
        assert_eq!(shown("mssim:host=localhost,port=2321"), "mssim:host=localhost,port=2321");
        assert_eq!(shown("tabrmd:bus_type=session"), "tabrmd:bus_type=session");
        for text in ["/run/tpm.sock", "unix:/run/tpm.sock", "swtpm:path=/run/tpm.sock"] {
            assert_eq!(text.parse::<TpmAddress>().unwrap(), TpmAddress(Kind::Unix("/run/tpm.sock".into())));
        }
        for text in ["tpm/sock", "./sock"] {
            assert_eq!(text.parse::<TpmAddress>().unwrap(), TpmAddress(Kind::Unix(text.into())));
        }
        // A name without a slash is the path of a socket if it exists. Tests run in the folder of the crate.
        assert_eq!("Cargo.toml".parse::<TpmAddress>().unwrap(), TpmAddress(Kind::Unix("Cargo.toml".into())));
        for text in ["", "nonsense", "127.0.0.1", "127.0.0.1:port", ":2321", "cmd:sh"] {
            assert!(text.parse::<TpmAddress>().unwrap_err().to_string().contains("is expected"), "{text}");
        }
    }

    #[test]
    fn a_missing_device_is_an_error_with_its_path() {
        let error = "/dev/no-tpm-here".parse::<TpmAddress>().unwrap().connect().err().unwrap().to_string();
        assert!(error.starts_with("no TPM at /dev/no-tpm-here: ") && error.contains("--tpm-path"), "{error}");
    }

    #[test]
    fn a_refused_connection_is_an_error_with_likely_causes() {
        // Bound, so that no other process can take the port, but not listening.
        let taken = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        taken.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let port = taken.local_addr().unwrap().as_socket().unwrap().port();
        let error = format!("127.0.0.1:{port}").parse::<TpmAddress>().unwrap().connect().err().unwrap().to_string();
        assert!(error.contains("nothing listens on this port") && error.contains("control port"), "{error}");
    }
}
