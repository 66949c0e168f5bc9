//! What a VM's metadata is before it is a tree: JSON in GCE's own shape, checked and completed.

mod canonical;

pub use canonical::MetadataError;

use crate::accounts;
use crate::tree::Tree;
use canonical::kind;
use serde_json::{Value, json};

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    v1: Value,
}

impl Metadata {
    /// Reads a config (`{"computeMetadata":{"v1":{…}}}`) or a bare dump of a VM's `?recursive=true`.
    ///
    /// Keys that differ from GCE's own in case only become GCE's own. A service account that the JSON names in one way is
    /// completed so that it is served in all: by e-mail and by alias.
    pub fn from_json(json: Value) -> Result<Self, MetadataError> {
        let mut path = Vec::new();
        let Value::Object(mut document) = json else {
            return Err(MetadataError::new(&path, format!("an object is expected, not {}", kind(&json))));
        };
        let v1 = if let Some(outer) = document.remove("computeMetadata") {
            path.push("computeMetadata".to_owned());
            let Value::Object(mut outer) = outer else {
                return Err(MetadataError::new(&path, format!("an object is expected, not {}", kind(&outer))));
            };
            path.push("v1".to_owned());
            match outer.remove("v1") {
                Some(Value::Object(v1)) => v1,
                Some(other) => {
                    return Err(MetadataError::new(&path, format!("an object is expected, not {}", kind(&other))));
                }
                None => return Err(MetadataError::new(&path[..1], "`v1` is missing: it holds instance and project")),
            }
        } else {
            document
        };
        const ROOTS: [&str; 4] = ["instance", "oslogin", "project", "universe"];
        if path.is_empty() && !ROOTS.iter().any(|root| v1.keys().any(|key| key.eq_ignore_ascii_case(root))) {
            let problem = "neither a config, which has computeMetadata.v1, nor a dump, which has instance and project";
            return Err(MetadataError::new(&path, problem));
        }
        let mut v1 = Value::Object(v1);
        canonical::canonicalize(&mut v1, &[], &mut path)?;
        Ok(Self::complete(v1))
    }

    /// Checks a value that is to stand at this path of the tree, and gives its keys GCE's spelling.
    pub(crate) fn checked(mut value: Value, segments: &[&str]) -> Result<Value, MetadataError> {
        canonical::canonicalize(&mut value, segments, &mut Vec::new())?;
        Ok(value)
    }

    /// Of an object that needs no checking.
    pub(crate) fn complete(mut v1: Value) -> Self {
        accounts::complete(&mut v1);
        Self { v1 }
    }

    /// Nothing but what a VM always has, to be completed by the methods below.
    ///
    /// ```
    /// use gce_metadata_routes::Metadata;
    ///
    /// let tree = Metadata::empty()
    ///     .with_project_id("my-project")
    ///     .with_instance("machineType", "projects/1/machineTypes/e2-medium")
    ///     .with_attribute("my-key", "my value")
    ///     .with_service_account("vm@my-project.iam.gserviceaccount.com")
    ///     .tree();
    /// assert_eq!(tree.text("instance/machine-type").unwrap(), "projects/1/machineTypes/e2-medium");
    /// assert_eq!(tree.text("instance/attributes/my-key").unwrap(), "my value");
    /// ```
    pub fn empty() -> Self {
        Self { v1: json!({"instance": {"attributes": {}}, "project": {"attributes": {}}}) }
    }

    /// With this value for a key of the instance, spelled as in GCE's JSON: `id`, `zone`, `networkInterfaces`.
    pub fn with_instance(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.put(&["instance", key], value.into());
        self
    }

    /// With this value for a key of the project, spelled as in GCE's JSON.
    pub fn with_project(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.put(&["project", key], value.into());
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

    /// Puts a value where these keys lead, making objects on the way, and gives back what was there.
    fn put(&mut self, keys: &[&str], value: Value) -> Value {
        let place = keys.iter().fold(&mut self.v1, |node, key| {
            if !node.is_object() {
                *node = json!({});
            }
            &mut node[*key]
        });
        std::mem::replace(place, value)
    }

    /// The tree that serves it.
    pub fn tree(&self) -> Tree {
        Tree::from_json(&self.v1)
    }
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
