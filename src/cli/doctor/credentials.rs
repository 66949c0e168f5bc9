//! Checks of `doctor`: clients find no credentials that they prefer to the server. Values are not printed, because some users put
//! keys into these variables.

use super::facts::Facts;
use super::finding::{EXEC, Finding};
use crate::cli::client::Client::{self, Cpp, Dotnet, Go, Java, Node, Php, Python, Ruby, Rust, Terraform};
use crate::cli::client::sentence;
use crate::cli::client_env::readers;
use std::path::{Path, PathBuf};

/// The file of `gcloud auth application-default login`, in gcloud's folder.
const FILE: &str = "application_default_credentials.json";

/// The clients that look for the file in `CLOUDSDK_CONFIG`.
const IN_CLOUDSDK_CONFIG: &[Client] = &[Python, Node, Java];

/// The clients that look for the file in `HOME` only.
const IN_HOME: &[Client] = &[Go, Dotnet, Php, Ruby, Cpp, Rust, Terraform];

pub(super) fn fine(_: &Facts) -> String {
    "there are no credentials that clients prefer to the server".to_owned()
}

pub(super) fn find(facts: &Facts) -> Option<Vec<Finding>> {
    let names = ["GOOGLE_APPLICATION_CREDENTIALS", "google_application_credentials"];
    let mut findings: Vec<_> = names.into_iter().filter_map(|name| named_file(facts, name)).collect();
    findings.extend(well_known_files(facts));
    for (name, what) in [("GOOGLE_CREDENTIALS", "credentials"), ("GOOGLE_OAUTH_ACCESS_TOKEN", "token")] {
        if facts.variable(name).is_some() {
            let readers = readers(name);
            let clause = sentence(readers, "uses", "use");
            let what = format!("{name} is set: {clause} its {what}, and no metadata server");
            findings.push(Finding::warning(what, readers).remedy(format!("unset {name}")).or(EXEC));
        }
    }
    Some(findings)
}

fn named_file(facts: &Facts, name: &'static str) -> Option<Finding> {
    let path = facts.variable(name)?;
    let readers = readers(name);
    let what = match Path::new(&path).exists() {
        true => {
            let never = if readers.len() == 1 { "asks" } else { "ask" };
            format!("{name} is set: {} that file and never {never} the server", sentence(readers, "uses", "use"))
        }
        false => format!(
            "{name} names a file that does not exist: {} instead of asking the server",
            sentence(readers, "fails", "fail")
        ),
    };
    Some(Finding::warning(what, readers).remedy(format!("unset {name}")).or(EXEC))
}

fn well_known_files(facts: &Facts) -> Vec<Finding> {
    let file = |folder: Option<PathBuf>| folder.map(|folder| folder.join(FILE)).filter(|file| file.exists());
    let found = |file: &Path, readers| {
        let clause = sentence(readers, "uses", "use");
        let what = format!("{} exists: {clause} this login and never ask the server", file.display());
        Finding::warning(what, readers)
    };
    let mut findings = Vec::new();
    if let Some(file) = file(facts.gcloud_folder()) {
        let finding = found(&file, IN_CLOUDSDK_CONFIG);
        findings.push(finding.remedy("export CLOUDSDK_CONFIG=\"$(mktemp -d)\"").or(EXEC));
    }
    if let Some(file) = file(facts.home_gcloud_folder()) {
        let finding = found(&file, IN_HOME);
        findings.push(finding.remedy("export HOME=\"$(mktemp -d)\"").or(format!("{EXEC} --fresh-home")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(variables: &[(&str, &str)]) -> Vec<String> {
        find(&Facts::example(variables)).unwrap().iter().map(|finding| finding.line("credentials")).collect()
    }

    #[test]
    fn values_of_credentials_are_not_printed() {
        for name in ["GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CREDENTIALS", "GOOGLE_OAUTH_ACCESS_TOKEN"] {
            let found = lines(&[(name, "ya29.made-up")]);
            assert!(found.len() == 1 && found[0].contains(name) && !found[0].contains("made-up"), "{found:?}");
        }
    }

    #[test]
    fn the_file_of_a_variable_may_be_missing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let found = lines(&[("GOOGLE_APPLICATION_CREDENTIALS", file.path().to_str().unwrap())]);
        assert!(found[0].contains("use that file and never ask the server; remedy: unset "), "{found:?}");
        let found = lines(&[("google_application_credentials", "/no/such/file")]);
        assert!(found[0].contains("names a file that does not exist: Node fails"), "{found:?}");
    }

    #[test]
    fn go_looks_for_a_login_in_home_only() {
        let (home, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = home.path().join(".config/gcloud");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(FILE), "{}").unwrap();
        let (home, empty) = (("HOME", home.path().to_str().unwrap()), empty.path().to_str().unwrap());
        let found = lines(&[home]);
        assert!(found.len() == 2 && found[0].contains("Python, Node and Java use"), "{found:?}");
        let found = lines(&[home, ("CLOUDSDK_CONFIG", empty)]);
        assert!(found.len() == 1 && found[0].contains(": Go, .NET, PHP, "), "{found:?}");
    }
}
