//! Requests as request patterns see them: those of clients, and fetches of tokens.

use crate::request_pattern::RequestView;
use gce_metadata_layers::{Connection, FaultRequest};
use gce_metadata_routes::{ServiceAccount, Tree};
use std::borrow::Cow;

const ACCOUNTS: &str = "instance/service-accounts/";

/// A request of a client.
pub(super) struct ClientRequest<'a>(pub(super) &'a FaultRequest<'a>);

impl RequestView for ClientRequest<'_> {
    fn method(&self) -> &str {
        self.0.method.as_str()
    }

    fn url(&self) -> Cow<'_, str> {
        self.0.uri.path_and_query().map_or("/", |target| target.as_str()).into()
    }

    fn headers_named(&self, name: &str) -> Vec<Cow<'_, str>> {
        let values = self.0.headers.get_all(name).into_iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect()
    }

    fn client_ip(&self) -> Option<String> {
        let connection: Option<&Connection> = self.0.extensions.get();
        connection?.remote.map(|remote| remote.ip().to_canonical().to_string())
    }
}

impl ClientRequest<'_> {
    /// The names of the account that the path names: its e-mail and its aliases, or the name in the path if there is no such account.
    /// Empty for other paths.
    pub(super) fn account(&self, tree: &Tree) -> Vec<String> {
        let key = self.key().unwrap_or_default();
        let name = key.strip_prefix(ACCOUNTS).and_then(|rest| rest.split('/').next()).filter(|name| !name.is_empty());
        name.map(|name| tree.service_account(name).map_or_else(|| vec![name.to_owned()], |account| names(&account)))
            .unwrap_or_default()
    }
}

/// A fetch of a token for an account, with one of the paths that its token has.
pub(super) struct Fetch(String);

impl Fetch {
    /// The fetch under each name of the account. `kind` is `access` or `identity`.
    pub(super) fn all(account: &ServiceAccount, kind: &str) -> Vec<Self> {
        let endpoint = if kind == "access" { "token" } else { "identity" };
        let path = |name| Self(format!("/computeMetadata/v1/{ACCOUNTS}{name}/{endpoint}"));
        names(account).into_iter().map(path).collect()
    }

    /// The path.
    pub(super) fn path(&self) -> &str {
        &self.0
    }
}

impl RequestView for Fetch {
    fn method(&self) -> &str {
        "GET"
    }

    fn url(&self) -> Cow<'_, str> {
        self.0.as_str().into()
    }

    fn headers_named(&self, _: &str) -> Vec<Cow<'_, str>> {
        Vec::new()
    }

    fn client_ip(&self) -> Option<String> {
        None
    }
}

/// The e-mail and the aliases.
pub(super) fn names(account: &ServiceAccount) -> Vec<String> {
    std::iter::once(account.email.clone()).chain(account.aliases.iter().cloned()).collect()
}
