//! Checks of `doctor`: the variables with the address of the server are set, valid, and name one server.

use super::facts::Facts;
use super::finding::{EXEC, Finding, export};
use crate::cli::client::Client::{self, Cpp, Dotnet, Gcloud, Go, Java, Node, Python, Ruby, Rust, Terraform};
use crate::cli::client::sentence;
use crate::cli::client_env::{Change, VARIABLES, Variable};
use crate::cli::target::Target;
use gce_metadata_server::Variables;

/// The clients that read one of the variables.
pub(super) const CLIENTS: &[Client] = &[Python, Node, Go, Java, Dotnet, Ruby, Cpp, Rust, Gcloud, Terraform];

/// The readers of `GCE_METADATA_HOST` that put `http://` before it in any case.
const WITHOUT_SCHEME: &[Client] = &[Python, Go, Java, Dotnet, Cpp, Rust, Terraform];

fn address_variables() -> impl Iterator<Item = &'static Variable> {
    VARIABLES.iter().filter(|variable| variable.change == Change::Address)
}

/// The server that the variables name, also if the syntax of the value is wrong.
pub(super) fn named(variables: &Variables) -> Option<Target> {
    address_variables().filter_map(|variable| variables.text(variable.name)).find_map(|value| repaired(&value))
}

/// Whether no variable has an address.
pub(super) fn is_unset(facts: &Facts) -> bool {
    address_variables().all(|variable| facts.variable(variable.name).is_none())
}

pub(super) fn fine(facts: &Facts) -> String {
    match is_unset(facts) {
        true => "no variable is set: clients ask 169.254.169.254, where a metadata server answers".to_owned(),
        false => format!("the variables name {}", facts.target),
    }
}

pub(super) fn find(facts: &Facts) -> Option<Vec<Finding>> {
    if !is_unset(facts) {
        return Some(address_variables().filter_map(|variable| check(facts, variable)).collect());
    }
    if facts.fixed_address_answers {
        return Some(Vec::new());
    }
    let what = "no variable names the server: clients ask metadata.google.internal or 169.254.169.254, where no metadata \
                server answers";
    let remedy = format!("eval \"$(gce-metadata-server env --url http://{})\"", facts.target);
    Some(vec![Finding::error(what, CLIENTS).remedy(remedy).or(EXEC)])
}

fn check(facts: &Facts, variable: &Variable) -> Option<Finding> {
    let &Variable { name, readers, .. } = variable;
    let Some(value) = facts.variable(name) else { return missing(facts, name) };
    if let Some(fault) = syntax_fault(&value) {
        let target = repaired(&value).unwrap_or_else(|| facts.target.clone());
        return Some(wrong_syntax(name, readers, fault).remedy(export(name, &target.to_string())));
    }
    let named = Target::from_host(&value)?;
    if named == facts.target {
        return None;
    }
    let ask = sentence(readers, "asks", "ask");
    let what = format!("{name} names another server than {}: {ask} {named}", facts.target);
    Some(Finding::warning(what, readers).remedy(export(name, &facts.target.to_string())))
}

fn missing(facts: &Facts, name: &'static str) -> Option<Finding> {
    let (why, readers): (_, &'static [Client]) = match name {
        "GCE_METADATA_HOST" => ("most clients ask metadata.google.internal", WITHOUT_SCHEME),
        "GCE_METADATA_IP" => ("Python pings 169.254.169.254, and concludes that there is no server", &[Python]),
        "GCE_METADATA_ROOT" => ("gcloud, gsutil and bq ask metadata.google.internal", &[Gcloud]),
        _ => return None,
    };
    let remedy = export(name, &facts.target.to_string());
    Some(Finding::warning(format!("{name} is not set: {why}"), readers).remedy(remedy).or(EXEC))
}

/// A fault in the syntax of an address. The value is not quoted in messages, because it may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Scheme,
    Slash,
    Path,
    Dot,
    Other,
}

fn syntax_fault(value: &str) -> Option<Fault> {
    if value.contains("://") {
        return Some(Fault::Scheme);
    }
    if let Some((_, path)) = value.split_once('/') {
        return Some(if path.is_empty() { Fault::Slash } else { Fault::Path });
    }
    match Target::from_host(value) {
        None => Some(Fault::Other),
        Some(target) => target.bare_host().ends_with('.').then_some(Fault::Dot),
    }
}

fn wrong_syntax(name: &'static str, readers: &'static [Client], fault: Fault) -> Finding {
    match fault {
        Fault::Scheme => {
            let clients = if name == "GCE_METADATA_HOST" { WITHOUT_SCHEME } else { readers };
            let put = sentence(clients, "puts", "put");
            Finding::error(format!("{name} has a scheme: {put} another http:// before it"), clients)
        }
        Fault::Slash => Finding::warning(
            format!("{name} ends with a slash: the paths of requests begin with two, which not every server accepts"),
            readers,
        ),
        Fault::Path => {
            let append = sentence(readers, "appends", "append");
            Finding::error(format!("{name} has a path: {append} /computeMetadata to it"), readers)
        }
        Fault::Dot => {
            let what =
                format!("{name} ends with a dot: an IP address can't, and a name with a dot is not found in NO_PROXY");
            Finding::warning(what, readers)
        }
        Fault::Other => Finding::error(format!("{name} is not HOST or HOST:PORT: no client can use it"), readers),
    }
}

/// The address without scheme, user, path, and dot at the end.
fn repaired(value: &str) -> Option<Target> {
    let value = value.trim();
    let value = value.split_once("://").map_or(value, |(_, rest)| rest);
    let authority = value.split('/').next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, rest)| rest);
    let authority = match authority.rsplit_once(':') {
        Some((host, port)) if host.ends_with('.') => format!("{}:{port}", host.trim_end_matches('.')),
        _ => authority.trim_end_matches('.').to_owned(),
    };
    Target::from_host(&authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_address_is_repaired() {
        for (value, expected) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("https://user:password@metadata/", "metadata:80"),
            ("127.0.0.1:8080/computeMetadata", "127.0.0.1:8080"),
            ("metadata.google.internal.", "metadata.google.internal:80"),
            ("metadata.:8080", "metadata:8080"),
            ("[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(repaired(value).unwrap().to_string(), expected);
        }
        assert_eq!(repaired("a b"), None);
    }

    #[test]
    fn a_password_in_an_address_is_not_printed() {
        let mut facts = Facts::example(&[("GCE_METADATA_HOST", "http://user:made-up@127.0.0.1:8080")]);
        for _ in 0..2 {
            let lines: Vec<_> = find(&facts).unwrap().iter().map(|finding| finding.line("address")).collect();
            assert!(lines.len() == 1 && !lines[0].contains("made-up"), "{lines:?}");
            facts = Facts::example(&[("GCE_METADATA_HOST", "user:made-up@127.0.0.1:8080")]);
        }
    }

    #[test]
    fn without_variables_a_server_at_the_fixed_address_is_fine() {
        let mut facts = Facts::example(&[]);
        facts.variables = Variables::default();
        assert!(find(&facts).unwrap()[0].line("address").starts_with("error: no variable names the server: "));
        facts.fixed_address_answers = true;
        assert_eq!(find(&facts).unwrap().len(), 0);
    }
}
