//! `oslogin/…`: who may log in, as the guest's NSS and PAM modules ask for it.
//!
//! Where OS Login is not set up, or not switched on, there is nothing but what the tree has: 404, as on GCE.

mod sessions;

pub(crate) use sessions::{ContinueSession, Sessions, StartSession};

use super::{Answer, Call, Endpoint, Published, Reply};
use crate::os_login::{OsLogin, POLICIES, Page, SWITCH};
use crate::snapshot::Reader;
use crate::tree::represent::TEXT;
use crate::tree::{Leaf, Tree};
use gce_metadata_layers::Rejection;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;

/// Profiles or groups of a page whose size nobody asked for.
const PAGE: usize = 1000;

impl Tree {
    /// Who may log in, if OS Login is switched on.
    fn enabled_os_login(&self) -> Option<&Arc<OsLogin>> {
        self.os_login().filter(|_| self.is_switched_on(SWITCH))
    }
}

fn json_answer(value: Value) -> Answer {
    Answer::computed(Leaf::json_by_default(value), TEXT)
}

/// What is asked for: a question is a function of who may log in and of the query.
type Question = fn(&OsLogin, &Call<'_>) -> Result<Value, Rejection>;

/// One of the lists and questions.
pub(crate) struct Directory {
    reader: Reader,
    published: Arc<Published>,
    question: Question,
}

impl Directory {
    pub(crate) fn new(reader: Reader, published: Arc<Published>, question: Question) -> Self {
        Self { reader, published, question }
    }
}

impl Endpoint for Directory {
    fn call(&self, call: Call<'_>) -> Reply {
        let snapshot = self.reader.snapshot();
        match snapshot.tree().enabled_os_login() {
            Some(os_login) => (self.question)(os_login, &call).map(json_answer).into(),
            None => self.published.call(call),
        }
    }
}

/// `oslogin/users`: one person, the members of a group, or a page of all.
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

/// `oslogin/groups`: one group, those of a person, or a page of all.
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

/// `oslogin/authorize`: whether a policy lets somebody in.
pub(crate) fn authorize(os_login: &OsLogin, call: &Call<'_>) -> Result<Value, Rejection> {
    let email = email(call).ok_or(Rejection::BadRequest)?;
    let policy =
        call.parameter("policy").filter(|policy| POLICIES.contains(&&**policy)).ok_or(Rejection::BadRequest)?;
    let profile = os_login.by_email(&email).ok_or(Rejection::NotFound)?;
    Ok(json!({"success": os_login.lets_in(profile, &policy, call.parameter("fingerprint").as_deref())}))
}

/// `oslogin/certificates`: whose signatures on SSH certificates count.
pub(crate) fn certificates(os_login: &OsLogin, _: &Call<'_>) -> Result<Value, Rejection> {
    os_login.authorities().cloned().ok_or(Rejection::NotFound)
}

/// The guest does not always encode the plus that an e-mail may have, which would be a space then. No e-mail has one.
fn email<'a>(call: &'a Call<'_>) -> Option<Cow<'a, str>> {
    let email = call.parameter("email").filter(|email| !email.is_empty())?;
    Some(if email.contains(' ') { Cow::Owned(email.replace(' ', "+")) } else { email })
}

fn page(call: &Call<'_>) -> Result<Page, Rejection> {
    let number = |name, default| match call.parameter(name).filter(|value| !value.is_empty()) {
        None => Ok(default),
        Some(value) => value.parse().map_err(|_| Rejection::BadRequest),
    };
    let (from, size) = (number("pagetoken", 0)?, number("pagesize", PAGE)?);
    if size == 0 { Err(Rejection::BadRequest) } else { Ok(Page { from, size }) }
}
