//! `instance/guest-attributes/NAMESPACE/KEY`: the one place where a guest may write.
//!
//! What it writes is published, so that reading, listing, recursion and waiting are the tree's affair. Here is who may, what,
//! and how much.

use super::{Answer, Call, Endpoint, Reply, published};
use crate::snapshot::{Publisher, Reader};
use crate::tree::{GuestAttributes, Tree};
use gce_metadata_layers::{MetadataPath, Rejection};
use http::{Method, StatusCode};

const DIRECTORY: &str = "/computeMetadata/v1/instance/guest-attributes";
const WITH_SLASH: &str = "/computeMetadata/v1/instance/guest-attributes/";

const DISABLED: Rejection = Rejection::worded(StatusCode::FORBIDDEN, "Guest attributes endpoint access is disabled.");
const NO_KEY: Rejection = bad("guest attributes are written to guest-attributes/NAMESPACE/KEY");
const LONG_NAME: Rejection = bad("a namespace or key of guest attributes has at most 128 bytes");
const NO_TEXT: Rejection = bad("the value of a guest attribute is text in UTF-8");

const fn bad(words: &'static str) -> Rejection {
    Rejection::worded(StatusCode::BAD_REQUEST, words)
}

/// Guest attributes, for VMs whose attributes say so.
#[derive(Debug)]
pub(crate) struct WritableAttributes {
    publisher: Publisher,
    reader: Reader,
}

impl WritableAttributes {
    pub(crate) fn new(publisher: Publisher) -> Self {
        Self { reader: publisher.reader(), publisher }
    }

    fn write(&self, call: Call<'_>) -> Reply {
        let (namespace, key) = match names(&call.path) {
            Ok((namespace, key)) => (namespace.to_owned(), key.to_owned()),
            Err(rejection) => return Err(rejection).into(),
        };
        let publisher = self.publisher.clone();
        if call.head.method() == Method::DELETE {
            return publisher.edit(|tree| removed(tree, &namespace, &key)).map(|()| Answer::text("")).into();
        }
        Reply::later(async move {
            // Held until the value is published, so that it counts as in flight while the write waits for its turn.
            let body = call.body.read(GuestAttributes::MOST_VALUE_BYTES).await?;
            let value = std::str::from_utf8(&body).map_err(|_| NO_TEXT)?.to_owned();
            publisher.edit(|tree| written(tree, &namespace, &key, value)).map(|()| Answer::text(""))
        })
    }
}

impl Endpoint for WritableAttributes {
    fn allows(&self, method: &Method) -> bool {
        [Method::GET, Method::HEAD, Method::PUT, Method::DELETE].contains(method)
    }

    fn call(&self, call: Call<'_>) -> Reply {
        let snapshot = self.reader.snapshot();
        let reply = match (enabled(snapshot.tree()), call.head.method()) {
            (Err(disabled), _) => Err(disabled).into(),
            (Ok(_), &Method::PUT | &Method::DELETE) => self.write(call),
            (Ok(tree), _) => published::find(tree, &call).into(),
        };
        reply.counted_as(WITH_SLASH)
    }
}

/// The two names that a path must have to be written to.
fn names<'a>(path: &'a MetadataPath<'_>) -> Result<(&'a str, &'a str), Rejection> {
    let rest = path.below(DIRECTORY).unwrap_or_default();
    let (namespace, key) = rest.split_once('/').ok_or(NO_KEY)?;
    match key.is_empty() || key.contains('/') {
        true => Err(NO_KEY),
        false if namespace.len().max(key.len()) > GuestAttributes::MOST_NAME_BYTES => Err(LONG_NAME),
        false => Ok((namespace, key)),
    }
}

fn enabled(tree: &Tree) -> Result<&Tree, Rejection> {
    if tree.is_switched_on("enable-guest-attributes") { Ok(tree) } else { Err(DISABLED) }
}

/// A body may take its time. What counts is what holds when it is there.
fn written(tree: &Tree, namespace: &str, key: &str, value: String) -> Result<Tree, Rejection> {
    let written = enabled(tree)?.with_guest_attribute(namespace, key, value).map_err(|_| Rejection::Internal)?;
    if written.guest_attribute_bytes() > GuestAttributes::MOST_BYTES {
        return Err(Rejection::TooLarge);
    }
    Ok(written)
}

fn removed(tree: &Tree, namespace: &str, key: &str) -> Result<Tree, Rejection> {
    enabled(tree)?.without_guest_attribute(namespace, key).map_err(|_| Rejection::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::RequestBody;
    use crate::{Metadata, Router, TokenSources};
    use gce_metadata_layers::RequestHead;
    use http::Request;
    use serde_json::json;

    const SWITCH: &str = "instance/attributes/enable-guest-attributes";
    const KEY: &str = "/computeMetadata/v1/instance/guest-attributes/ns/key";

    #[tokio::test]
    async fn what_is_switched_off_while_a_body_comes_is_off() {
        let vm = json!({"instance": {"attributes": {"enable-guest-attributes": "TRUE"}}});
        let publisher = Publisher::new(Metadata::from_json(vm).unwrap().tree());
        let router = Router::new(publisher.clone(), TokenSources::default());
        let head = RequestHead::of(&Request::put(KEY).body(()).unwrap());
        let put = |body| router.route(&head, KEY, body);
        assert!(put(RequestBody::made(|| "value".into())).await.is_ok());
        let switch = publisher.clone();
        let late = put(RequestBody::made(move || {
            switch.set(SWITCH, "FALSE").unwrap();
            "late".into()
        }));
        assert_eq!(late.await.unwrap_err(), DISABLED);
        assert_eq!(publisher.reader().snapshot().tree().guest_attributes().get("ns", "key"), Some("value"));
    }
}
