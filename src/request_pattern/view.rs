//! Requests as patterns see them.

use gce_metadata_layers::MetadataPath;
use std::borrow::Cow;

const V1: &str = "/computeMetadata/v1";

/// A request that patterns are compared with: an entry of the journal, or a request before its answer.
pub(crate) trait RequestView {
    fn method(&self) -> &str;
    /// The path and the query, as the client sent them.
    fn url(&self) -> Cow<'_, str>;
    /// The values of the headers with this name, which is compared without case.
    fn headers_named(&self, name: &str) -> Vec<Cow<'_, str>>;
    /// The address of the client, without its port; `None` on a Unix socket.
    fn client_ip(&self) -> Option<String>;

    /// The path, as the client sent it.
    fn url_path(&self) -> String {
        let url = self.url();
        url.split_once('?').map_or(&*url, |(path, _)| path).to_owned()
    }

    /// The parameters of the query, decoded.
    fn parameters(&self) -> Vec<(String, String)> {
        let url = self.url();
        let query = url.split_once('?').map_or("", |(_, query)| query);
        form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    /// The path below `/computeMetadata/v1/`, without runs of slashes; `None` if the request has another path.
    fn key(&self) -> Option<String> {
        MetadataPath::new(&self.url_path()).below(V1).map(str::to_owned)
    }
}
