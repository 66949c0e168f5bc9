//! `completions` and `man`: the shells parse the scripts, and groff formats the pages.

use super::{folder, program};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The commands of the program.
const COMMANDS: [&str; 20] = [
    "serve",
    "exec",
    "env",
    "doctor",
    "get",
    "set",
    "patch",
    "unset",
    "reset",
    "export",
    "capture",
    "certs",
    "check-config",
    "schema",
    "health",
    "token",
    "completions",
    "man",
    "pkcs11",
    "tpm",
];

fn stdout(args: &str) -> String {
    let Output { status, stdout, stderr } = program(Path::new("/"), args).output().unwrap();
    assert!(status.success() && stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// Writes the completion script of a shell to a file, and asserts that the shell parses the file.
fn assert_parsed(shell: &str, option: &str) {
    let folder = folder();
    std::fs::write(folder.path().join("script"), stdout(&format!("completions {shell}"))).unwrap();
    let Output { status, stdout, stderr } =
        Command::new(shell).args([option, "script"]).current_dir(folder.path()).output().unwrap();
    let messages = [stdout, stderr].concat();
    assert!(status.success() && messages.is_empty(), "{shell}: {}", String::from_utf8_lossy(&messages));
}

#[test]
fn bash_parses_its_completion_script() {
    assert_parsed("bash", "-n");
}

#[test]
#[ignore = "needs zsh and fish: scripts/test"]
fn zsh_and_fish_parse_their_completion_scripts() {
    assert_parsed("zsh", "-n");
    assert_parsed("fish", "--no-execute");
}

#[test]
fn bash_completes_commands_and_options() {
    let folder = folder();
    std::fs::write(folder.path().join("script"), stdout("completions bash")).unwrap();
    let completed = |words: &str| {
        let script = format!(
            "source ./script; FUNCTION=$(complete -p gce-metadata-server | sed 's/.*-F //; s/ .*//'); \
             COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             $FUNCTION gce-metadata-server \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; \
             echo \"${{COMPREPLY[*]}}\""
        );
        let output = Command::new("bash").args(["--norc", "-c", &script]).current_dir(folder.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(completed("gce-metadata-server hea"), "health");
    assert_eq!(completed("gce-metadata-server token veri"), "verify");
    assert_eq!(completed("gce-metadata-server serve --exit"), "--exit-with-parent");
    assert_eq!(completed("gce-metadata-server --announce ''"), "shell json");
}

#[test]
fn each_shell_has_a_script_and_other_names_are_refused() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = stdout(&format!("completions {shell}"));
        assert!(COMMANDS.iter().all(|command| script.contains(command)), "{shell}");
    }
    let error = super::refused::refused(Path::new("/"), "completions csh");
    assert!(error.contains("possible values: bash, elvish, fish, powershell, zsh"), "{error}");
}

/// The manual pages, by the names of their files.
fn pages(folder: &Path) -> Vec<(String, String)> {
    assert_eq!(stdout(&format!("man --out {}", folder.join("new/man1").display())), "");
    let files = std::fs::read_dir(folder.join("new/man1")).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    files.map(|path| (name(&path), std::fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn each_command_has_a_manual_page_with_a_title_and_a_name() {
    let folder = folder();
    let pages = pages(folder.path());
    let page = |command: &str| {
        let file = format!("gce-metadata-server{command}.1");
        &pages.iter().find(|(name, _)| *name == file).unwrap_or_else(|| panic!("{file} is missing")).1
    };
    for command in COMMANDS {
        let page = page(&format!("-{command}"));
        assert!(page.lines().any(|line| line.starts_with(&format!(".TH gce-metadata-server-{command} 1 "))), "{page}");
        for section in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION"] {
            assert!(page.lines().any(|line| line == section), "{section}: {page}");
        }
    }
    assert!(page("-token-verify").contains("JSON Web Key Set"));
    assert!(page("-certs-init").contains("dns\\-name"));
    assert_eq!(stdout("man"), *page(""));
    assert!(page("").contains(".SH \"BASE OPTIONS\""), "{}", page(""));
}

#[test]
#[ignore = "needs groff: scripts/test"]
fn groff_formats_the_manual_pages_without_warnings() {
    let folder = folder();
    for (name, _) in pages(folder.path()) {
        let page = folder.path().join("new/man1").join(&name);
        let mut groff = Command::new("groff");
        groff.args(["-man", "-ww", "-z", "-Tutf8", "-Kutf8"]).arg(page).stdin(Stdio::null());
        let Output { status, stderr, .. } = groff.output().unwrap();
        assert!(status.success() && stderr.is_empty(), "{name}: {}", String::from_utf8_lossy(&stderr));
    }
}
