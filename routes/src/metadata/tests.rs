//! Tests of metadata: reading, errors, and the methods that set values.

use super::*;
use serde_json::json;

fn error(json: Value) -> String {
    Metadata::from_json(json).unwrap_err().to_string()
}

#[test]
fn errors_have_the_path_of_the_value() {
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
fn text_is_parsed_and_a_syntax_error_has_line_and_column() {
    let v1 = json!({"instance": {"id": 7}});
    assert_eq!(v1.to_string().parse::<Metadata>().unwrap(), Metadata::from_json(v1).unwrap());
    let error = |text: &str| text.parse::<Metadata>().unwrap_err().to_string();
    let syntax = "top level: invalid JSON: expected `,` or `}` at line 1 column 23";
    assert_eq!(error(r#"{"instance": {"id": 7 8"#), syntax);
    assert_eq!(error(r#"{"instance": 5}"#), "instance: an object is expected, not a number");
}

#[test]
fn os_login_is_not_part_of_the_tree() {
    let section = json!({
        "loginProfiles": [{"name": "ada@example.com", "posixAccounts": [{"username": "ada", "uid": 2001}]}],
        "challenges": {"ada@example.com": [{"type": "SECURITY_KEY_OTP", "code": "hidden"}]},
    });
    let v1 = json!({"instance": {"id": 1, "workloadIdentities": "hidden"}});
    let os_login = OsLogin::from_json(section.clone()).unwrap();
    let metadata = Metadata::unfilled(v1).with_os_login(os_login);
    assert!(!format!("{metadata:?}").contains("hidden"));
    let tree = metadata.tree();
    assert_eq!(tree.get("").unwrap().json(), r#"{"instance":{"id":1},"oslogin":{"authenticate":{"sessions":{}}}}"#);
    assert!(!format!("{tree:?}").contains("hidden"));
    for key in ["OSlogin", "oslogin"] {
        let mut misplaced = json!({"instance": {}});
        misplaced[key] = section.clone();
        assert!(error(misplaced).contains("login: it belongs beside `computeMetadata`"));
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
fn with_methods_replace_values_of_the_wrong_type() {
    let metadata = Metadata::empty().with_instance("serviceAccounts", "odd").with_instance("attributes", 1);
    let tree = metadata.with_attribute("a", "b").with_service_account("sa@example.com").tree();
    assert_eq!(tree.text("instance/attributes/a").unwrap(), "b");
    assert_eq!(tree.text("instance/service-accounts/default/email").unwrap(), "sa@example.com");
}

#[test]
fn a_default_service_account_is_added_once() {
    let metadata = Metadata::empty().with_numeric_project_id(42).with_default_service_account();
    let account = metadata.tree().service_account("default").unwrap();
    assert_eq!(account.email, "42-compute@developer.gserviceaccount.com");
    assert_eq!(*account.scopes, ["https://www.googleapis.com/auth/cloud-platform"]);
    assert_eq!(metadata.clone().with_default_service_account(), metadata);
    let own = Metadata::empty().with_service_account("a@example.com");
    assert_eq!(own.clone().with_default_service_account(), own);
}

#[test]
fn overrides_are_served_in_leaves_and_in_recursion() {
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
