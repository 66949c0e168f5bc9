//! Reads the section `osLogin` of a config: profiles and groups in the JSON of Google's answers, and policies and challenges, which
//! no answer contains.

use super::challenge::{self, Challenge, KINDS, Proof};
use super::{Group, OsLogin, Profile};
use crate::metadata::{MetadataError, Walk};
use crate::token::Secret;
use serde_json::{Map, Value, json};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// The policies of OS Login: log in, and log in with root rights.
pub(crate) const POLICIES: [&str; 2] = ["login", "adminLogin"];

/// The members of a challenge that no answer contains.
const SECRET: &str = "secret";
const CODE: &str = "code";

/// The lowest uid that the guest's NSS module accepts.
const MIN_UID: u64 = 1000;

impl OsLogin {
    /// The keys of the section.
    pub(crate) const KEYS: [&str; 6] =
        ["loginProfiles", "posixGroups", "trustedCertificateAuthorities", "members", "policies", "challenges"];

    /// Reads OS Login from the section `osLogin` of a config.
    ///
    /// ```
    /// use gce_metadata_routes::OsLogin;
    /// use serde_json::json;
    ///
    /// let ada = json!({"name": "ada@example.com", "posixAccounts": [{"username": "ada", "uid": "2001"}]});
    /// OsLogin::from_json(json!({"loginProfiles": [ada], "policies": {"ada@example.com": ["login"]}})).unwrap();
    /// ```
    ///
    /// # Errors
    /// If a required value is missing or has the wrong type. The error has the path within the section.
    pub fn from_json(section: Value) -> Result<Self, MetadataError> {
        let mut walk = Walk::default();
        let os_login = walk.bounded(section).map(|section| Self::read(section, &mut walk)).unwrap_or_default();
        walk.first_error().map_or(Ok(os_login), Err)
    }

    /// Reads the section as a part of a larger document. Findings are added to the walk; after an error the result is incomplete. The
    /// document must have been [bounded](Walk::bounded).
    pub fn read(section: Value, walk: &mut Walk) -> Self {
        let mut section = walk.object(section).unwrap_or_default();
        let config = without_proofs(section.clone());
        let [profiles, groups, authorities, members, policies, challenges] =
            Self::KEYS.map(|key| section.remove(key).unwrap_or_default());
        for (key, _) in section {
            walk.below(key, |walk| {
                walk.error("unknown key: remove it, or see the keys of this section in docs/oslogin.md")
            });
        }

        let mut taken = BTreeMap::new();
        let profiles = walk.below("loginProfiles", |walk| {
            walk.each(profiles, |walk, value| {
                let read = profile(walk, value)?;
                if walk.is_thorough() {
                    warn_of_duplicates(walk, &read, &mut taken);
                }
                Some(read)
            })
        });
        let groups = walk.below("posixGroups", |walk| walk.each(groups, group));
        let authorities = walk.below("trustedCertificateAuthorities", |walk| match authorities {
            Value::Null => None,
            Value::Array(_) => Some(json!({"trustedCertificateAuthorities": authorities})),
            other => {
                walk.expected("a list", &other);
                None
            }
        });
        let mut os_login = Self { profiles, groups, authorities, config };
        walk.below("members", |walk| os_login.add_members(walk, members));
        walk.below("policies", |walk| os_login.add_policies(walk, policies));
        walk.below("challenges", |walk| os_login.add_challenges(walk, challenges));
        os_login
    }

    fn add_members(&mut self, walk: &mut Walk, members: Value) {
        walk.each_key(members, |walk, name, usernames| {
            let usernames = walk.each(usernames, |walk, username| {
                let username = walk.text(username)?;
                if self.by_username(&username).is_none() {
                    walk.error(format!("no login profile has an account `{username}`: add one, or remove the member"));
                }
                Some(username)
            });
            match self.groups.iter_mut().find(|group| group.name == name) {
                Some(group) => group.usernames = usernames,
                None => walk.error("no such group: add it to posixGroups"),
            }
        });
    }

    fn add_policies(&mut self, walk: &mut Walk, policies: Value) {
        walk.each_key(policies, |walk, email, policies| {
            let policies = walk.each(policies, |walk, policy| walk.one_of(policy, &POLICIES));
            if let Some(profile) = self.profile_of(walk, email) {
                profile.policies = policies;
            }
        });
    }

    fn add_challenges(&mut self, walk: &mut Walk, challenges: Value) {
        walk.each_key(challenges, |walk, email, challenges| {
            let challenges = walk.each(challenges, challenge);
            if let Some(profile) = self.profile_of(walk, email) {
                profile.challenges = challenges;
            }
        });
    }

    fn profile_of(&mut self, walk: &mut Walk, email: &str) -> Option<&mut Profile> {
        let profile = self.profiles.iter_mut().find(|profile| profile.email == email);
        if profile.is_none() {
            walk.error("no login profile has this name: add one to loginProfiles");
        }
        profile
    }
}

/// A key by which profiles are looked up.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Email(String),
    Username(String),
    Uid(String),
}

/// Warns about a profile that shares an e-mail, username or uid with an earlier one, which a lookup finds instead. `taken` has the
/// e-mails of the earlier profiles.
fn warn_of_duplicates(walk: &mut Walk, profile: &Profile, taken: &mut BTreeMap<Name, String>) {
    let usernames = profile.usernames.iter().cloned().map(Name::Username);
    let uids = profile.uids.iter().cloned().map(Name::Uid);
    // A set: a profile may have the same account twice.
    let names: BTreeSet<_> = usernames.chain(uids).chain([Name::Email(profile.email.clone())]).collect();
    let mut first = None;
    for name in names {
        match taken.entry(name) {
            Entry::Occupied(other) => first = first.or(Some(other.get().clone())),
            Entry::Vacant(free) => _ = free.insert(profile.email.clone()),
        }
    }
    if let Some(other) = first {
        walk.warn(format!("`{other}` has the same name, username or uid, and is found first: change one"));
    }
}

/// Reads a profile, and adds the fields that GCE's profiles have and a config may omit.
fn profile(walk: &mut Walk, profile: Value) -> Option<Profile> {
    let mut profile = walk.object(profile)?;
    let email = walk.required(&mut profile, "name", Walk::text)?;
    let accounts = profile.remove("posixAccounts").unwrap_or_default();
    let mut accounts = walk.below("posixAccounts", |walk| walk.each(accounts, account));
    if let [only] = accounts.as_mut_slice() {
        only.json.entry("primary").or_insert(true.into());
    }
    if accounts.is_empty() {
        walk.error("a profile needs an account: add posixAccounts");
    }
    let fingerprints = walk.below("sshPublicKeys", |walk| match profile.get_mut("sshPublicKeys") {
        Some(keys) => ssh_keys(walk, keys),
        None => Vec::new(),
    });
    let security_keys = profile.remove("securityKeys");
    let accounts_json: Vec<Value> = accounts.iter().map(|account| Value::Object(account.json.clone())).collect();
    profile.insert("name".to_owned(), email.clone().into());
    profile.insert("posixAccounts".to_owned(), accounts_json.into());
    let (usernames, uids) = accounts.into_iter().map(|account| (account.username, account.uid)).unzip();
    let json = Value::Object(profile);
    Some(Profile {
        email,
        usernames,
        uids,
        fingerprints,
        json,
        security_keys,
        policies: Vec::new(),
        challenges: Vec::new(),
    })
}

struct Account {
    username: String,
    uid: String,
    json: Map<String, Value>,
}

fn account(walk: &mut Walk, account: Value) -> Option<Account> {
    let mut account = walk.object(account)?;
    let username = walk.required(&mut account, "username", Walk::text)?;
    if !is_login_name(&username) {
        walk.warn(
            "the guest accepts only usernames of 1 to 32 letters, digits, `.`, `_` and `-` that do not begin with `-`",
        );
    }
    let uid = walk.required(&mut account, "uid", Walk::number)?;
    if uid < MIN_UID {
        walk.warn(format!("the guest accepts only uids from {MIN_UID} on"));
    }
    let gid = match account.remove("gid") {
        None => uid,
        Some(gid) => walk.below("gid", |walk| walk.number(gid))?,
    };
    account.insert("username".to_owned(), username.clone().into());
    // Strings: Google's JSON has 64-bit integers as strings.
    account.insert("uid".to_owned(), uid.to_string().into());
    account.insert("gid".to_owned(), gid.to_string().into());
    account.entry("homeDirectory").or_insert_with(|| format!("/home/{username}").into());
    account.entry("operatingSystemType").or_insert("LINUX".into());
    Some(Account { username, uid: uid.to_string(), json: account })
}

fn is_login_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=32).contains(&name.len()) && name.bytes().all(is_plain) && !name.starts_with('-')
}

/// The fingerprints of the SSH keys. A key without `fingerprint` gets its name in the object as the fingerprint.
fn ssh_keys(walk: &mut Walk, keys: &mut Value) -> Vec<String> {
    let Value::Object(keys) = keys else {
        walk.expected("an object", keys);
        return Vec::new();
    };
    let mut fingerprints = Vec::new();
    for (name, key) in keys {
        walk.below(name.as_str(), |walk| match key {
            Value::Object(key) if key.get("key").is_some_and(Value::is_string) => {
                let fingerprint = key.entry("fingerprint").or_insert_with(|| name.as_str().into());
                fingerprints.extend(fingerprint.as_str().map(str::to_owned));
            }
            _ => walk.error("an object is expected, with the string `key`, such as \"ssh-ed25519 AAAA…\""),
        });
    }
    fingerprints
}

fn group(walk: &mut Walk, group: Value) -> Option<Group> {
    let mut group = walk.object(group)?;
    let name = walk.required(&mut group, "name", Walk::text)?;
    let gid = walk.required(&mut group, "gid", Walk::number)?.to_string();
    group.insert("name".to_owned(), name.clone().into());
    group.insert("gid".to_owned(), gid.clone().into());
    Some(Group { name, gid, json: Value::Object(group), usernames: Vec::new() })
}

fn challenge(walk: &mut Walk, challenge: Value) -> Option<Challenge> {
    let mut challenge = walk.object(challenge)?;
    let kind = walk.required(&mut challenge, "type", |walk, kind| walk.one_of(kind, &KINDS))?;
    let proof = match &*kind {
        "AUTHZEN" => Proof::Prompt { approves: walk.required(&mut challenge, "approves", Walk::boolean)? },
        "TOTP" => proof(walk, &mut challenge, SECRET, |walk, secret| totp_secret(walk, secret).map(Proof::Totp))?,
        _ => proof(walk, &mut challenge, CODE, |walk, code| Some(Proof::Code(walk.text(code)?.into())))?,
    };
    Some(Challenge { kind, proof })
}

/// Reads a secret or a code. Null stands for one that is not known: an exported config has no secrets.
fn proof(
    walk: &mut Walk,
    challenge: &mut Map<String, Value>,
    key: &str,
    read: impl FnOnce(&mut Walk, Value) -> Option<Proof>,
) -> Option<Proof> {
    walk.required(challenge, key, |walk, value| match value {
        Value::Null => {
            if walk.is_thorough() {
                walk.warn("null: no answer to this challenge is accepted");
            }
            Some(Proof::Unknown)
        }
        value => read(walk, value),
    })
}

/// The section with null in place of the secrets and codes of challenges.
fn without_proofs(mut section: Map<String, Value>) -> Value {
    let challenges = section.get_mut("challenges").and_then(Value::as_object_mut);
    let users = challenges.into_iter().flat_map(Map::values_mut);
    let challenges = users.filter_map(Value::as_array_mut).flatten().filter_map(Value::as_object_mut);
    for challenge in challenges {
        for key in [SECRET, CODE] {
            if let Some(proof) = challenge.get_mut(key) {
                *proof = Value::Null;
            }
        }
    }
    section.into()
}

fn totp_secret(walk: &mut Walk, secret: Value) -> Option<Secret> {
    let secret = Secret::from(walk.text(secret)?);
    if challenge::totp(secret.expose()).is_none() {
        walk.error("invalid base32, which has the letters A to Z and the digits 2 to 7");
    }
    Some(secret)
}

#[cfg(test)]
mod tests;
