//! `--interface` before a command.
//!
//! The entry point of the image is `gce-metadata-server --interface 0.0.0.0`, so that `docker run IMAGE --port 80` listens where other
//! containers reach it. Arguments of `docker run` follow it, and they may be a command: `docker run IMAGE check-config vm.json`.

use clap::Command;
use std::ffi::OsString;

/// Moves `--interface` behind the command `serve`, and removes it before every other command. All other arguments stay as they are.
///
/// `exec` listens too, but its server is for programs in the same container: 127.0.0.1 is enough, and no other container gets tokens.
pub(super) fn without_leading_interface(program: &Command, arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<_> = arguments.collect();
    let Some(command) = arguments.get(1).and_then(option_length).map(|length| 1 + length) else { return arguments };
    let name = arguments.get(command).and_then(|name| name.to_str());
    match name {
        Some("serve") => arguments[1..=command].rotate_right(1),
        Some(name) if name == "help" || program.find_subcommand(name).is_some() => drop(arguments.drain(1..command)),
        _ => {}
    }
    arguments
}

/// The number of arguments that `--interface` and its value take; `None` for another argument.
fn option_length(argument: &OsString) -> Option<usize> {
    match argument.to_str()? {
        "--interface" | "-interface" => Some(2),
        text => (text.starts_with("--interface=") || text.starts_with("-interface=")).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn moved(line: &str) -> String {
        let arguments = format!("program {line}");
        let arguments = arguments.trim_end().split(' ').map(OsString::from);
        let moved = without_leading_interface(&super::super::Cli::command(), arguments);
        moved[1..].join(&OsString::from(" ")).into_string().unwrap()
    }

    #[test]
    fn commands_that_do_not_listen_ignore_the_interface() {
        for command in ["check-config vm.json", "certs init certs", "health", "exec -- true", "help exec", "tpm show"] {
            for option in ["--interface 0.0.0.0", "--interface=0.0.0.0", "-interface 0.0.0.0", "--interface="] {
                assert_eq!(moved(&format!("{option} {command}")), command);
            }
        }
    }

    #[test]
    fn serve_takes_the_interface() {
        assert_eq!(moved("--interface 0.0.0.0 serve --port 80"), "serve --interface 0.0.0.0 --port 80");
        assert_eq!(moved("--interface=:: serve"), "serve --interface=::");
    }

    #[test]
    fn other_arguments_stay_as_they_are() {
        let lines = [
            "",
            "--interface",
            "--interface 0.0.0.0",
            "--interface 0.0.0.0 --port 80",
            "--interface 0.0.0.0 --port 80 serve",
            "--interface 0.0.0.0 unknown",
            "exec --interface 0.0.0.0 -- health",
        ];
        for line in lines {
            assert_eq!(moved(line), line);
        }
    }
}
