//! `oslogin/…`: queries of OS Login's users and groups, by the guest's NSS and PAM modules.
//!
//! Without OS Login, or while it is disabled, the tree answers: 404, as on GCE.

mod sessions;

pub(crate) use sessions::{ContinueSession, Sessions, StartSession};

use super::{Answer, Call, Endpoint, Reply, TreeEndpoint};
use crate::os_login::{OsLogin, POLICIES, Page, SWITCH};
use crate::snapshot::Reader;
use crate::tree::represent::TEXT;
use crate::tree::{Leaf, Tree};
use gce_metadata_layers::Rejection;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;

/// The default number of profiles or groups in a page.
const PAGE_SIZE: usize = 1000;

impl Tree {
    /// The users and groups, if OS Login is enabled.
    fn enabled_os_login(&self) -> Option<&Arc<OsLogin>> {
        self.os_login().filter(|_| self.is_switched_on(SWITCH))
    }
}

fn json_answer(value: Value) -> Answer {
    Answer::computed(Leaf::json_by_default(value), TEXT)
}

/// A query: a function of OS Login's data and the request's parameters.
type Query = fn(&OsLogin, &Call<'_>) -> Result<Value, Rejection>;

/// Answers one kind of query: users, groups, authorization or certificates.
pub(crate) struct OsLoginQuery {
    reader: Reader,
    /// Answers while OS Login is disabled.
    tree: Arc<TreeEndpoint>,
    query: Query,
}

impl OsLoginQuery {
    pub(crate) fn new(reader: Reader, tree: Arc<TreeEndpoint>, query: Query) -> Self {
        Self { reader, tree, query }
    }
}

impl Endpoint for OsLoginQuery {
    fn call(&self, call: Call<'_>) -> Reply {
        let snapshot = self.reader.snapshot();
        match snapshot.tree().enabled_os_login() {
            Some(os_login) => (self.query)(os_login, &call).map(json_answer).into(),
            None => self.tree.call(call),
        }
    }
}

/// `oslogin/users`: one user, the members of a group, or a page of all users.
pub(crate) fn users(os_login: &OsLogin, call: &Call<'_>) -> Result<Value, Rejection> {
    let with_security_keys = call.parameter("view").is_some_and(|view| view == "securityKey");
    let one = if let Some(username) = call.parameter("username") {
        os_login.by_username(&username)
    } else if let Some(uid) = call.parameter("uid") {
        os_login.by_uid(&uid)
    } else if let Some(name) = call.parameter("groupname") {
        return Ok(os_login.group_by_name(&name).ok_or(Rejection::NotFound)?.usernames());
    } else {
        return Ok(os_login.profiles(page(call)?, with_security_keys));
    };
    Ok(one.ok_or(Rejection::NotFound)?.alone(with_security_keys))
}

/// `oslogin/groups`: one group, the groups of a user, or a page of all groups.
pub(crate) fn groups(os_login: &OsLogin, call: &Call<'_>) -> Result<Value, Rejection> {
    let one = if let Some(name) = call.parameter("groupname") {
        os_login.group_by_name(&name)
    } else if let Some(gid) = call.parameter("gid") {
        os_login.group_by_gid(&gid)
    } else if let Some(email) = email(call) {
        return Ok(os_login.groups_of(os_login.by_email(&email).ok_or(Rejection::NotFound)?));
    } else {
        return Ok(os_login.groups(page(call)?));
    };
    Ok(one.ok_or(Rejection::NotFound)?.alone())
}

/// `oslogin/authorize`: whether a user has a policy.
pub(crate) fn authorize(os_login: &OsLogin, call: &Call<'_>) -> Result<Value, Rejection> {
    let email = email(call).ok_or(Rejection::BadRequest)?;
    let policy =
        call.parameter("policy").filter(|policy| POLICIES.contains(&&**policy)).ok_or(Rejection::BadRequest)?;
    let profile = os_login.by_email(&email).ok_or(Rejection::NotFound)?;
    Ok(json!({"success": os_login.authorizes(profile, &policy, call.parameter("fingerprint").as_deref())}))
}

/// `oslogin/certificates`: the trusted certificate authorities of SSH certificates.
pub(crate) fn certificates(os_login: &OsLogin, _: &Call<'_>) -> Result<Value, Rejection> {
    os_login.authorities().cloned().ok_or(Rejection::NotFound)
}

/// The parameter `email`. Spaces become `+`: the guest does not always encode a plus, and no e-mail has a space.
fn email<'a>(call: &'a Call<'_>) -> Option<Cow<'a, str>> {
    let email = call.parameter("email").filter(|email| !email.is_empty())?;
    Some(if email.contains(' ') { Cow::Owned(email.replace(' ', "+")) } else { email })
}

fn page(call: &Call<'_>) -> Result<Page, Rejection> {
    let number = |name, default| match call.parameter(name).filter(|value| !value.is_empty()) {
        None => Ok(default),
        Some(value) => value.parse().map_err(|_| Rejection::BadRequest),
    };
    let (from, size) = (number("pagetoken", 0)?, number("pagesize", PAGE_SIZE)?);
    if size == 0 { Err(Rejection::BadRequest) } else { Ok(Page { from, size }) }
}
