//! `completions SHELL` prints a completion script; `man` prints or writes the manual pages. Both are made from the command line's
//! definition, so they have every command and option of this build.

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man as ManualPage;
use std::io::{self, Write};
use std::path::PathBuf;

const COMPLETIONS_NOTES: &str = "\
Examples:
  gce-metadata-server completions bash > /usr/share/bash-completion/completions/gce-metadata-server
  gce-metadata-server completions zsh > /usr/share/zsh/vendor-completions/_gce-metadata-server
  gce-metadata-server completions fish > /usr/share/fish/vendor_completions.d/gce-metadata-server.fish";

const MAN_NOTES: &str = "\
Examples:
  gce-metadata-server man | man -l -
  gce-metadata-server man --out /usr/local/share/man/man1";

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_NOTES)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self, mut program: Command) -> anyhow::Result<()> {
        let (name, mut script) = (program.get_name().to_owned(), Vec::new());
        clap_complete::generate(self.shell, &mut program, &*name, &mut script);
        let script = String::from_utf8(script).context("the completion script is not UTF-8")?;
        print(if self.shell == Shell::Bash { consistent(&script, &name) } else { script }.as_bytes())
    }
}

/// Replaces the names of states in the bash script by those that the script sets. clap_complete 4.6 writes a hyphen of the program's
/// name in two ways, so that the script would complete no command after the first.
fn consistent(script: &str, name: &str) -> String {
    script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"))
}

/// Print the manual page of the program, or write the pages of all commands
#[derive(Debug, Args)]
#[command(after_help = MAN_NOTES)]
pub(crate) struct Man {
    /// Folder for a page of each command, created if it does not exist; existing pages are overwritten
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(&self, program: Command) -> anyhow::Result<()> {
        let Some(folder) = &self.out else {
            let mut page = Vec::new();
            ManualPage::new(program).render(&mut page)?;
            return print(&page);
        };
        let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(program, folder));
        written.with_context(|| folder.display().to_string())
    }
}

fn print(text: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout();
    out.write_all(text).and_then(|()| out.flush()).context("can't write to standard output")
}
