//! Requests as patterns see them.

use gce_metadata_layers::MetadataPath;
use std::borrow::Cow;
use std::ops::Range;

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
    fn url_path(&self) -> Cow<'_, str> {
        let url = self.url();
        match url.find('?') {
            Some(end) => part(url, 0..end),
            None => url,
        }
    }

    /// The parameters of the query, decoded.
    fn parameters(&self) -> Vec<(String, String)> {
        let url = self.url();
        let query = url.split_once('?').map_or("", |(_, query)| query);
        form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    /// The path below `/computeMetadata/v1/`, without runs of slashes; `None` if the request has another path.
    fn key(&self) -> Option<Cow<'_, str>> {
        let path = self.url_path();
        let clean = MetadataPath::new(&path);
        let key = clean.below(V1)?;
        if clean.as_str().len() < path.len() {
            return Some(key.to_owned().into());
        }
        let range = path.len() - key.len()..path.len();
        Some(part(path, range))
    }
}

/// A part of a text, which is copied only if the text is owned. A request is compared with up to a thousand patterns.
fn part(text: Cow<'_, str>, range: Range<usize>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => text[range].into(),
        Cow::Owned(text) => text[range].to_owned().into(),
    }
}
