//! The config document: its sections, and the reader of each section.
//!
//! A document is `{"computeMetadata": {"v1": …}}` with optional further sections, or a dump of a VM's `?recursive=true`, which has
//! no sections. A new section needs a name in `OTHER_SECTIONS`, a field of [`ConfigDocument`], and its reader in `read_sections`.

use gce_metadata_routes::{Finding, Metadata, MetadataError, OsLogin, Walk, nearest};
use serde_json::{Map, Value};

const METADATA: &str = "computeMetadata";
const V1: &str = "v1";
const OS_LOGIN: &str = "osLogin";

/// The key that names the JSON Schema of a document for editors.
const SCHEMA: &str = "$schema";

const SIMULATION: &str = "simulation";

/// The sections besides `computeMetadata`.
const OTHER_SECTIONS: [&str; 1] = [OS_LOGIN];

/// A parsed config document.
///
/// ```
/// use gce_metadata_server::ConfigDocument;
/// use serde_json::json;
///
/// let config = json!({"computeMetadata": {"v1": {"project": {"projectId": "my-project"}}}});
/// let metadata = ConfigDocument::from_json(config).unwrap().metadata;
/// assert_eq!(metadata.tree().text("project/project-id").unwrap(), "my-project");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigDocument {
    /// The metadata of `computeMetadata` or of the dump, with the users and groups of `osLogin`.
    pub metadata: Metadata,
}

impl ConfigDocument {
    /// Parses a config, or a dump of a VM's `?recursive=true`.
    ///
    /// # Errors
    /// If the JSON is neither, or a section is invalid. The error contains the path.
    pub fn from_json(json: Value) -> Result<Self, MetadataError> {
        let mut walk = Walk::default();
        let document = Self::read(json, &mut walk);
        walk.first_error().map_or(Ok(document), Err)
    }

    /// All findings in a config: the errors of [`from_json`](Self::from_json), and also warnings and notices.
    pub(super) fn check(json: Value) -> Vec<Finding> {
        let mut walk = Walk::thorough();
        Self::read(json, &mut walk);
        walk.into_findings()
    }

    fn read(json: Value, walk: &mut Walk) -> Self {
        let shallow = walk.bounded(json);
        let Some(mut document) = shallow.and_then(|json| walk.object(json)) else {
            return Self { metadata: Metadata::empty() };
        };
        // Editors read it; it is no metadata.
        document.remove(SCHEMA);
        match remove(&mut document, METADATA, walk) {
            Some((key, section)) => Self::read_sections(&key, section, document, walk),
            None => {
                if !Metadata::is_like(&document) {
                    walk.error(not_metadata(&document));
                    if Metadata::part_of(&document).is_some() {
                        // Its keys are at the wrong path, so findings about them would mislead.
                        return Self { metadata: Metadata::empty() };
                    }
                }
                Self { metadata: Metadata::read(document, walk) }
            }
        }
    }

    fn read_sections(key: &str, metadata: Value, mut others: Map<String, Value>, walk: &mut Walk) -> Self {
        let mut metadata = walk.below(key, |walk| read_metadata(metadata, walk));
        if let Some(section) = others.remove(OS_LOGIN) {
            metadata = walk.below(OS_LOGIN, |walk| with_os_login(metadata, section, walk));
        }
        // The section of an exported document that `--simulation` reads.
        others.remove(SIMULATION);
        for (key, _) in others {
            let section = OTHER_SECTIONS.into_iter().find(|section| key.eq_ignore_ascii_case(section));
            walk.below(key, |walk| match section {
                Some(section) => {
                    walk.error(format!("the section is called `{section}`: rename this key, or remove it"))
                }
                None if walk.is_thorough() => {
                    let suggestion = suggestion(walk.key(), [OS_LOGIN]);
                    walk.note(format!("unknown section, ignored{suggestion}"));
                }
                None => {}
            });
        }
        Self { metadata }
    }
}

fn read_metadata(section: Value, walk: &mut Walk) -> Metadata {
    let v1 = walk.object(section).and_then(|mut section| {
        let v1 = remove(&mut section, V1, walk);
        if v1.is_none() {
            walk.error("`v1` is missing: it contains instance and project");
        }
        v1
    });
    let (key, v1) = v1.map_or_else(|| (V1.to_owned(), None), |(key, v1)| (key, Some(v1)));
    walk.below(key, |walk| Metadata::read(v1.and_then(|v1| walk.object(v1)).unwrap_or_default(), walk))
}

/// The error for an object without a key of a config or of metadata.
fn not_metadata(document: &Map<String, Value>) -> String {
    if let Some(part) = Metadata::part_of(document) {
        return part.to_owned();
    }
    let suggestions = document.keys().map(|key| suggestion(key, [METADATA, "instance", "project", "universe"]));
    let suggestion = suggestions.into_iter().find(|suggestion| !suggestion.is_empty()).unwrap_or_default();
    format!(
        "neither a config (computeMetadata.v1 is missing) nor a dump (instance and project are missing){suggestion}"
    )
}

fn suggestion<const N: usize>(key: &str, known: [&'static str; N]) -> String {
    nearest(key, known).map(|known| format!(": did you mean `{known}`?")).unwrap_or_default()
}

/// Removes a key, in any case as Go reads it, and returns it as written with its value. The usual spelling takes precedence.
fn remove(object: &mut Map<String, Value>, key: &str, walk: &mut Walk) -> Option<(String, Value)> {
    if let Some(value) = object.remove(key) {
        return Some((key.to_owned(), value));
    }
    let written = object.keys().find(|other| other.eq_ignore_ascii_case(key)).cloned()?;
    if walk.is_thorough() {
        walk.below(written.as_str(), |walk| walk.note(format!("read as `{key}`, the usual spelling")));
    }
    let value = object.remove(&written)?;
    Some((written, value))
}

fn with_os_login(metadata: Metadata, section: Value, walk: &mut Walk) -> Metadata {
    let os_login = OsLogin::read(section, walk);
    if walk.is_thorough() && !metadata.enables_os_login() {
        walk.warn("OS Login answers 404: set the attribute `enable-oslogin` of the instance or the project to TRUE");
    }
    metadata.with_os_login(os_login)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn error(json: Value) -> String {
        ConfigDocument::from_json(json).unwrap_err().to_string()
    }

    #[test]
    fn a_config_and_a_dump_give_equal_metadata() {
        let v1 = json!({"instance": {"id": 1}, "project": {"projectId": "p"}});
        let config = json!({"computeMetadata": {"v1": v1.clone()}});
        let metadata = Metadata::from_json(v1.clone()).unwrap();
        for json in [config, v1] {
            assert_eq!(ConfigDocument::from_json(json).unwrap().metadata, metadata);
        }
        let empty = json!({"computeMetadata": {"v1": {}}});
        assert!(ConfigDocument::from_json(empty).is_ok(), "a config may be empty");
    }

    #[test]
    fn an_error_has_the_full_path_from_the_top_level() {
        assert_eq!(error(json!([])), "top level: an object is expected, not a list");
        assert_eq!(ConfigDocument::check(json!([])).len(), 1);
        assert!(error(json!({"computeMetdata": {}})).starts_with("top level: neither a config"));
        assert_eq!(
            error(json!({"computeMetadata": {"v2": {}}})),
            "computeMetadata: `v1` is missing: it contains instance and project"
        );
        assert_eq!(error(json!({"computeMetadata": 5})), "computeMetadata: an object is expected, not a number");
        assert_eq!(
            error(json!({"computeMetadata": {"v1": []}})),
            "computeMetadata.v1: an object is expected, not a list"
        );
        let config = |v1| json!({"computeMetadata": {"v1": v1}});
        assert_eq!(
            error(config(json!({"instance": 5}))),
            "computeMetadata.v1.instance: an object is expected, not a number"
        );
        assert!(
            error(json!({"computeMetadata": {"v1": {}}, "osLogin": {"loginProfiles": [{}]}}))
                .starts_with("osLogin.loginProfiles[0]: `name` is missing")
        );
    }

    #[test]
    fn a_pasted_instance_or_project_is_an_error_with_the_wrapper_that_it_needs() {
        let instance = json!({"attributes": {}, "id": 1, "name": "vm-1"});
        assert!(
            error(instance.clone()).contains("an instance alone, as instance/?recursive=true answers it: wrap it as")
        );
        assert!(Metadata::from_json(instance).unwrap_err().to_string().contains("{\"instance\": …}"));
        assert!(error(json!({"projectId": "p"})).ends_with("wrap it as {\"project\": …}"));
        let attributes = json!({"attributes": {"color": "blue"}, "id": 1, "name": "vm-1"});
        assert_eq!(ConfigDocument::check(attributes).len(), 1, "no findings about the keys");
    }

    #[test]
    fn misspelled_sections_have_a_suggestion() {
        assert!(error(json!({"computeMetdata": {}})).ends_with(": did you mean `computeMetadata`?"));
        let section = json!({"computeMetadata": {"v1": {"instance": {"name": "a"}}}, "osLogn": {}});
        assert_eq!(
            ConfigDocument::check(section)[0].to_string(),
            "osLogn: unknown section, ignored: did you mean `osLogin`?"
        );
    }

    #[test]
    fn a_schema_key_is_taken_without_a_finding_and_not_served() {
        let dump = json!({"$schema": "config.schema.json", "instance": {"name": "a"}});
        let config = json!({"$schema": "x", "computeMetadata": {"v1": {"instance": {"name": "a"}}}});
        for document in [dump, config] {
            assert_eq!(ConfigDocument::check(document.clone()), []);
            let tree = ConfigDocument::from_json(document).unwrap().metadata.tree();
            assert!(tree.get("$schema").is_none() && tree.text("instance/name").is_some());
        }
    }

    #[test]
    fn too_deep_nesting_is_an_error() {
        let nested = |levels| (0..levels).fold(json!(1), |value, _| Value::Array(vec![value]));
        let config = |key: &str, value| {
            let mut config = json!({"computeMetadata": {"v1": {"instance": {}}}});
            config["computeMetadata"]["v1"]["instance"][key] = value;
            config
        };
        assert!(ConfigDocument::from_json(config("odd", nested(96))).is_ok());
        for levels in [97, 100_000] {
            assert!(error(config("odd", nested(levels))).ends_with(": nested more than 100 levels deep: flatten it"));
        }
        let mut beside = json!({"computeMetadata": {"v1": {}}});
        beside["other"] = nested(100_000);
        assert_eq!(ConfigDocument::check(beside).len(), 1);
    }

    #[test]
    fn os_login_is_part_of_the_metadata_but_not_of_the_tree() {
        let section = json!({"loginProfiles": [{"name": "ada@example.com", "posixAccounts": [{"username": "ada", "uid": 2001}]}]});
        let config = json!({"computeMetadata": {"v1": {"instance": {"id": 1}}}, "osLogin": section.clone()});
        let metadata = ConfigDocument::from_json(config).unwrap().metadata;
        let expected = Metadata::from_json(json!({"instance": {"id": 1}})).unwrap();
        assert_eq!(metadata, expected.with_os_login(OsLogin::from_json(section.clone()).unwrap()));
        let misplaced = json!({"computeMetadata": {"v1": {"instance": {}, "oslogin": section}}});
        assert!(error(misplaced).starts_with("computeMetadata.v1.oslogin: it belongs beside `computeMetadata`"));
    }

    #[test]
    fn a_section_name_in_another_case_is_an_error() {
        let vm = json!({"v1": {"instance": {"name": "vm-1", "attributes": {"enable-oslogin": "TRUE"}}}});
        for beside in [json!({"oslogin": {}}), json!({"osLogin": {}, "OsLogin": {}})] {
            let mut config = json!({"computeMetadata": vm});
            config.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
            assert_eq!(ConfigDocument::check(config.clone()).len(), 1);
            assert!(error(config).ends_with("ogin: the section is called `osLogin`: rename this key, or remove it"));
        }
        let other = json!({"computeMetadata": vm, "comment": 1});
        assert!(ConfigDocument::from_json(other.clone()).is_ok());
        assert_eq!(ConfigDocument::check(other)[0].to_string(), "comment: unknown section, ignored");
    }

    #[test]
    fn wrapper_keys_are_read_in_any_case() {
        let config = |outer: &str, inner: &str, v1: Value| json!({outer: {inner: v1}});
        let vm =
            json!({"Instance": {"Name": "node-1", "ID": 7}, "Project": {"ProjectID": "p", "NumericProjectID": 42}});
        let read = ConfigDocument::from_json(config("ComputeMetadata", "V1", vm.clone())).unwrap();
        assert_eq!(read, ConfigDocument::from_json(config("computeMetadata", "v1", vm.clone())).unwrap());
        let tree = read.metadata.tree();
        assert_eq!(tree.text("instance/id").unwrap(), "7");
        assert_eq!(tree.text("project/numeric-project-id").unwrap(), "42");
        assert_eq!(
            error(config("COMPUTEMETADATA", "V1", json!([]))),
            "COMPUTEMETADATA.V1: an object is expected, not a list"
        );
        let findings = ConfigDocument::check(config("ComputeMetadata", "V1", json!({"instance": {"name": "a"}})));
        let findings: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            findings,
            [
                "ComputeMetadata: read as `computeMetadata`, the usual spelling",
                "ComputeMetadata.V1: read as `v1`, the usual spelling",
            ]
        );
        // Of two spellings the usual one is read.
        let mut both = config("computeMetadata", "v1", json!({"instance": {"name": "a"}}));
        both["ComputeMetadata"] = json!({});
        assert_eq!(ConfigDocument::check(both)[0].to_string(), "ComputeMetadata: unknown section, ignored");
    }

    #[test]
    fn os_login_without_enable_oslogin_is_a_warning() {
        let check = |switch: &str| {
            let attributes = json!({"enable-oslogin": switch});
            let v1 = json!({"instance": {"name": "vm-1", "attributes": attributes}});
            ConfigDocument::check(json!({"computeMetadata": {"v1": v1}, "osLogin": {}})).len()
        };
        assert_eq!((check("TRUE"), check("FALSE")), (0, 1));
    }
}
