//! OS Login: who may log in to the VM, as GCE knows it from elsewhere than the VM's own metadata.
//!
//! It stands beside the tree, not in it: no listing and no recursion shows anything of it, and its secrets least of all.

mod challenge;
mod read;

pub(crate) use challenge::Challenge;
pub(crate) use read::POLICIES;

use serde_json::{Value, json};

/// The attribute that switches OS Login on.
pub(crate) const SWITCH: &str = "enable-oslogin";

/// The people and groups that OS Login knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OsLogin {
    profiles: Vec<Profile>,
    groups: Vec<Group>,
    /// The answer of `oslogin/certificates`, where there is one.
    authorities: Option<Value>,
}

/// One person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile {
    email: String,
    usernames: Vec<String>,
    uids: Vec<String>,
    fingerprints: Vec<String>,
    /// The profile as it is answered.
    shown: Value,
    security_keys: Option<Value>,
    policies: Vec<String>,
    challenges: Vec<Challenge>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    name: String,
    gid: String,
    /// The group as it is answered.
    shown: Value,
    usernames: Vec<String>,
}

/// A part of a list, and where the rest begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) from: usize,
    pub(crate) size: usize,
}

/// The token that says that nothing follows.
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

    pub(crate) fn authorities(&self) -> Option<&Value> {
        self.authorities.as_ref()
    }

    /// Whether a policy lets this person in with this key, if it is named. A certificate's key need not be one of the profile.
    pub(crate) fn lets_in(&self, profile: &Profile, policy: &str, fingerprint: Option<&str>) -> bool {
        let is_good = |fingerprint| self.authorities.is_some() || profile.has_key(fingerprint);
        profile.has_policy(policy) && fingerprint.is_none_or(is_good)
    }

    /// A page of profiles. The page after the last one has none, and says that it is the end.
    pub(crate) fn profiles(&self, page: Page, with_security_keys: bool) -> Value {
        match page.of(&self.profiles) {
            [] => json!({"nextPageToken": END}),
            profiles => {
                let shown: Vec<_> = profiles.iter().map(|profile| profile.shown(with_security_keys)).collect();
                json!({"loginProfiles": shown, "nextPageToken": page.next()})
            }
        }
    }

    /// A page of groups. Unlike with profiles, the last one says itself that it is the end.
    pub(crate) fn groups(&self, page: Page) -> Value {
        let next = if page.is_last(&self.groups) { END.to_owned() } else { page.next() };
        match page.of(&self.groups) {
            [] => json!({"nextPageToken": next}),
            groups => {
                json!({"nextPageToken": next, "posixGroups": groups.iter().map(|group| &group.shown).collect::<Vec<_>>()})
            }
        }
    }

    /// The groups that this person is in.
    pub(crate) fn groups_of(&self, profile: &Profile) -> Value {
        let is_in = |group: &&Group| group.usernames.iter().any(|name| profile.usernames.contains(name));
        let groups: Vec<_> = self.groups.iter().filter(is_in).map(|group| &group.shown).collect();
        json!({"nextPageToken": END, "posixGroups": groups})
    }
}

impl Group {
    pub(crate) fn alone(&self) -> Value {
        json!({"nextPageToken": END, "posixGroups": [self.shown]})
    }

    pub(crate) fn usernames(&self) -> Value {
        json!({"nextPageToken": END, "usernames": self.usernames})
    }
}

impl Profile {
    pub(crate) fn alone(&self, with_security_keys: bool) -> Value {
        json!({"loginProfiles": [self.shown(with_security_keys)]})
    }

    fn shown(&self, with_security_keys: bool) -> Value {
        let mut shown = self.shown.clone();
        if let Some(keys) = self.security_keys.as_ref().filter(|_| with_security_keys) {
            shown["securityKeys"] = keys.clone();
        }
        shown
    }

    /// The role that lets people be root on GCE also lets them log in.
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

    fn os_login(people: usize) -> OsLogin {
        let profile = |n: usize| json!({"name": format!("p{n}@example.com"), "posixAccounts": [{"username": format!("p{n}"), "uid": 2000 + n}]});
        let group = |n: usize| json!({"name": format!("g{n}"), "gid": 3000 + n});
        OsLogin::from_json(json!({
            "loginProfiles": (0..people).map(profile).collect::<Vec<_>>(),
            "posixGroups": (0..people).map(group).collect::<Vec<_>>(),
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
    fn who_may_be_root_may_log_in() {
        let lets_in = |granted: &str, policy: &str| {
            let ada = json!({"name": "ada@example.com", "posixAccounts": [{"username": "ada", "uid": 2001}]});
            let section = json!({"loginProfiles": [ada], "policies": {"ada@example.com": [granted]}});
            let os_login = OsLogin::from_json(section).unwrap();
            os_login.lets_in(os_login.by_username("ada").unwrap(), policy, None)
        };
        assert!(lets_in("adminLogin", "login") && lets_in("adminLogin", "adminLogin") && lets_in("login", "login"));
        assert!(!lets_in("login", "adminLogin"));
    }

    #[test]
    fn a_key_lets_in_its_owner_only_unless_it_may_have_a_certificate() {
        let ada = json!({"name": "ada@example.com", "posixAccounts": [{"username": "ada", "uid": 2001}],
            "sshPublicKeys": {"laptop": {"key": "ssh-ed25519 AAAA"}}});
        let mut section = json!({"loginProfiles": [ada], "policies": {"ada@example.com": ["login"]}});
        let lets_in = |section: &Value, fingerprint| {
            let os_login = OsLogin::from_json(section.clone()).unwrap();
            os_login.lets_in(os_login.by_username("ada").unwrap(), "login", fingerprint)
        };
        assert!(lets_in(&section, None) && lets_in(&section, Some("laptop")) && !lets_in(&section, Some("stolen")));
        section["trustedCertificateAuthorities"] = json!([]);
        assert!(lets_in(&section, Some("of a certificate")));
    }
}
