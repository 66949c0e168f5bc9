//! `instance/guest-attributes/NAMESPACE/KEY`: the only paths that a guest may write to.
//!
//! Writes are published, so the tree serves reads, listings, recursion and long polls. This endpoint checks whether guest attributes are
//! enabled, enforces GCE's limits, and answers writes after they are saved.

use super::{Answer, Call, Endpoint, Reply, tree_endpoint};
use crate::paths::v1_path;
use crate::snapshot::{Publisher, Reader};
use crate::tree::{GuestAttributes, Tree};
use gce_metadata_layers::{MetadataPath, Rejection};
use http::{Method, StatusCode};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceExt};

/// A service that makes guest attributes durable. It is called after each published write, and completes when all writes that were
/// published before the call are stored. It logs its errors itself; the client gets 503.
pub type SaveGuestAttributes = BoxCloneSyncService<(), (), BoxError>;

const DIRECTORY: &str = v1_path!("instance/guest-attributes/");

const DISABLED: Rejection = Rejection::worded(StatusCode::FORBIDDEN, "Guest attributes endpoint access is disabled.");
const NO_KEY: Rejection = bad("guest attributes are written to guest-attributes/NAMESPACE/KEY");
const LONG_NAME: Rejection = bad("a namespace or key of guest attributes has at most 128 bytes");
const NO_TEXT: Rejection = bad("the value of a guest attribute is text in UTF-8");
const NOT_SAVED: Rejection = Rejection::worded(
    StatusCode::SERVICE_UNAVAILABLE,
    "The change is served, but could not be saved: it may be lost when the server restarts. Try again later.",
);

const fn bad(words: &'static str) -> Rejection {
    Rejection::worded(StatusCode::BAD_REQUEST, words)
}

/// Serves guest attributes of VMs with `enable-guest-attributes`; 403 for other VMs.
#[derive(Debug)]
pub(crate) struct WritableAttributes {
    publisher: Publisher,
    reader: Reader,
    save: Option<SaveGuestAttributes>,
}

impl WritableAttributes {
    /// An endpoint that answers writes after `save` has completed; without it, as soon as they are published.
    pub(crate) fn new(publisher: Publisher, save: Option<SaveGuestAttributes>) -> Self {
        Self { reader: publisher.reader(), publisher, save }
    }

    fn write(&self, call: Call<'_>) -> Reply {
        let (namespace, key) = match names(call.path) {
            Ok((namespace, key)) => (namespace.to_owned(), key.to_owned()),
            Err(rejection) => return Err(rejection).into(),
        };
        let (publisher, save) = (self.publisher.clone(), self.save.clone());
        if call.head.method() == Method::DELETE {
            let outcome = publisher.edit(|tree| removed(tree, &namespace, &key)).map(|_| ());
            return match save {
                Some(save) => Reply::later(saved(outcome, Some(save))),
                None => outcome.map(|()| Answer::text("")).into(),
            };
        }
        Reply::later(async move {
            let body = call.body.read(GuestAttributes::MAX_VALUE_BYTES).await?;
            let value = std::str::from_utf8(&body).map_err(|_| NO_TEXT)?.to_owned();
            let outcome = publisher.edit(|tree| written(tree, &namespace, &key, value)).map(|_| ());
            // Published: the body is not in flight any more, and saving may take long.
            drop(body);
            saved(outcome, save).await
        })
    }
}

/// Saves a write, and then answers it. Also for a key that does not exist: the deletion before may not be saved yet.
async fn saved(outcome: Result<(), Rejection>, save: Option<SaveGuestAttributes>) -> Result<Answer, Rejection> {
    if let (Ok(()) | Err(Rejection::NotFound), Some(save)) = (&outcome, save) {
        save.oneshot(()).await.map_err(|_| NOT_SAVED)?;
    }
    outcome.map(|()| Answer::text(""))
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
            (Ok(tree), _) => tree_endpoint::find(tree, &call).into(),
        };
        reply.counted_as(DIRECTORY)
    }
}

/// The namespace and the key in the path of a write.
#[expect(clippy::expect_used, reason = "the table of routes is a constant")]
fn names<'a>(path: &'a MetadataPath<'_>) -> Result<(&'a str, &'a str), Rejection> {
    let rest = path.as_str().strip_prefix(DIRECTORY).expect("the routes of the endpoint are below guest-attributes/");
    let (namespace, key) = rest.split_once('/').ok_or(NO_KEY)?;
    match key.is_empty() || key.contains('/') {
        true => Err(NO_KEY),
        false if namespace.len().max(key.len()) > GuestAttributes::MAX_NAME_BYTES => Err(LONG_NAME),
        false => Ok((namespace, key)),
    }
}

fn enabled(tree: &Tree) -> Result<&Tree, Rejection> {
    if tree.is_switched_on("enable-guest-attributes") { Ok(tree) } else { Err(DISABLED) }
}

/// The tree with this guest attribute. Checks again whether they are enabled: that may have changed while the body arrived.
fn written(tree: &Tree, namespace: &str, key: &str, value: String) -> Result<Tree, Rejection> {
    let written = enabled(tree)?.with_guest_attribute(namespace, key, value).map_err(|_| Rejection::Internal)?;
    if written.guest_attribute_bytes() > GuestAttributes::MAX_BYTES {
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
    use crate::{Metadata, Router, RouterOptions, TokenSources};
    use gce_metadata_layers::RequestHead;
    use http::Request;
    use serde_json::json;
    use std::future::ready;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};
    use tower::service_fn;

    const SWITCH: &str = "instance/attributes/enable-guest-attributes";
    const KEY: &str = "/computeMetadata/v1/instance/guest-attributes/ns/key";

    #[tokio::test]
    async fn a_write_is_answered_after_it_is_saved_and_503_if_saving_fails() {
        let vm = json!({"instance": {"attributes": {"enable-guest-attributes": "TRUE"}}});
        let publisher = Publisher::new(Metadata::from_json(vm).unwrap().tree());
        let reader = publisher.reader();
        let value = move || reader.snapshot().tree().guest_attributes().get("ns", "key").map(str::to_owned);
        let (is_full, saved) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (fails, saves, saved_value) = (Arc::clone(&is_full), Arc::clone(&saved), value.clone());
        let save = SaveGuestAttributes::new(service_fn(move |()| {
            saves.lock().unwrap().push(saved_value());
            ready(if fails.load(Ordering::Relaxed) { Err("disk full".into()) } else { Ok(()) })
        }));
        let options = RouterOptions { save_guest_attributes: Some(save), ..RouterOptions::default() };
        let router = Router::with_options(publisher, TokenSources::default(), options);
        let ask = async |method: &str, path: &str| {
            let head = RequestHead::of(&Request::builder().method(method).uri(path).body(()).unwrap());
            let answer = router.route(&head, RequestBody::made(|| "value".into())).await;
            answer.map(|_| ()).map_err(|rejection| rejection.status().as_u16())
        };
        assert_eq!(ask("PUT", KEY).await, Ok(()));
        assert_eq!(ask("DELETE", KEY).await, Ok(()));
        assert_eq!(ask("DELETE", KEY).await, Err(404));
        is_full.store(true, Ordering::Relaxed);
        assert_eq!(ask("PUT", KEY).await, Err(503));
        assert_eq!(value().as_deref(), Some("value"), "it is served although saving failed");
        assert_eq!(ask("DELETE", KEY).await, Err(503));
        assert_eq!(ask("DELETE", KEY).await, Err(503), "the deletion is not saved yet");
        let some = || Some("value".to_owned());
        assert_eq!(*saved.lock().unwrap(), [some(), None, None, some(), None, None]);
        // Rejected writes and reads save nothing.
        assert_eq!(ask("PUT", &KEY.replace("/key", "")).await, Err(400));
        assert_eq!(ask("GET", KEY).await, Err(404));
        assert_eq!(saved.lock().unwrap().len(), 6);
    }

    #[tokio::test]
    async fn a_write_is_refused_if_it_is_disabled_while_its_body_arrives() {
        let vm = json!({"instance": {"attributes": {"enable-guest-attributes": "TRUE"}}});
        let publisher = Publisher::new(Metadata::from_json(vm).unwrap().tree());
        let router = Router::new(publisher.clone(), TokenSources::default());
        let head = RequestHead::of(&Request::put(KEY).body(()).unwrap());
        let put = |body| router.route(&head, body);
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
