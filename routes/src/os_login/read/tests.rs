//! Tests of reading the section `osLogin`: its errors, and the config without secrets.

use super::*;

fn errors(change: Value) -> Vec<String> {
    let mut section = json!({
        "loginProfiles": [{"name": "ada@example.com", "posixAccounts": [{"username": "ada", "uid": "2001"}]}],
        "posixGroups": [{"name": "builders", "gid": 3001}],
    });
    json_patch::merge(&mut section, &change);
    let mut walk = Walk::thorough();
    OsLogin::read(section, &mut walk);
    walk.into_findings().iter().map(ToString::to_string).collect()
}

#[test]
fn omitted_fields_of_a_profile_are_added() {
    let ada = json!({"name": "ada@example.com", "posixAccounts": [{"username": "ada", "uid": 2001}],
        "sshPublicKeys": {"f": {"key": "ssh-ed25519 AAAA"}}, "securityKeys": [{"publicKey": "sk"}], "other": 1});
    let os_login = OsLogin::from_json(json!({"loginProfiles": [ada]})).unwrap();
    assert_eq!(
        os_login.by_username("ada").unwrap().alone(false),
        json!({"loginProfiles": [{"name": "ada@example.com", "other": 1, "posixAccounts": [{
            "gid": "2001", "homeDirectory": "/home/ada", "operatingSystemType": "LINUX", "primary": true,
            "uid": "2001", "username": "ada",
        }], "sshPublicKeys": {"f": {"fingerprint": "f", "key": "ssh-ed25519 AAAA"}}}]})
    );
    let with_keys = os_login.by_uid("2001").unwrap().alone(true);
    assert_eq!(with_keys["loginProfiles"][0]["securityKeys"], json!([{"publicKey": "sk"}]));
}

#[test]
fn errors_have_the_path_and_the_remedy() {
    assert_eq!(errors(json!({})), Vec::<String>::new());
    assert_eq!(
        errors(
            json!({"loginProfiles": [{"posixAccounts": []}, {"name": "b", "posixAccounts": [{"username": "b", "uid": "x"}]}]})
        ),
        [
            "loginProfiles[0]: `name` is missing",
            "loginProfiles[1].posixAccounts[0].uid: an integer from 0 on is expected, not a string",
            "loginProfiles[1]: a profile needs an account: add posixAccounts",
        ]
    );
    assert_eq!(
        errors(json!({"policies": {"ada@example.com": ["root"], "bob@example.com": []}})),
        [
            "policies.ada@example.com[0]: login or adminLogin is expected",
            "policies.bob@example.com: no login profile has this name: add one to loginProfiles",
        ]
    );
    assert_eq!(
        errors(json!({"members": {"builders": ["bob"], "none": []}})),
        [
            "members.builders[0]: no login profile has an account `bob`: add one, or remove the member",
            "members.none: no such group: add it to posixGroups",
        ]
    );
    assert_eq!(errors(json!({"people": []}))[0].split(':').next(), Some("people"));
}

#[test]
fn the_config_has_null_for_secrets_and_can_be_read_again() {
    let ada = json!({"name": "ada@example.com", "posixAccounts": [{"username": "ada", "uid": "2001"}]});
    let section = |secret: Value, code: Value| {
        let challenges = json!([{"type": "TOTP", "secret": secret}, {"type": "SECURITY_KEY_OTP", "code": code}]);
        json!({"loginProfiles": [ada.clone()], "challenges": {"ada@example.com": challenges}})
    };
    let os_login = OsLogin::from_json(section("GEZDGNBV".into(), "123456".into())).unwrap();
    let config = section(Value::Null, Value::Null);
    assert_eq!(*os_login.config(), config);
    let again = OsLogin::from_json(config).unwrap();
    let challenges = &again.by_email("ada@example.com").unwrap().challenges;
    assert!(challenges.iter().all(|challenge| !challenge.is_met(Some("123456"), 0)), "no answer is accepted");
}

#[test]
fn errors_contain_no_secret() {
    let challenges = json!([
        {"type": "TOTP", "secret": "hidden-189"}, {"type": "TOTP", "secret": 189}, {"type": "AUTHZEN", "approves": "hidden"},
        {"type": "SECURITY_KEY_OTP", "code": ["hidden"]}, {"type": "hidden"},
    ]);
    let errors = errors(json!({"challenges": {"ada@example.com": challenges}}));
    assert_eq!(errors.len(), 5, "{errors:?}");
    assert!(errors.iter().all(|error| !error.contains("hidden") && !error.contains("189")), "{errors:?}");
}

#[test]
fn names_and_uids_that_the_guest_refuses_and_duplicates_are_warnings() {
    let account = json!([{"username": "-ada", "uid": 999}]);
    let warnings = errors(json!({"loginProfiles": [{"name": "ada@example.com", "posixAccounts": account}]}));
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    let profile = |email: &str, uid: u64| json!({"name": email, "posixAccounts": [{"username": email, "uid": uid}]});
    let twice = json!({"username": "ada", "uid": 2001});
    let ada = json!({"name": "ada", "posixAccounts": [twice, twice]});
    let profiles = json!([ada, {}, profile("bob", 2001), profile("ada", 2002), profile("eve", 2003)]);
    assert_eq!(
        errors(json!({"loginProfiles": profiles})),
        [
            "loginProfiles[1]: `name` is missing",
            "loginProfiles[2]: `ada` has the same name, username or uid, and is found first: change one",
            "loginProfiles[3]: `ada` has the same name, username or uid, and is found first: change one",
        ]
    );
}
