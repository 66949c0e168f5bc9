//! Checks of `doctor`: the server has the service accounts that clients ask for tokens of.

use super::facts::Facts;
use super::finding::Finding;
use crate::cli::client::Client;
use serde_json::{Map, Value};

pub(super) fn fine(facts: &Facts) -> String {
    let email = accounts(facts).and_then(default_email).unwrap_or_default();
    format!("the default service account is {email}")
}

pub(super) fn find(facts: &Facts) -> Option<Vec<Finding>> {
    if !facts.answers()?.has_flavor {
        return None;
    }
    let accounts = accounts(facts).filter(|accounts| !accounts.is_empty());
    let what = match accounts.map(|accounts| (accounts, default_email(accounts))) {
        None => "the server has no service account: clients get no tokens".to_owned(),
        Some((_, None)) => "the server has no service account `default`: clients ask for its tokens".to_owned(),
        Some((accounts, Some(email))) if accounts.contains_key(email) => return Some(Vec::new()),
        Some((_, Some(email))) => format!(
            "the server does not list {email}, the e-mail of its default account: clients that ask by e-mail get no tokens"
        ),
    };
    let remedy = "GOOGLE_SERVICE_ACCOUNT=vm@sample-project.iam.gserviceaccount.com gce-metadata-server";
    let finding = Finding::warning(what, Client::ALL).remedy(remedy);
    Some(vec![finding.or("add the account to serviceAccounts in the config file")])
}

fn accounts(facts: &Facts) -> Option<&Map<String, Value>> {
    facts.answers()?.accounts.as_ref()?.as_object()
}

fn default_email(accounts: &Map<String, Value>) -> Option<&str> {
    accounts.get("default")?.get("email")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::probe::Answers;
    use serde_json::json;

    #[test]
    fn the_default_account_must_be_listed_by_its_e_mail() {
        let found = |accounts: Option<Value>| {
            let mut facts = Facts::example(&[]);
            facts.server = Ok(Answers { accounts, ..Answers::example(facts.machine.now) });
            find(&facts).unwrap().first().map(|finding| finding.line("accounts"))
        };
        let account = json!({"email": "a@example.com"});
        assert_eq!(found(Some(json!({"default": account, "a@example.com": account}))), None);
        for accounts in [None, Some(json!({}))] {
            assert!(found(accounts).unwrap().contains("the server has no service account: "));
        }
        assert!(found(Some(json!({"a@example.com": account}))).unwrap().contains("no service account `default`"));
        let unlisted = found(Some(json!({"default": account, "b@example.com": account}))).unwrap();
        assert!(unlisted.starts_with("warning: the server does not list a@example.com, "), "{unlisted}");
    }
}
