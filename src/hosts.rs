//! The host names that are allowed in the `Host` header: those of this machine, of the offline issuer, and of the options.

use gce_metadata_layers::{AllowedHosts, InvalidHost};
use http::Uri;

/// The hosts that are always allowed, and the host name of this machine.
pub(crate) fn allowed() -> AllowedHosts {
    let hosts = AllowedHosts::new();
    let name = rustix::system::uname();
    match name.nodename().to_str() {
        Ok(name) => hosts.clone().allow(name).unwrap_or(hosts),
        Err(_) => hosts,
    }
}

/// [`allowed`] with these names and the host of the issuer, from which clients fetch its keys.
pub(crate) fn allowed_with(names: &[String], issuer: Option<&str>) -> Result<AllowedHosts, InvalidHost> {
    let issuer = issuer.and_then(|issuer| issuer.parse::<Uri>().ok());
    let host = issuer.as_ref().and_then(Uri::host);
    names.iter().map(String::as_str).chain(host).try_fold(allowed(), AllowedHosts::allow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_name_of_this_machine_is_allowed() {
        let name = rustix::system::uname().nodename().to_str().unwrap().to_owned();
        assert!(allowed().allows(&name), "{name}");
        assert!(!allowed().allows("rebound.example.com"));
    }

    #[test]
    fn the_host_of_the_issuer_is_allowed_if_the_issuer_is_a_url() {
        let allowed = |issuer| allowed_with(&["vm.example.net".to_owned()], Some(issuer)).unwrap();
        assert!(allowed("https://issuer.example.com:8443/path").allows("issuer.example.com"));
        assert_eq!(allowed("an issuer"), allowed_with(&["vm.example.net".to_owned()], None).unwrap());
    }
}
