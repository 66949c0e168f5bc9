//! Service accounts: each account is served under its e-mail and all its aliases.
//!
//! gcloud looks for the e-mail in the listing of `service-accounts/`; client libraries request `default`. A config may have an
//! account under one name only, so the other names are added. The dump of a real VM has all of them.

use crate::memo::Memo;
use crate::tree::{Dir, Leaf, Node, Tree};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

const DEFAULT: &str = "default";
const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";

/// A service account of the VM, as token sources see it. Hashing uses the e-mail only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// The e-mail. It identifies the account, also if the request had an alias.
    pub email: String,
    /// The OAuth scopes that the VM has for the account, sorted and without duplicates.
    pub scopes: Arc<[String]>,
    /// The names other than the e-mail. The default account has the alias `default`.
    pub aliases: Vec<String>,
}

/// The e-mail alone identifies an account, so the other fields are not hashed.
impl Hash for ServiceAccount {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.email.hash(state);
    }
}

impl ServiceAccount {
    /// An account with these scopes, in any order.
    pub fn new(email: impl Into<String>, mut scopes: Vec<String>, aliases: Vec<String>) -> Self {
        scopes.sort_unstable();
        scopes.dedup();
        Self { email: email.into(), scopes: scopes.into(), aliases }
    }

    /// Whether this is the default account, which client libraries use unless they are configured otherwise.
    pub fn is_default(&self) -> bool {
        self.aliases.iter().any(|alias| alias == DEFAULT)
    }
}

/// The accounts of a tree by all their names.
pub(crate) type Accounts = Arc<Memo<BTreeMap<Box<str>, Arc<ServiceAccount>>>>;

impl Tree {
    /// The service account with this e-mail or alias.
    pub fn service_account(&self, name: &str) -> Option<Arc<ServiceAccount>> {
        self.by_name().get(name).cloned()
    }

    /// All service accounts, each once.
    pub fn service_accounts(&self) -> Vec<Arc<ServiceAccount>> {
        let mut known = HashSet::new();
        self.by_name().values().filter(|account| known.insert(account.email.as_str())).cloned().collect()
    }

    fn by_name(&self) -> &BTreeMap<Box<str>, Arc<ServiceAccount>> {
        self.accounts.get_or_init(|| self.read_accounts().unwrap_or_default())
    }

    fn read_accounts(&self) -> Option<BTreeMap<Box<str>, Arc<ServiceAccount>>> {
        let Node::Dir(accounts) = &**self.get("instance/service-accounts")? else { return None };
        let account = |(name, node): (&str, &Arc<Node>)| {
            let Node::Dir(account) = &**node else { return None };
            // An account without an e-mail is identified by its name.
            let email = strings(account, "email").into_iter().next().unwrap_or_else(|| name.to_owned());
            let account = ServiceAccount::new(email, strings(account, "scopes"), strings(account, "aliases"));
            Some((Box::from(name), Arc::new(account)))
        };
        Some(accounts.entries().filter_map(account).collect())
    }
}

fn strings(account: &Dir, name: &str) -> Vec<String> {
    let leaf = account.entries().find(|(segment, _)| *segment == name);
    match leaf.map(|(_, node)| &**node) {
        Some(Node::Leaf(leaf)) => of_leaf(leaf),
        _ => Vec::new(),
    }
}

fn of_leaf(leaf: &Leaf) -> Vec<String> {
    match leaf.value() {
        Value::String(one) => vec![one.clone()],
        Value::Array(items) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

/// Adds the missing names of each account, and the `aliases`, `email` and `scopes` that clients rely on.
pub(crate) fn complete(v1: &mut Value) {
    let number = v1["project"]["numericProjectId"].to_string();
    let Some(Value::Object(accounts)) = v1.pointer_mut("/instance/serviceAccounts") else { return };
    for (name, account) in accounts.iter_mut() {
        let Value::Object(account) = account else { continue };
        // The Go emulator writes null or an empty string for values that it does not have.
        account.retain(|key, value| !matches!(&**key, "aliases" | "email" | "scopes") || !is_absent(value));
        let email = || if name == DEFAULT { compute_account(&number) } else { name.clone() };
        account.entry("email").or_insert_with(|| email().into());
    }
    let default_email = accounts.get(DEFAULT).map(|account| account["email"].clone());
    let only_one = accounts.len() == 1;
    for (name, account) in accounts.iter_mut() {
        let Value::Object(account) = account else { continue };
        let is_default = name == DEFAULT || only_one || account.get("email") == default_email.as_ref();
        let aliases = account.entry("aliases").or_insert_with(|| if is_default { json!([DEFAULT]) } else { json!([]) });
        if let Value::Array(aliases) = aliases
            && name == DEFAULT
            && !aliases.iter().any(|alias| alias == DEFAULT)
        {
            aliases.insert(0, DEFAULT.into());
        }
        account.entry("scopes").or_insert_with(|| json!([CLOUD_PLATFORM]));
    }
    for account in accounts.values().cloned().collect::<Vec<_>>() {
        for name in names(&account) {
            accounts.entry(name).or_insert_with(|| account.clone());
        }
    }
}

fn is_absent(value: &Value) -> bool {
    value.is_null() || value == ""
}

/// The e-mail of the Compute Engine default service account of a project.
fn compute_account(project_number: &str) -> String {
    let digits: String = project_number.chars().filter(char::is_ascii_digit).collect();
    format!("{}-compute@developer.gserviceaccount.com", if digits.is_empty() { "0" } else { &digits })
}

/// The e-mail and the aliases.
fn names(account: &Value) -> Vec<String> {
    let aliases = account["aliases"].as_array().into_iter().flatten();
    aliases.chain([&account["email"]]).filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// Changes the e-mail of an account, under all its names.
pub(crate) fn rename(v1: &mut Value, old: &str, new: &str) {
    let Some(Value::Object(accounts)) = v1.pointer_mut("/instance/serviceAccounts") else { return };
    accounts.remove(old);
    for account in accounts.values_mut().filter(|account| account["email"] == old) {
        account["email"] = new.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(accounts: Value) -> Value {
        let mut v1 = json!({"instance": {"serviceAccounts": accounts}});
        complete(&mut v1);
        v1["instance"]["serviceAccounts"].take()
    }

    #[test]
    fn the_default_account_is_listed_under_its_email_too() {
        let account = json!({"aliases": ["default"], "email": "a@example.com", "scopes": ["s"]});
        assert_eq!(completed(json!({"default": account})), json!({"default": account, "a@example.com": account}));
        let bare = completed(json!({"default": {"email": "a@example.com"}}));
        assert_eq!(bare["a@example.com"]["aliases"], json!(["default"]));
        assert_eq!(bare["default"]["scopes"], json!([CLOUD_PLATFORM]));
    }

    #[test]
    fn an_account_under_its_email_is_served_under_its_aliases_too() {
        let account = json!({"aliases": ["default", "worker"], "email": "a@example.com", "scopes": []});
        let all = completed(json!({"a@example.com": account}));
        assert_eq!(all, json!({"a@example.com": account, "default": account, "worker": account}));
        assert_eq!(completed(json!({"a@example.com": {}}))["default"]["email"], "a@example.com");
    }

    #[test]
    fn a_second_account_does_not_become_the_default() {
        let all = completed(json!({"default": {"email": "a@example.com"}, "b@example.com": {}}));
        assert_eq!(all["b@example.com"]["aliases"], json!([]));
        assert_eq!(all["default"]["email"], "a@example.com");
        assert_eq!(all.as_object().unwrap().len(), 3);
    }

    #[test]
    fn null_and_empty_values_are_replaced_by_defaults() {
        let all = completed(json!({"default": {"aliases": null, "email": "", "scopes": null}}));
        let email = "0-compute@developer.gserviceaccount.com";
        let account = json!({"aliases": ["default"], "email": email, "scopes": [CLOUD_PLATFORM]});
        assert_eq!(all, json!({"default": account, email: account}));
        let mut v1 = json!({"instance": {"serviceAccounts": {"default": {}}}, "project": {"numericProjectId": 42}});
        complete(&mut v1);
        let email = &v1["instance"]["serviceAccounts"]["default"]["email"];
        assert_eq!(email, "42-compute@developer.gserviceaccount.com");
    }

    #[test]
    fn the_account_named_default_has_that_alias() {
        let all = completed(json!({"default": {"email": "a@example.com", "aliases": ["worker"]}}));
        assert_eq!(all["a@example.com"]["aliases"], json!(["default", "worker"]));
        assert_eq!(all["worker"], all["default"]);
    }

    #[test]
    fn neither_of_two_accounts_becomes_the_default() {
        let all = completed(json!({"a@example.com": {}, "b@example.com": {}}));
        assert_eq!(all.as_object().unwrap().keys().collect::<Vec<_>>(), ["a@example.com", "b@example.com"]);
    }

    #[test]
    fn a_complete_account_is_not_changed() {
        let account = json!({"aliases": ["default"], "email": "a@example.com", "scopes": ["s"]});
        let dump = json!({"a@example.com": account, "default": account});
        assert_eq!(completed(dump.clone()), dump);
        assert_eq!(completed(json!({})), json!({}));
    }

    #[test]
    fn a_new_email_replaces_the_old_one_under_all_names() {
        let account = json!({"aliases": ["default"], "email": "old@example.com", "scopes": ["s"]});
        let accounts = json!({"default": account, "old@example.com": account, "worker": account});
        let metadata = crate::Metadata::from_json(json!({"instance": {"serviceAccounts": accounts}})).unwrap();
        let tree = metadata.with_service_account("new@example.com").tree();
        let new = tree.service_account("new@example.com").unwrap();
        assert_eq!((new.email.as_str(), &*new.scopes), ("new@example.com", &["s".to_owned()][..]));
        assert_eq!(tree.service_account("default").unwrap(), new);
        assert_eq!(tree.service_account("worker").unwrap(), new);
        assert_eq!(tree.service_account("old@example.com"), None);
    }

    #[test]
    fn an_account_is_found_by_each_of_its_names() {
        let accounts = json!({"a@example.com": {"aliases": ["default"], "scopes": ["s"]}});
        let json = json!({"instance": {"serviceAccounts": accounts}});
        let tree = crate::Metadata::from_json(json).unwrap().tree();
        let account = tree.service_account("default").unwrap();
        assert_eq!(tree.service_account("a@example.com").unwrap(), account);
        assert_eq!(account.email, "a@example.com");
        assert!(account.is_default());
        assert_eq!(tree.service_account("b@example.com"), None);
        assert_eq!(tree.service_account("0"), None);
        assert_eq!(tree.service_accounts(), [account]);
    }
}
