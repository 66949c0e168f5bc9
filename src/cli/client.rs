//! The client libraries and tools that `doctor` knows, by the names of `--client`.

use clap::ValueEnum;

/// Google's libraries of a language, or a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    Python,
    Node,
    Go,
    Java,
    Dotnet,
    Php,
    Ruby,
    Cpp,
    Rust,
    Gcloud,
    Terraform,
}

use Client::{Cpp, Dotnet, Gcloud, Go, Java, Node, Php, Python, Ruby, Rust, Terraform};

impl Client {
    pub(super) const ALL: &'static [Self] = &[Python, Node, Go, Java, Dotnet, Php, Ruby, Cpp, Rust, Gcloud, Terraform];

    /// The name in a sentence.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Python => "Python",
            Node => "Node",
            Go => "Go",
            Java => "Java",
            Dotnet => ".NET",
            Php => "PHP",
            Ruby => "Ruby",
            Cpp => "C++",
            Rust => "Rust",
            Gcloud => "gcloud",
            Terraform => "Terraform",
        }
    }

    /// The name as a value of `--client`.
    pub(super) fn id(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// A sentence about clients: their names, and the verb in its singular or plural form.
pub(super) fn sentence(clients: &[Client], singular: &str, plural: &str) -> String {
    let names: Vec<_> = clients.iter().map(|client| client.name()).collect();
    match &names[..] {
        [] => format!("clients {plural}"),
        [name] => format!("{name} {singular}"),
        [names @ .., last] => format!("{} and {last} {plural}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verb_agrees_with_the_number_of_clients() {
        assert_eq!(sentence(&[Node], "reads it", "read it"), "Node reads it");
        assert_eq!(sentence(&[Python, Node, Java], "reads it", "read it"), "Python, Node and Java read it");
    }

    #[test]
    fn the_ids_are_the_names_of_languages_and_tools() {
        let ids: Vec<_> = Client::ALL.iter().map(|client| client.id()).collect();
        let expected = "python node go java dotnet php ruby cpp rust gcloud terraform";
        assert_eq!(ids.join(" "), expected);
    }
}
