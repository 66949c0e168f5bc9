//! What a VM's metadata is before it is a tree: JSON in GCE's own shape, checked and completed.

mod canonical;
mod check;
mod expect;
mod finding;
mod gce_types;
mod walk;

pub use finding::{Finding, MetadataError, Severity};
pub(crate) use gce_types::conform;
pub use walk::Walk;

use crate::accounts;
use crate::depth;
use crate::os_login::{self, OsLogin};
use crate::schema;
use crate::tree::Tree;
use serde_json::{Map, Value, json};
use std::fmt;
use std::sync::Arc;

/// The metadata of a VM as JSON, in the shape that `?recursive=true` of `/computeMetadata/v1/` answers.
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
}

impl Metadata {
    /// Reads what stands at `/computeMetadata/v1/`, such as the dump of a VM's `?recursive=true`.
    ///
    /// Keys that differ from GCE's own in case only become GCE's own. A service account that the JSON names in one way is
    /// completed so that it is served under its e-mail and all its aliases.
    ///
    /// # Errors
    /// If it has none of the keys that metadata has, or a value can't be what its place says it is, such as a list where an object
    /// belongs, or it nests more than [`Tree::MAX_DEPTH`] levels deep; the error names the place.
    pub fn from_json(v1: Value) -> Result<Self, MetadataError> {
        let mut walk = Walk::default();
        let metadata = Self::read_dump(v1, &mut walk);
        walk.first_error().map_or(Ok(metadata), Err)
    }

    /// All findings in such JSON: the errors for which [`from_json`](Self::from_json) refuses it, values that it takes though GCE
    /// would not serve them, and keys that GCE is not known to have.
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

    /// Whether an object has a key that metadata has at its top, in any case.
    pub fn is_like(object: &Map<String, Value>) -> bool {
        const ROOTS: [&str; 4] = ["instance", "oslogin", "project", "universe"];
        ROOTS.iter().any(|root| object.keys().any(|key| key.eq_ignore_ascii_case(root)))
    }

    /// Reads the object that stands at `/computeMetadata/v1/` as a part of a larger document. The walk gets the findings; after
    /// an error the metadata is incomplete. The document must have been [bounded](Walk::bounded).
    pub fn read(v1: Map<String, Value>, walk: &mut Walk) -> Self {
        Self::complete(canonical(v1, walk))
    }

    fn read_dump(v1: Value, walk: &mut Walk) -> Self {
        let bounded = walk.bounded(v1);
        let Some(v1) = bounded.and_then(|v1| walk.object(v1)) else { return Self::complete(Value::Null) };
        if v1.contains_key("computeMetadata") {
            walk.error("a config, not metadata: pass the object at `computeMetadata.v1`");
        } else if !Self::is_like(&v1) {
            walk.error("no metadata, which has instance and project");
        }
        Self::read(v1, walk)
    }

    /// Checks a value that is to stand at this path of the tree, and gives its keys GCE's spelling.
    pub(crate) fn checked(mut value: Value, segments: &[&str]) -> Result<Value, MetadataError> {
        let mut walk = Walk::default();
        walk.canonicalize(&mut value, segments);
        match walk.first_error() {
            Some(error) => Err(error),
            None => Ok(value),
        }
    }

    /// Of an object that needs no checking.
    pub(crate) fn complete(mut v1: Value) -> Self {
        accounts::complete(&mut v1);
        Self { v1, os_login: None }
    }

    /// Nothing but what a VM always has, to be completed by the methods below.
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
        Self { v1: json!({"instance": {"attributes": {}}, "project": {"attributes": {}}}), os_login: None }
    }

    /// With this value for a key of the instance, in the JSON's spelling or in that of paths: `id`, `networkInterfaces`,
    /// `machine-type`. A value that nests deeper than [`Tree::MAX_DEPTH`] allows is replaced by null, and an error is logged.
    pub fn with_instance(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.put(&["instance", &schema::camel_case(key)], value.into());
        self
    }

    /// With this value for a key of the project, in the JSON's spelling or in that of paths, as [`with_instance`](Self::with_instance)
    /// has it for the instance.
    pub fn with_project(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.put(&["project", &schema::camel_case(key)], value.into());
        self
    }

    /// With this attribute of the instance, the project's staying as they are.
    pub fn with_attribute(mut self, key: &str, value: &str) -> Self {
        self.put(&["instance", "attributes", key], value.into());
        self
    }

    /// With this attribute of the project.
    pub fn with_project_attribute(mut self, key: &str, value: &str) -> Self {
        self.put(&["project", "attributes", key], value.into());
        self
    }

    /// With another `project/project-id`.
    pub fn with_project_id(self, id: &str) -> Self {
        self.with_project("projectId", id)
    }

    /// With another `project/numeric-project-id`.
    pub fn with_numeric_project_id(self, id: u64) -> Self {
        self.with_project("numericProjectId", id)
    }

    /// With another e-mail for the default service account, which is made if there is none.
    pub fn with_service_account(mut self, email: &str) -> Self {
        const EMAIL: [&str; 4] = ["instance", "serviceAccounts", "default", "email"];
        let old = self.put(&EMAIL, email.into());
        if let Some(old) = old.as_str().filter(|old| !old.is_empty() && *old != email) {
            accounts::rename(&mut self.v1, old, email);
        }
        accounts::complete(&mut self.v1);
        self
    }

    /// With these people and groups in OS Login. It answers once the attribute `enable-oslogin` is `TRUE`.
    pub fn with_os_login(mut self, os_login: OsLogin) -> Self {
        if self.v1["oslogin"].is_null() {
            self.v1["oslogin"] = json!({"authenticate": {"sessions": {}}});
        }
        self.os_login = Some(Arc::new(os_login));
        self
    }

    /// Whether the attribute `enable-oslogin` of the instance, or else of the project, switches OS Login on.
    pub fn enables_os_login(&self) -> bool {
        Tree::from_json(&self.v1).is_switched_on(os_login::SWITCH)
    }

    /// Puts a value where these keys lead, making objects on the way, and gives back what was there.
    fn put(&mut self, keys: &[&str], value: Value) -> Value {
        let place = keys.iter().fold(&mut self.v1, |node, key| {
            if !node.is_object() {
                *node = json!({});
            }
            &mut node[*key]
        });
        std::mem::replace(place, depth::or_null(value, Tree::MAX_DEPTH - keys.len()))
    }

    /// The tree that serves it.
    pub fn tree(&self) -> Tree {
        Tree::from_json(&self.v1).with_os_login(self.os_login.clone())
    }
}

/// Attributes and workload identities hold secrets.
impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata").finish_non_exhaustive()
    }
}

fn canonical(v1: Map<String, Value>, walk: &mut Walk) -> Value {
    // It would become a part of GCE's own `oslogin`, and be served, secrets and all.
    let is_misplaced = |(key, value): &(&String, &Value)| {
        key.eq_ignore_ascii_case("oslogin") && OsLogin::KEYS.iter().any(|key| value.get(key).is_some())
    };
    for (key, _) in v1.iter().filter(is_misplaced) {
        let remedy = "it stands beside `computeMetadata`; put a dump into {\"computeMetadata\": {\"v1\": …}} first";
        walk.below(key.as_str(), |walk| walk.error(remedy));
    }
    let mut v1 = Value::Object(v1);
    walk.canonicalize(&mut v1, &[]);
    v1
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn error(json: Value) -> String {
        Metadata::from_json(json).unwrap_err().to_string()
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        assert_eq!(error(json!([])), "top level: an object is expected, not a list");
        assert_eq!(error(json!({"instanec": {}})), "top level: no metadata, which has instance and project");
        assert_eq!(
            error(json!({"computeMetadata": {"v1": {"instance": {}}}})),
            "top level: a config, not metadata: pass the object at `computeMetadata.v1`"
        );
        assert_eq!(error(json!({"instance": 5})), "instance: an object is expected, not a number");
        assert_eq!(
            error(json!({"instance": {"networkInterfaces": [{"accessConfigs": {}}]}})),
            "instance.networkInterfaces[0].accessConfigs: a list is expected, not an object"
        );
        assert_eq!(
            error(json!({"instance": {"ServiceAccounts": {"default": "a@example.com"}}})),
            "instance.ServiceAccounts.default: an object is expected, not a string"
        );
    }

    #[test]
    fn who_may_log_in_is_beside_the_tree_and_never_in_it() {
        let section = json!({
            "loginProfiles": [{"name": "ada@example.com", "posixAccounts": [{"username": "ada", "uid": 2001}]}],
            "challenges": {"ada@example.com": [{"type": "SECURITY_KEY_OTP", "code": "hidden"}]},
        });
        let v1 = json!({"instance": {"id": 1, "workloadIdentities": "hidden"}});
        let os_login = OsLogin::from_json(section.clone()).unwrap();
        let metadata = Metadata::from_json(v1).unwrap().with_os_login(os_login);
        assert!(!format!("{metadata:?}").contains("hidden"));
        let tree = metadata.tree();
        assert_eq!(tree.get("").unwrap().json(), r#"{"instance":{"id":1},"oslogin":{"authenticate":{"sessions":{}}}}"#);
        assert!(!format!("{tree:?}").contains("hidden"));
        for key in ["OSlogin", "oslogin"] {
            let mut misplaced = json!({"instance": {}});
            misplaced[key] = section.clone();
            assert!(error(misplaced).contains("login: it stands beside `computeMetadata`"));
        }
    }

    #[test]
    fn os_login_is_enabled_by_an_attribute_of_the_instance_or_the_project() {
        let enabled = |v1| Metadata::from_json(v1).unwrap().enables_os_login();
        let attributes = |switch: &str| json!({"attributes": {"enable-oslogin": switch}});
        assert!(enabled(json!({"instance": attributes("TRUE")})) && enabled(json!({"project": attributes("TRUE")})));
        assert!(!enabled(json!({"instance": attributes("FALSE"), "project": attributes("TRUE")})));
        assert!(!enabled(json!({"instance": {}})));
    }

    #[test]
    fn whatever_is_set_first_a_setter_has_its_way() {
        let metadata = Metadata::empty().with_instance("serviceAccounts", "odd").with_instance("attributes", 1);
        let tree = metadata.with_attribute("a", "b").with_service_account("sa@example.com").tree();
        assert_eq!(tree.text("instance/attributes/a").unwrap(), "b");
        assert_eq!(tree.text("instance/service-accounts/default/email").unwrap(), "sa@example.com");
    }

    #[test]
    fn overrides_show_in_leaves_and_in_recursion() {
        let tree = Metadata::from_json(json!({"project": {"projectId": "old"}}))
            .unwrap()
            .with_project_id("new")
            .with_numeric_project_id(42)
            .with_service_account("sa@example.com")
            .tree();
        assert_eq!(tree.text("project/project-id").unwrap(), "new");
        assert_eq!(tree.get("project").unwrap().json(), r#"{"numericProjectId":42,"projectId":"new"}"#);
        assert_eq!(tree.text("instance/service-accounts/default/email").unwrap(), "sa@example.com");
        assert_eq!(tree.text("instance/service-accounts/sa@example.com/email").unwrap(), "sa@example.com");
    }
}
