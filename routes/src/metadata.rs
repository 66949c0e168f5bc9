//! The metadata of a VM as JSON in GCE's shape, checked and completed: the input of a [`Tree`].

mod canonical;
mod check;
mod expect;
mod fill;
mod finding;
mod gce_types;
mod json_schema;
mod suggest;
mod walk;

pub use finding::{Finding, MetadataError, Severity};
pub(crate) use gce_types::conform;
pub use suggest::nearest;
pub(crate) use suggest::nearest_key;
pub use walk::Walk;

use crate::accounts;
use crate::depth;
use crate::os_login::{self, OsLogin};
use crate::schema;
use crate::tree::Tree;
use serde_json::{Map, Value, json};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The metadata of a VM as JSON, in the shape of the answer to `/computeMetadata/v1/?recursive=true`.
///
/// ```
/// use gce_metadata_routes::Metadata;
/// use serde_json::json;
///
/// let v1 = json!({"project": {"projectId": "my-project"}});
/// let tree = Metadata::from_json(v1).unwrap().with_project_id("another").tree();
/// assert_eq!(tree.text("project/project-id").unwrap(), "another");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Metadata {
    v1: Value,
    os_login: Option<Arc<OsLogin>>,
    /// The tree has the keys of the built-in VM that `v1` lacks. They are added when the tree is built, because values such as the
    /// host name contain others that the `with_` methods may still set.
    is_filled_in: bool,
}

impl Metadata {
    /// Reads metadata from the JSON of `/computeMetadata/v1/`, such as the `?recursive=true` dump of a VM.
    ///
    /// Keys that differ from GCE's in case only are normalized. Each service account is served under its e-mail and all its
    /// aliases, also if the JSON has only one of these names.
    ///
    /// If the instance has neither `name` nor `zone`, its missing keys have the values of the built-in VM ([`sample`](Self::sample)),
    /// except for attributes, guest attributes, partner attributes and service accounts:
    ///
    /// ```
    /// use gce_metadata_routes::Metadata;
    /// use serde_json::json;
    ///
    /// let v1 = json!({"instance": {"id": 42}, "project": {"projectId": "my-project"}});
    /// let tree = Metadata::from_json(v1)?.tree();
    /// assert_eq!(tree.text("instance/hostname").unwrap(), "vm-1.us-central1-a.c.my-project.internal");
    /// # Ok::<_, gce_metadata_routes::MetadataError>(())
    /// ```
    ///
    /// # Errors
    /// If the JSON has none of the keys of metadata, has a value of the wrong type, such as a list instead of an object, or nests
    /// more than [`Tree::MAX_DEPTH`] levels deep. The error has the path.
    pub fn from_json(v1: Value) -> Result<Self, MetadataError> {
        let mut walk = Walk::default();
        let metadata = Self::read_dump(v1, &mut walk);
        walk.first_error().map_or(Ok(metadata), Err)
    }

    /// Reads JSON as [`from_json`](Self::from_json) does, but fills in nothing.
    #[cfg(test)]
    pub(crate) fn unfilled(v1: Value) -> Self {
        Self { is_filled_in: false, ..Self::from_json(v1).unwrap() }
    }

    /// Checks JSON and returns all findings: the errors for which [`from_json`](Self::from_json) fails, warnings about values that GCE
    /// would not serve, and notices about keys that GCE is not known to have.
    ///
    /// ```
    /// use gce_metadata_routes::{Metadata, Severity};
    /// use serde_json::json;
    ///
    /// let findings = Metadata::check(json!({"instance": {"preempted": true}}));
    /// assert_eq!(findings[0].severity(), Severity::Warning);
    /// assert_eq!(findings[0].path(), ["instance", "preempted"]);
    /// ```
    pub fn check(v1: Value) -> Vec<Finding> {
        let mut walk = Walk::thorough();
        Self::read_dump(v1, &mut walk);
        walk.into_findings()
    }

    /// Whether an object has a top-level key of metadata, such as `instance`, in upper or lower case.
    pub fn is_like(object: &Map<String, Value>) -> bool {
        const ROOTS: [&str; 4] = ["instance", "oslogin", "project", "universe"];
        ROOTS.iter().any(|root| object.keys().any(|key| key.eq_ignore_ascii_case(root)))
    }

    /// The error for an object that is the instance or the project alone, such as the answer to `instance/?recursive=true`.
    pub fn part_of(object: &Map<String, Value>) -> Option<&'static str> {
        let has = |keys: &[&str]| keys.iter().filter(|key| object.contains_key(**key)).count();
        if has(&["id", "hostname", "machineType", "name", "networkInterfaces", "serviceAccounts", "zone"]) >= 2 {
            Some("this is an instance alone, as instance/?recursive=true answers it: wrap it as {\"instance\": …}")
        } else if has(&["numericProjectId", "projectId"]) >= 1 {
            Some("this is a project alone, as project/?recursive=true answers it: wrap it as {\"project\": …}")
        } else {
            None
        }
    }

    /// Reads the object of `/computeMetadata/v1/` as a part of a larger document. Findings are added to the walk; after an error the
    /// metadata is incomplete. The document must have been [bounded](Walk::bounded).
    pub fn read(v1: Map<String, Value>, walk: &mut Walk) -> Self {
        // Callers report an object without keys of metadata as an error, so a notice about filled keys would only distract.
        let is_metadata = v1.is_empty() || Self::is_like(&v1);
        let instance_key = v1.keys().find(|key| key.eq_ignore_ascii_case("instance")).cloned();
        let v1 = canonical(v1, walk);
        let is_filled_in = is_metadata && fill::is_due(&v1);
        if is_filled_in && walk.is_thorough() {
            fill::note(&v1, instance_key, walk);
        }
        Self { is_filled_in, ..Self::complete(v1) }
    }

    fn read_dump(v1: Value, walk: &mut Walk) -> Self {
        let bounded = walk.bounded(v1);
        let Some(v1) = bounded.and_then(|v1| walk.object(v1)) else { return Self::complete(Value::Null) };
        if v1.keys().any(|key| key.eq_ignore_ascii_case("computeMetadata")) {
            walk.error("a config, not metadata: pass the object at `computeMetadata.v1`");
        } else if !Self::is_like(&v1) {
            walk.error(Self::part_of(&v1).unwrap_or("no metadata, which has instance and project"));
        }
        Self::read(v1, walk)
    }

    /// Checks a new value of the node at this path, and normalizes its keys.
    pub(crate) fn checked(mut value: Value, segments: &[&str]) -> Result<Value, MetadataError> {
        let mut walk = Walk::default();
        walk.canonicalize(&mut value, segments);
        match walk.first_error() {
            Some(error) => Err(error),
            None => Ok(value),
        }
    }

    /// Metadata from an object that is known to be valid. Missing names of service accounts are added.
    pub(crate) fn complete(mut v1: Value) -> Self {
        accounts::complete(&mut v1);
        Self { v1, os_login: None, is_filled_in: false }
    }

    /// Metadata with nothing but the nodes that every VM has. The `with_` methods add values.
    ///
    /// ```
    /// use gce_metadata_routes::Metadata;
    ///
    /// let tree = Metadata::empty()
    ///     .with_project_id("my-project")
    ///     .with_instance("machine-type", "projects/1/machineTypes/e2-medium")
    ///     .with_attribute("my-key", "my value")
    ///     .with_service_account("vm@my-project.iam.gserviceaccount.com")
    ///     .tree();
    /// assert_eq!(tree.text("instance/machine-type").unwrap(), "projects/1/machineTypes/e2-medium");
    /// assert_eq!(tree.text("instance/attributes/my-key").unwrap(), "my value");
    /// ```
    pub fn empty() -> Self {
        let v1 = json!({"instance": {"attributes": {}}, "project": {"attributes": {}}});
        Self { v1, os_login: None, is_filled_in: false }
    }

    /// Sets a value of the instance. The key is spelled as in JSON or as in paths: `networkInterfaces` or `network-interfaces`. A value
    /// that nests deeper than [`Tree::MAX_DEPTH`] allows is replaced by null, and an error is logged.
    #[must_use]
    pub fn with_instance(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.put(&["instance", &schema::camel_case(key)], value.into());
        self
    }

    /// Sets a value of the project, as [`with_instance`](Self::with_instance) does for the instance.
    #[must_use]
    pub fn with_project(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.put(&["project", &schema::camel_case(key)], value.into());
        self
    }

    /// Sets an attribute of the instance.
    #[must_use]
    pub fn with_attribute(mut self, key: &str, value: &str) -> Self {
        self.put(&["instance", "attributes", key], value.into());
        self
    }

    /// Sets an attribute of the project.
    #[must_use]
    pub fn with_project_attribute(mut self, key: &str, value: &str) -> Self {
        self.put(&["project", "attributes", key], value.into());
        self
    }

    /// Sets `project/project-id`.
    #[must_use]
    pub fn with_project_id(self, id: &str) -> Self {
        self.with_project("projectId", id)
    }

    /// Sets `project/numeric-project-id`.
    #[must_use]
    pub fn with_numeric_project_id(self, id: u64) -> Self {
        self.with_project("numericProjectId", id)
    }

    /// Sets the e-mail of the default service account, and adds the account if there is none.
    #[must_use]
    pub fn with_service_account(mut self, email: &str) -> Self {
        const EMAIL: [&str; 4] = ["instance", "serviceAccounts", "default", "email"];
        let old = self.put(&EMAIL, email.into());
        if let Some(old) = old.as_str().filter(|old| !old.is_empty() && *old != email) {
            accounts::rename(&mut self.v1, old, email);
        }
        accounts::complete(&mut self.v1);
        self
    }

    /// Adds a default service account, unless there is one. Its e-mail is that of the Compute Engine default service account:
    /// `PROJECT_NUMBER-compute@developer.gserviceaccount.com`.
    #[must_use]
    pub fn with_default_service_account(mut self) -> Self {
        if Tree::from_json(&self.v1).service_account("default").is_none() {
            self.put(&["instance", "serviceAccounts", "default"], json!({}));
            accounts::complete(&mut self.v1);
        }
        self
    }

    /// Whether the instance has a service account.
    pub fn has_service_account(&self) -> bool {
        let accounts = |(key, value): (&String, &Value)| {
            schema::kebab_case(key) == "service-accounts"
                && value.as_object().is_some_and(|accounts| !accounts.is_empty())
        };
        self.v1["instance"].as_object().is_some_and(|instance| instance.iter().any(accounts))
    }

    /// Sets the users and groups of OS Login. It is active if the attribute `enable-oslogin` is `TRUE`.
    #[must_use]
    pub fn with_os_login(mut self, os_login: OsLogin) -> Self {
        if self.v1["oslogin"].is_null() {
            self.v1["oslogin"] = json!({"authenticate": {"sessions": {}}});
        }
        self.os_login = Some(Arc::new(os_login));
        self
    }

    /// Whether the attribute `enable-oslogin` of the instance, or else of the project, enables OS Login.
    pub fn enables_os_login(&self) -> bool {
        Tree::from_json(&self.v1).is_switched_on(os_login::SWITCH)
    }

    /// Sets the value below these keys, adding objects where they are missing, and returns the old value.
    fn put(&mut self, keys: &[&str], value: Value) -> Value {
        let place = keys.iter().fold(&mut self.v1, |node, key| {
            if !node.is_object() {
                *node = json!({});
            }
            &mut node[*key]
        });
        std::mem::replace(place, depth::or_null(value, Tree::MAX_DEPTH - keys.len()))
    }

    /// Builds the tree that serves this metadata.
    pub fn tree(&self) -> Tree {
        let tree = if self.is_filled_in { Tree::from_json(&fill::filled(&self.v1)) } else { Tree::from_json(&self.v1) };
        tree.with_os_login(self.os_login.clone())
    }
}

/// Parses JSON and reads it as [`from_json`](Metadata::from_json) does.
///
/// ```
/// use gce_metadata_routes::Metadata;
///
/// let metadata: Metadata = r#"{"project": {"projectId": "my-project"}}"#.parse()?;
/// assert_eq!(metadata.tree().text("project/project-id").unwrap(), "my-project");
/// # Ok::<_, gce_metadata_routes::MetadataError>(())
/// ```
impl FromStr for Metadata {
    type Err = MetadataError;

    fn from_str(json: &str) -> Result<Self, MetadataError> {
        let parsed = serde_json::from_str(json);
        parsed.map_err(|error| MetadataError::new(&[], format!("invalid JSON: {error}"))).and_then(Self::from_json)
    }
}

/// Attributes and workload identities hold secrets.
impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata").finish_non_exhaustive()
    }
}

fn canonical(v1: Map<String, Value>, walk: &mut Walk) -> Value {
    // The section would be served as GCE's `oslogin`, with its secrets.
    let is_misplaced = |(key, value): &(&String, &Value)| {
        key.eq_ignore_ascii_case("oslogin") && OsLogin::KEYS.iter().any(|key| value.get(key).is_some())
    };
    for (key, _) in v1.iter().filter(is_misplaced) {
        let remedy = "it belongs beside `computeMetadata`; put a dump into {\"computeMetadata\": {\"v1\": …}} first";
        walk.below(key.as_str(), |walk| walk.error(remedy));
    }
    let mut v1 = Value::Object(v1);
    walk.canonicalize(&mut v1, &[]);
    v1
}

#[cfg(test)]
mod tests;
