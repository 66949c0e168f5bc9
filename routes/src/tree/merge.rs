//! JSON merge patches (RFC 7396), applied to a tree.

use super::edit::{Edit, EditError, conform, segments};
use super::{GuestAttributes, Tree, build, guest_attributes};
use crate::metadata::Metadata;
use crate::schema::{self, Rule};
use serde_json::Value;

impl Tree {
    /// Returns the tree with a JSON merge patch (RFC 7396) applied to the node at this path: each key of an object sets a value, or removes
    /// it if it is null; a patch that is no object replaces the node. Keys are JSON keys, such as `maintenanceEvent`. An empty path is
    /// the whole tree. Values of the patch are converted, and new keys logged, as by [`with`](Self::with).
    ///
    /// ```
    /// use gce_metadata_routes::Metadata;
    /// use serde_json::json;
    ///
    /// let tree = Metadata::from_json(json!({"instance": {"attributes": {"a": "1", "b": "2"}}})).unwrap().tree();
    /// let patched = tree.with_merged("instance", &json!({"attributes": {"a": null, "c": "3"}})).unwrap();
    /// assert_eq!(patched.get("instance/attributes").unwrap().json(), r#"{"b":"2","c":"3"}"#);
    /// ```
    ///
    /// # Errors
    /// If there can be no such value at the path: see [`EditError`].
    pub fn with_merged(&self, path: &str, patch: &Value) -> Result<Self, EditError> {
        let segments = segments(path);
        let (patch, unknown) = conform(path, &segments, patch)?;
        let tree = if self.hides_guest_attributes() && !guest_attributes::are_named(&patch, &segments) {
            let without = self.with_guest_attributes(&GuestAttributes::default())?;
            without.merged(path, patch)?.with_guest_attributes(&self.guest_attributes())?
        } else {
            self.merged(path, patch)?
        };
        self.warn_of_new(&unknown);
        Ok(tree)
    }

    /// Applies a converted patch to the whole node, including guest attributes.
    fn merged(&self, path: &str, mut patch: Value) -> Result<Self, EditError> {
        let mut value = self.owner_json(path).unwrap_or_default();
        align(&mut value, &mut patch, &segments(path));
        json_patch::merge(&mut value, &patch);
        match Edit::new(path) {
            Ok(_) => self.replaced(path, value),
            Err(EditError::Root) if value.is_object() => {
                let unfit = |error| EditError::Unfit { path: path.into(), error };
                let everything = Metadata::complete(Metadata::checked(value, &[]).map_err(unfit)?).tree();
                Ok(everything.with_os_login(self.os_login.clone()))
            }
            Err(error) => Err(error),
        }
    }
}

/// Brings the value at this path and its patch to the same shape, for objects that the tree stores in another one.
fn align(value: &mut Value, patch: &mut Value, path: &[&str]) {
    if schema::is(path, Rule::ObjectLeaf) {
        *patch = build::snake_cased(patch.take());
    } else if schema::is(path, Rule::Document) {
        let written = value.as_str().filter(|_| patch.is_object()).map(serde_json::from_str);
        if let Some(Ok(object @ Value::Object(_))) = written {
            *value = object;
        }
    } else if let (Value::Object(value), Value::Object(patch)) = (value, patch) {
        for (key, patch) in patch {
            let Some(value) = value.get_mut(key) else { continue };
            let segment = if schema::is(path, Rule::UserKeys) { key.clone() } else { schema::kebab_case(key) };
            align(value, patch, &[path, &[&segment]].concat());
        }
    }
}
