//! What a VM's metadata is before it is a tree: JSON in GCE's own shape, checked and completed.

mod canonical;
mod check;
mod expect;
mod finding;
mod gce_types;
mod walk;

pub use finding::{Finding, MetadataError, Severity};
pub(crate) use gce_types::conform;
pub(crate) use walk::Walk;

use crate::accounts;
use crate::depth;
use crate::os_login::OsLogin;
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
/// let config = json!({"computeMetadata": {"v1": {"project": {"projectId": "my-project"}}}});
/// let tree = Metadata::from_json(config).unwrap().with_project_id("another").tree();
/// assert_eq!(tree.text("project/project-id").unwrap(), "another");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Metadata {
    v1: Value,
    os_login: Option<Arc<OsLogin>>,
}

impl Metadata {
    /// Reads a config (`{"computeMetadata":{"v1":{…}}}`) or a bare dump of a VM's `?recursive=true`.
    ///
    /// Keys that differ from GCE's own in case only become GCE's own. A service account that the JSON names in one way is
    /// completed so that it is served in all: by e-mail and by alias.
    ///
    /// # Errors
    /// If it is neither a config nor a dump, or a value can't be what its place says it is, such as a list where an object
    /// belongs, or it nests more than [`Tree::MAX_DEPTH`] levels deep; the error names the place.
    pub fn from_json(json: Value) -> Result<Self, MetadataError> {
        let mut walk = Walk::default();
        let (v1, os_login) = read(json, &mut walk);
        let metadata = Self::complete(v1);
        match walk.first_error() {
            Some(error) => Err(error),
            None => Ok(match os_login {
                Some(os_login) => metadata.with_os_login(os_login),
                None => metadata,
            }),
        }
    }

    /// All that is to be said about a config or a dump: the errors for which [`from_json`](Self::from_json) refuses it, what it
    /// takes though GCE would not serve it so, and keys that GCE is not known to have.
    ///
    /// ```
    /// use gce_metadata_routes::{Metadata, Severity};
    /// use serde_json::json;
    ///
    /// let findings = Metadata::check(json!({"instance": {"preempted": true}}));
    /// assert_eq!(findings[0].severity(), Severity::Warning);
    /// assert_eq!(findings[0].path(), ["instance", "preempted"]);
    /// ```
    pub fn check(json: Value) -> Vec<Finding> {
        let mut walk = Walk::thorough();
        read(json, &mut walk);
        walk.findings
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

/// The key of the section that no part of the tree is made of.
const OS_LOGIN: &str = "osLogin";

/// What stands at `/computeMetadata/v1/`, as GCE would have written it, and beside it.
fn read(json: Value, walk: &mut Walk) -> (Value, Option<OsLogin>) {
    const ROOTS: [&str; 4] = ["instance", "oslogin", "project", "universe"];
    let bounded = walk.bounded(json);
    let Some(mut document) = bounded.and_then(|json| walk.object(json)) else { return (Value::Null, None) };
    let Some(outer) = document.remove("computeMetadata") else {
        if !ROOTS.iter().any(|root| document.keys().any(|key| key.eq_ignore_ascii_case(root))) {
            walk.error("neither a config, which has computeMetadata.v1, nor a dump, which has instance and project");
        }
        return (canonical(document, walk), None);
    };
    let v1 = walk.below("computeMetadata", |walk| {
        let Some(mut outer) = walk.object(outer) else { return Value::Null };
        let Some(v1) = outer.remove("v1") else {
            walk.error("`v1` is missing: it holds instance and project");
            return Value::Null;
        };
        walk.below("v1", |walk| walk.object(v1).map_or(Value::Null, |v1| canonical(v1, walk)))
    });
    let section = document.remove(OS_LOGIN);
    let os_login = walk.below(OS_LOGIN, |walk| section.map(|section| OsLogin::read(section, walk)));
    if walk.is_thorough() && os_login.is_some() && !Tree::from_json(&v1).is_switched_on("enable-oslogin") {
        walk.below(OS_LOGIN, |walk| {
            walk.warn(
                "OS Login answers 404 until the attribute `enable-oslogin` of instance or project is TRUE: set it",
            );
        });
    }
    for (key, _) in document {
        let is_section = key.eq_ignore_ascii_case(OS_LOGIN);
        walk.below(key, |walk| match is_section {
            true => walk.error(format!("this key is spelled `{OS_LOGIN}`: rename it, or remove it")),
            false if walk.is_thorough() => walk.note("nothing looks at this key"),
            false => {}
        });
    }
    (v1, os_login)
}

fn canonical(v1: Map<String, Value>, walk: &mut Walk) -> Value {
    // It would become a part of GCE's own `oslogin`, and be served, secrets and all.
    let is_misplaced = |(key, value): &(&String, &Value)| {
        key.eq_ignore_ascii_case(OS_LOGIN) && OsLogin::KEYS.iter().any(|key| value.get(key).is_some())
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
    fn a_config_and_a_dump_are_the_same() {
        let v1 = json!({"instance": {"id": 1}, "project": {"projectId": "p"}});
        let config = json!({"computeMetadata": {"v1": v1.clone()}});
        assert_eq!(Metadata::from_json(config).unwrap(), Metadata::from_json(v1).unwrap());
        assert!(Metadata::from_json(json!({"computeMetadata": {"v1": {}}})).is_ok(), "a VM may have nothing to say");
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        assert_eq!(error(json!([])), ".: an object is expected, not a list");
        assert!(error(json!({"computeMetdata": {}})).starts_with(".: neither a config"));
        assert_eq!(
            error(json!({"computeMetadata": {"v2": {}}})),
            "computeMetadata: `v1` is missing: it holds instance and project"
        );
        let config = |v1| json!({"computeMetadata": {"v1": v1}});
        assert_eq!(
            error(config(json!({"instance": 5}))),
            "computeMetadata.v1.instance: an object is expected, not a number"
        );
        assert_eq!(
            error(config(json!({"instance": {"networkInterfaces": [{"accessConfigs": {}}]}}))),
            "computeMetadata.v1.instance.networkInterfaces[0].accessConfigs: a list is expected, not an object"
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
        let config = json!({"computeMetadata": {"v1": v1}, "osLogin": section.clone()});
        let metadata = Metadata::from_json(config).unwrap();
        assert!(!format!("{metadata:?}").contains("hidden"));
        let tree = metadata.tree();
        assert_eq!(tree.get("").unwrap().json(), r#"{"instance":{"id":1},"oslogin":{"authenticate":{"sessions":{}}}}"#);
        assert!(!format!("{tree:?}").contains("hidden"));
        for misplaced in [
            json!({"instance": {}, "OSlogin": section.clone()}),
            json!({"computeMetadata": {"v1": {"instance": {}, "oslogin": section}}}),
        ] {
            assert!(error(misplaced).contains("login: it stands beside `computeMetadata`"));
        }
        assert!(
            error(json!({"computeMetadata": {"v1": {}}, "osLogin": {"loginProfiles": [{}]}}))
                .starts_with("osLogin.loginProfiles[0]: `name` is missing")
        );
    }

    #[test]
    fn a_section_is_read_by_its_own_name_and_no_other_is_passed_over() {
        for beside in [json!({"oslogin": {}}), json!({"osLogin": {}, "OsLogin": {}})] {
            let mut config =
                json!({"computeMetadata": {"v1": {"instance": {"attributes": {"enable-oslogin": "TRUE"}}}}});
            config.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
            assert_eq!(Metadata::check(config.clone()).len(), 1);
            assert!(error(config).ends_with("ogin: this key is spelled `osLogin`: rename it, or remove it"));
        }
    }

    #[test]
    fn a_section_that_is_switched_off_is_warned_of() {
        let check = |switch: &str| {
            let attributes = json!({"enable-oslogin": switch});
            let v1 = json!({"instance": {"attributes": attributes}});
            Metadata::check(json!({"computeMetadata": {"v1": v1}, "osLogin": {}})).len()
        };
        assert_eq!((check("TRUE"), check("FALSE")), (0, 1));
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
