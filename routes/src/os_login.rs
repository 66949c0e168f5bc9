//! OS Login: users, groups, policies and second factors, which GCE keeps outside of a VM's metadata.
//!
//! They are not part of the tree, so that no listing and no recursion shows them: they contain secrets.

mod challenge;
mod read;

pub(crate) use challenge::{Challenge, KINDS};
pub(crate) use read::POLICIES;

use serde_json::{Value, json};

/// The attribute that enables OS Login.
pub(crate) const SWITCH: &str = "enable-oslogin";

/// The users and groups of OS Login, with policies and second factors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OsLogin {
    profiles: Vec<Profile>,
    groups: Vec<Group>,
    /// The answer of `oslogin/certificates`, if certificate authorities are configured.
    authorities: Option<Value>,
    /// The section of the config, without the secrets and codes of challenges.
    config: Value,
}

/// The login profile of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile {
    email: String,
    usernames: Vec<String>,
    uids: Vec<String>,
    fingerprints: Vec<String>,
    /// The JSON of the profile in answers.
    json: Value,
    security_keys: Option<Value>,
    policies: Vec<String>,
    challenges: Vec<Challenge>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    name: String,
    gid: String,
    /// The JSON of the group in answers.
    json: Value,
    usernames: Vec<String>,
}

/// A page of a list: the index of its first item, and the number of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) from: usize,
    pub(crate) size: usize,
}

/// The page token after the last page.
const END: &str = "0";

impl Page {
    fn of<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        let from = self.from.min(all.len());
        &all[from..from.saturating_add(self.size).min(all.len())]
    }

    fn next(&self) -> String {
        self.from.saturating_add(self.size).to_string()
    }

    fn is_last<T>(&self, all: &[T]) -> bool {
        self.from.saturating_add(self.size) >= all.len()
    }
}

impl OsLogin {
    pub(crate) fn by_email(&self, email: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.email == email)
    }

    pub(crate) fn by_username(&self, username: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.usernames.iter().any(|name| name == username))
    }

    pub(crate) fn by_uid(&self, uid: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.uids.iter().any(|known| known == uid))
    }

    pub(crate) fn group_by_name(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    pub(crate) fn group_by_gid(&self, gid: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.gid == gid)
    }

    /// The section of the config, without the secrets and codes of challenges.
    pub(crate) fn config(&self) -> &Value {
        &self.config
    }

    pub(crate) fn authorities(&self) -> Option<&Value> {
        self.authorities.as_ref()
    }

    /// Whether the user has this policy and, if a fingerprint is given, that key. With certificate authorities any key is accepted: it
    /// may be that of a certificate.
    pub(crate) fn authorizes(&self, profile: &Profile, policy: &str, fingerprint: Option<&str>) -> bool {
        let is_accepted = |fingerprint| self.authorities.is_some() || profile.has_key(fingerprint);
        profile.has_policy(policy) && fingerprint.is_none_or(is_accepted)
    }

    /// A page of profiles. As on GCE, an empty page follows the last one, and only that one has the end token.
    pub(crate) fn profiles(&self, page: Page, with_security_keys: bool) -> Value {
        match page.of(&self.profiles) {
            [] => json!({"nextPageToken": END}),
            profiles => {
                let profiles: Vec<_> = profiles.iter().map(|profile| profile.json(with_security_keys)).collect();
                json!({"loginProfiles": profiles, "nextPageToken": page.next()})
            }
        }
    }

    /// A page of groups. As on GCE, the last page has the end token, unlike that of profiles.
    pub(crate) fn groups(&self, page: Page) -> Value {
        let next = if page.is_last(&self.groups) { END.to_owned() } else { page.next() };
        match page.of(&self.groups) {
            [] => json!({"nextPageToken": next}),
            groups => {
                json!({"nextPageToken": next, "posixGroups": groups.iter().map(|group| &group.json).collect::<Vec<_>>()})
            }
        }
    }

    /// The groups of a user.
    pub(crate) fn groups_of(&self, profile: &Profile) -> Value {
        let is_in = |group: &&Group| group.usernames.iter().any(|name| profile.usernames.contains(name));
        let groups: Vec<_> = self.groups.iter().filter(is_in).map(|group| &group.json).collect();
        json!({"nextPageToken": END, "posixGroups": groups})
    }
}

impl Group {
    pub(crate) fn alone(&self) -> Value {
        json!({"nextPageToken": END, "posixGroups": [self.json]})
    }

    pub(crate) fn usernames(&self) -> Value {
        json!({"nextPageToken": END, "usernames": self.usernames})
    }
}

impl Profile {
    pub(crate) fn alone(&self, with_security_keys: bool) -> Value {
        json!({"loginProfiles": [self.json(with_security_keys)]})
    }

    fn json(&self, with_security_keys: bool) -> Value {
        let mut json = self.json.clone();
        if let Some(keys) = self.security_keys.as_ref().filter(|_| with_security_keys) {
            json["securityKeys"] = keys.clone();
        }
        json
    }

    /// As on GCE, `adminLogin` (root) includes `login`.
    fn has_policy(&self, policy: &str) -> bool {
        let grants = |granted: &str| granted == policy || (policy, granted) == ("login", "adminLogin");
        self.policies.iter().any(|granted| grants(granted))
    }

    fn has_key(&self, fingerprint: &str) -> bool {
        self.fingerprints.iter().any(|known| known == fingerprint)
    }

    pub(crate) fn challenges(&self) -> &[Challenge] {
        &self.challenges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os_login(users: usize) -> OsLogin {
        let profile = |n: usize| json!({"name": format!("p{n}@example.com"), "posixAccounts": [{"username": format!("p{n}"), "uid": 2000 + n}]});
        let group = |n: usize| json!({"name": format!("g{n}"), "gid": 3000 + n});
        OsLogin::from_json(json!({
            "loginProfiles": (0..users).map(profile).collect::<Vec<_>>(),
            "posixGroups": (0..users).map(group).collect::<Vec<_>>(),
        }))
        .unwrap()
    }

    #[test]
    fn the_last_page_of_profiles_is_empty_and_that_of_groups_is_not() {
        let os_login = os_login(3);
        let profiles = |from, size| {
            let page = os_login.profiles(Page { from, size }, false);
            (page["loginProfiles"].as_array().map_or(0, Vec::len), page["nextPageToken"].as_str().unwrap().to_owned())
        };
        assert_eq!(profiles(0, 2), (2, "2".into()));
        assert_eq!(profiles(2, 2), (1, "4".into()));
        assert_eq!(profiles(4, 2), (0, "0".into()));
        assert_eq!(profiles(usize::MAX, usize::MAX), (0, "0".into()));
        let groups = |from, size| {
            let page = os_login.groups(Page { from, size });
            (page["posixGroups"].as_array().map_or(0, Vec::len), page["nextPageToken"].as_str().unwrap().to_owned())
        };
        assert_eq!(groups(0, 2), (2, "2".into()));
        assert_eq!(groups(2, 2), (1, "0".into()));
        assert_eq!(groups(0, 3), (3, "0".into()));
    }

    #[test]
    fn the_admin_policy_includes_login() {
        let authorizes = |granted: &str, policy: &str| {
            let ada = json!({"name": "ada@example.com", "posixAccounts": [{"username": "ada", "uid": 2001}]});
            let section = json!({"loginProfiles": [ada], "policies": {"ada@example.com": [granted]}});
            let os_login = OsLogin::from_json(section).unwrap();
            os_login.authorizes(os_login.by_username("ada").unwrap(), policy, None)
        };
        assert!(
            authorizes("adminLogin", "login") && authorizes("adminLogin", "adminLogin") && authorizes("login", "login")
        );
        assert!(!authorizes("login", "adminLogin"));
    }

    #[test]
    fn a_key_authorizes_its_owner_only_unless_certificates_are_trusted() {
        let ada = json!({"name": "ada@example.com", "posixAccounts": [{"username": "ada", "uid": 2001}],
            "sshPublicKeys": {"laptop": {"key": "ssh-ed25519 AAAA"}}});
        let mut section = json!({"loginProfiles": [ada], "policies": {"ada@example.com": ["login"]}});
        let authorizes = |section: &Value, fingerprint| {
            let os_login = OsLogin::from_json(section.clone()).unwrap();
            os_login.authorizes(os_login.by_username("ada").unwrap(), "login", fingerprint)
        };
        assert!(
            authorizes(&section, None) && authorizes(&section, Some("laptop")) && !authorizes(&section, Some("stolen"))
        );
        section["trustedCertificateAuthorities"] = json!([]);
        assert!(authorizes(&section, Some("of a certificate")));
    }
}
