//! The environment variables that direct clients to a server at an address.

use super::Address;

/// The variables, as names and values, for Google's client libraries and gcloud. Empty for a Unix socket.
pub(super) fn of_clients(address: &Address) -> Vec<(&'static str, String)> {
    let names = ["GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"];
    address.reachable().map_or_else(Vec::new, |address| names.map(|name| (name, address.to_string())).into())
}

/// The URL of the admin API at this address: `http://HOST:PORT`, or `unix:` and the absolute path of the socket, since clients may have
/// another working directory.
pub(super) fn admin_url(address: &Address) -> Option<String> {
    Some(match address {
        Address::Unix(path) => format!("unix:{}", std::path::absolute(path).as_ref().unwrap_or(path).display()),
        address => format!("http://{}", address.reachable()?),
    })
}

/// The variables that the admin API shows. A server that serves only HTTPS is at no address that Google's libraries accept in a variable.
pub(super) fn shown(main: &Address, admin: &Address, is_https: bool) -> Vec<(&'static str, String)> {
    let mut variables = if is_https { vec![("GCE_METADATA_MTLS_MODE", "strict".to_owned())] } else { of_clients(main) };
    variables.extend(admin_url(admin).map(|url| ("GCE_METADATA_ADMIN", url)));
    variables
}
