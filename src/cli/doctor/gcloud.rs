//! Checks of `doctor`: gcloud asks the server, and has no account or credentials of its own.

use super::facts::Facts;
use super::finding::{EXEC, Finding, quoted};
use crate::cli::client::Client::Gcloud;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// gcloud's file with `True` or `False`: whether it has found a metadata server.
const CACHE: &str = "gce";

/// How long gcloud believes the file.
const CACHE_LIFETIME: Duration = Duration::from_secs(600);

const CHECK: &str = "CLOUDSDK_CORE_CHECK_GCE_METADATA";

/// Larger files are not gcloud's.
const MAX_BYTES: u64 = 64 << 10;

/// The remedy for files in gcloud's folder.
const OTHER_FOLDER: &str = "export CLOUDSDK_CONFIG=\"$(mktemp -d)\"";

/// Variables with credentials, and what gcloud does with them.
const CREDENTIALS: [(&str, &str); 3] = [
    ("CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", "uses that file and never asks the server"),
    ("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", "uses that token and never asks the server"),
    ("CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT", "sends the server's token to Google, to impersonate that account"),
];

pub(super) fn fine(_: &Facts) -> String {
    "gcloud looks for the server, and has no account of its own".to_owned()
}

pub(super) fn find(facts: &Facts) -> Option<Vec<Finding>> {
    let mut findings = Vec::new();
    // To gcloud, an empty value is false too.
    if let Some(value) = facts.variables.text(CHECK).filter(|value| value.is_empty() || is_false(value)) {
        let state = if value.is_empty() { "empty" } else { "false" };
        let what = format!("{CHECK} is {state}: gcloud never asks the server");
        findings.push(Finding::warning(what, &[Gcloud]).remedy(format!("unset {CHECK}")).or(EXEC));
    }
    for (name, effect) in CREDENTIALS.into_iter().filter(|(name, _)| facts.variable(name).is_some()) {
        let finding = Finding::warning(format!("{name} is set: gcloud {effect}"), &[Gcloud]);
        findings.push(finding.remedy(format!("unset {name}")));
    }
    findings.extend(cache(facts));
    findings.extend(account(facts));
    Some(findings)
}

/// gcloud's values of "no".
fn is_false(value: &str) -> bool {
    ["false", "0", "no", "off"].contains(&&*value.trim().to_lowercase())
}

fn cache(facts: &Facts) -> Option<Finding> {
    let file = facts.gcloud_folder()?.join(CACHE);
    if read(&file)?.trim() != "False" {
        return None;
    }
    let written = file.metadata().and_then(|metadata| metadata.modified()).ok()?;
    let age = facts.machine.now.duration_since(written).unwrap_or_default();
    let left = CACHE_LIFETIME.checked_sub(age).filter(|left| !left.is_zero())?;
    let path = file.display();
    let what = format!(
        "{path} says False and is {} s old: gcloud does not ask the server for another {} s",
        age.as_secs(),
        left.as_secs()
    );
    Some(Finding::warning(what, &[Gcloud]).remedy(format!("rm {}", quoted(&path.to_string()))).or(EXEC))
}

/// The account that gcloud is told to use, if the server does not have it.
fn account(facts: &Facts) -> Option<Finding> {
    const NAME: &str = "CLOUDSDK_CORE_ACCOUNT";
    let is_served = |account: &str| {
        facts
            .answers()
            .and_then(|answers| answers.accounts.as_ref()?.as_object())
            .is_some_and(|it| it.contains_key(account))
    };
    let effect = "gcloud uses an account that the server does not have";
    if let Some(account) = facts.variable(NAME) {
        let finding = Finding::warning(format!("{NAME} is set: {effect}"), &[Gcloud]);
        return (!is_served(&account)).then(|| finding.remedy(format!("unset {NAME}")));
    }
    let (file, account) = configured_account(facts)?;
    let finding = Finding::warning(format!("{} sets an account: {effect}", file.display()), &[Gcloud]);
    (!is_served(&account)).then(|| finding.remedy(OTHER_FOLDER).or(EXEC))
}

/// The account in gcloud's active configuration, and the file.
fn configured_account(facts: &Facts) -> Option<(PathBuf, String)> {
    let folder = facts.gcloud_folder()?;
    let active = facts.variable("CLOUDSDK_ACTIVE_CONFIG_NAME").or_else(|| read(&folder.join("active_config")));
    let active = active.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    let name = active.unwrap_or_else(|| "default".to_owned());
    // `properties` is the file of old versions.
    let files = [folder.join(format!("configurations/config_{name}")), folder.join("properties")];
    files.into_iter().find_map(|file| core_account(&read(&file)?).map(|account| (file, account)))
}

/// The key `account` of the section `core` in an INI file.
fn core_account(ini: &str) -> Option<String> {
    let mut section = "";
    for line in ini.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.trim();
        } else if let Some((key, value)) = line.split_once('=')
            && section == "core"
            && key.trim() == "account"
        {
            return Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        }
    }
    None
}

/// The text of a regular file. A pipe could block.
fn read(file: &Path) -> Option<String> {
    let metadata = file.metadata().ok()?;
    (metadata.is_file() && metadata.len() <= MAX_BYTES).then(|| std::fs::read_to_string(file).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn lines(variables: &[(&str, &str)]) -> Vec<String> {
        find(&Facts::example(variables)).unwrap().iter().map(|finding| finding.line("gcloud")).collect()
    }

    #[test]
    fn a_false_in_the_cache_counts_for_ten_minutes() {
        let folder = tempfile::tempdir().unwrap();
        let facts = Facts::example(&[("CLOUDSDK_CONFIG", folder.path().to_str().unwrap())]);
        let found = |text: &str, age: u64| {
            let file = folder.path().join(CACHE);
            std::fs::write(&file, text).unwrap();
            let written = facts.machine.now - Duration::from_secs(age);
            File::options().write(true).open(&file).unwrap().set_modified(written).unwrap();
            find(&facts).unwrap().first().map(|finding| finding.line("gcloud"))
        };
        assert_eq!(found("True", 1), None);
        assert_eq!(found("False", 600), None);
        let line = found("False\n", 200).unwrap();
        assert!(
            line.contains("says False and is 200 s old: gcloud does not ask the server for another 400 s"),
            "{line}"
        );
    }

    #[test]
    fn an_account_that_the_server_has_is_fine() {
        let folder = tempfile::tempdir().unwrap();
        let config = ("CLOUDSDK_CONFIG", folder.path().to_str().unwrap());
        std::fs::create_dir(folder.path().join("configurations")).unwrap();
        std::fs::write(folder.path().join("active_config"), "work\n").unwrap();
        let file = folder.path().join("configurations/config_work");
        for (account, expected) in [("vm@example.com", 0), ("user@example.com", 1)] {
            std::fs::write(&file, format!("[compute]\naccount = x\n[core]\naccount = {account}\n")).unwrap();
            assert_eq!(lines(&[config]).len(), expected, "{account}");
            assert_eq!(lines(&[("CLOUDSDK_CORE_ACCOUNT", account)]).len(), expected, "{account}");
        }
        assert_eq!(lines(&[config, ("CLOUDSDK_ACTIVE_CONFIG_NAME", "other")]), [""; 0]);
    }

    #[test]
    fn variables_of_gcloud_are_named_without_their_values() {
        for name in CREDENTIALS.map(|(name, _)| name) {
            let found = lines(&[(name, "made-up")]);
            assert!(found.len() == 1 && found[0].contains(name) && !found[0].contains("made-up"), "{found:?}");
        }
        assert_eq!(lines(&[(CHECK, "off")]).len(), 1);
        assert_eq!(lines(&[(CHECK, "")]).len(), 1, "to gcloud, an empty value is false");
        assert_eq!(lines(&[(CHECK, "true")]), [""; 0]);
    }
}
