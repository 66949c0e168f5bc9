//! Where a TPM is.

use super::TpmError;
use super::bridge::Bridge;
use std::fmt;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tss_esapi::Context;
use tss_esapi::tcti_ldr::TctiNameConf;

/// A device, a swtpm's TCP port or Unix socket, or what tpm2-tss calls a TCTI (`device:`, `swtpm:`, `mssim:`, `tabrmd:`).
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
    /// The kernel's resource manager.
    fn default() -> Self {
        Self(Kind::Device("/dev/tpmrm0".into()))
    }
}

impl FromStr for TpmAddress {
    type Err = TpmError;

    fn from_str(text: &str) -> Result<Self, TpmError> {
        let unknown = |_| {
            TpmError::Option(format!(
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
    /// Why it may be that nothing comes of it.
    fn doubts(&self) -> String {
        let (wrong, library) = match &self.0 {
            Kind::Device(_) => ("it is no TPM, or another program has it", "device"),
            Kind::Unix(_) => ("whoever answers there is no TPM", "swtpm"),
            Kind::Tcti(TctiNameConf::Mssim(_), _) => {
                ("nobody answers there, or nobody at the next port, which controls it", "mssim")
            }
            Kind::Tcti(TctiNameConf::Tabrmd(_), _) => ("nobody answers there", "tabrmd"),
            Kind::Tcti(..) => ("nobody answers there, or nobody at the next port, which controls a swtpm", "swtpm"),
        };
        format!("{wrong}, or tpm2-tss' library libtss2-tcti-{library} is missing")
    }

    /// Connects. The bridge must live as long as the context.
    pub(super) fn connect(&self) -> Result<(Context, Option<Bridge>), TpmError> {
        let nowhere = |reason: String| TpmError::Nowhere { at: self.to_string(), reason };
        let (conf, bridge) = match &self.0 {
            Kind::Device(path) => {
                // The software stack would only say that it failed.
                OpenOptions::new().read(true).write(true).open(path).map_err(|error| match error.kind() {
                    ErrorKind::PermissionDenied => TpmError::Forbidden { path: path.clone() },
                    // A device without a resource manager has one user at a time, who may be another.
                    _ => nowhere(error.to_string()),
                })?;
                (format!("device:{}", path.display()).parse(), None)
            }
            Kind::Unix(path) => {
                let bridge = Bridge::open(path).map_err(|error| nowhere(error.to_string()))?;
                (format!("swtpm:host=127.0.0.1,port={}", bridge.port()).parse(), Some(bridge))
            }
            Kind::Tcti(conf, _) => (Ok(conf.clone()), None),
        };
        let conf = conf.map_err(|error: tss_esapi::Error| nowhere(error.to_string()))?;
        // The software stack has one error for all that can be wrong, and it says nothing.
        let context = Context::new(conf).map_err(|_| nowhere(self.doubts()))?;
        Ok((context, bridge))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};
    use std::net::{Ipv4Addr, SocketAddr};

    #[test]
    fn an_address_is_understood_as_the_go_emulator_does() {
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
    fn where_there_is_none_is_said() {
        let error = "/dev/no-tpm-here".parse::<TpmAddress>().unwrap().connect().err().unwrap().to_string();
        assert!(error.starts_with("no TPM at /dev/no-tpm-here: ") && error.contains("--tpm-path"), "{error}");
    }
    #[test]
    fn whoever_does_not_answer_is_said_not_to() {
        // A port that is taken, and nobody listens at.
        let taken = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        taken.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let port = taken.local_addr().unwrap().as_socket().unwrap().port();
        let error = format!("127.0.0.1:{port}").parse::<TpmAddress>().unwrap().connect().err().unwrap().to_string();
        assert!(error.contains("nobody answers there") && error.contains("the next port"), "{error}");
    }
}
