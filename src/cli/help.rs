//! The list of commands in the help, in groups. The short help (`-h`) describes the first group and names the other commands; `--help`
//! describes all. A new command is a word in [`GROUPS`].

use clap::Command;
use std::fmt::Write;

/// The headings and their commands. The short help describes those of the first.
pub(super) const GROUPS: &[(&str, &[&str])] = &[
    ("Commands", &["serve", "exec", "env", "doctor", "check-config", "capture"]),
    (
        "Commands for a Running Server",
        &[
            "get", "set", "patch", "unset", "reset", "export", "requests", "verify", "fault", "scenario", "token",
            "health",
        ],
    ),
    ("Other Commands", &["certs", "tpm", "pkcs11", "schema", "completions", "man", "help"]),
];

const HELP: &str = "Print this message, or the help of a command";

/// The list of commands is the text before the help of the options.
const TEMPLATE: &str = "{about-with-newline}\n{usage-heading} {usage}\n\n{before-help}{all-args}{after-help}";

const USAGE: &str = "gce-metadata-server [OPTIONS]\n       gce-metadata-server <COMMAND>";

/// Replaces clap's list of commands by the groups.
pub(super) fn with_groups(mut program: Command) -> Command {
    let (short, long) = (groups(&program, |group| group == 0), groups(&program, |_| true));
    let names: Vec<_> = program.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names {
        program = program.mut_subcommand(name, |command| command.hide(true));
    }
    // Without commands to list, clap's own usage would not name them.
    program.help_template(TEMPLATE).override_usage(USAGE).before_help(short).before_long_help(long)
}

/// The groups as text. Of a group that is not described, only the names are listed.
fn groups(program: &Command, is_described: impl Fn(usize) -> bool) -> String {
    let width = GROUPS.iter().flat_map(|(_, names)| names.iter()).map(|name| name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (index, (heading, names)) in GROUPS.iter().enumerate() {
        let separator = if index == 0 { "" } else { "\n\n" };
        // Writing to a string does not fail.
        let _ = write!(text, "{separator}{heading}:");
        if is_described(index) {
            for name in *names {
                let _ = write!(text, "\n  {name:width$}  {}", about(program, name));
            }
        } else {
            let _ = write!(text, "\n  {}", names.join(", "));
        }
    }
    text
}

fn about(program: &Command, name: &str) -> String {
    let about = program.find_subcommand(name).and_then(Command::get_about);
    about.map_or_else(|| HELP.to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    #[test]
    fn every_command_is_in_one_group() {
        let mut grouped: Vec<_> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        grouped.sort_unstable();
        let program = Cli::command();
        let mut commands: Vec<_> = program.get_subcommands().map(Command::get_name).chain(["help"]).collect();
        commands.sort_unstable();
        assert_eq!(grouped, commands);
    }

    #[test]
    fn the_long_help_describes_every_command_and_the_short_one_names_it() {
        let program = with_groups(Cli::command());
        let (long, short) = (program.clone().render_long_help().to_string(), program.clone().render_help().to_string());
        for command in program.get_subcommands() {
            let (name, about) = (command.get_name(), command.get_about().unwrap().to_string());
            assert!(
                long.lines().any(|line| line.starts_with(&format!("  {name} ")) && line.ends_with(&about)),
                "{long}"
            );
            assert!(short.contains(name), "{name}: {short}");
        }
    }
}
