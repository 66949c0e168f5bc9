//! The test that holds `docs/reference-cli.md`: everything below its marker is rendered from the options, so that page and program
//! agree. `UPDATE_DOCS=1 cargo test --all-features reference` rewrites the page.

use super::Cli;
use clap::{Arg, ArgAction, Command, CommandFactory};
use std::fmt::Write;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference-cli.md");

/// The text above this line is written by hand.
const MARKER: &str = "<!-- Rendered from the options: UPDATE_DOCS=1 cargo test --all-features reference -->\n";

#[test]
fn the_page_of_the_command_line_lists_every_option() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (by_hand, rendered) = page.split_once(MARKER).unwrap();
    let expected = format!("\n{}", render(Cli::command()));
    // clippy.toml has environment variables read in one place; a test has no other switch.
    #[allow(clippy::disallowed_methods)]
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, format!("{by_hand}{MARKER}{expected}")).unwrap();
        return;
    }
    let outdated = rendered.lines().zip(expected.lines()).find(|(is, should)| is != should);
    assert!(
        rendered == expected,
        "{PAGE} is outdated, UPDATE_DOCS=1 rewrites it: {}",
        outdated.map_or("another length".to_owned(), |(is, should)| format!("`{is}` should be `{should}`"))
    );
}

#[test]
fn the_rendered_page_has_options_with_aliases_defaults_and_values() {
    let page = render(Cli::command());
    for row in [
        "## serve\n",
        "### Base Options\n",
        "| `--config-file FILE`, `--configFile` | ",
        "| `--unset` | Unset the variables instead, and remove the folder in CLOUDSDK_CONFIG if `env` created it |\n",
        "| `--port PORT` | Port to listen at, with or without a colon before it; 0 is any free port (default: 8080) |\n",
        "| `--tpm` | ",
        "| `--jwks URL\\|FILE` | ",
        "### certs init\n",
        "| `FOLDER` | ",
        "## Environment variables\n",
        "| `GOOGLE_PROJECT_ID` | ",
    ] {
        assert!(page.contains(row), "{row}");
    }
    assert!(page.contains("`empty`: an empty object"), "{page}");
}

/// All commands with their options, and the environment variables, as Markdown.
fn render(mut program: Command) -> String {
    program.build();
    let mut page = String::new();
    let serve = program.find_subcommand("serve").unwrap().clone();
    for command in program.get_subcommands() {
        section(&mut page, "##", command.get_name(), command, &serve);
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            section(&mut page, "###", &format!("{} {}", command.get_name(), below.get_name()), below, &serve);
        }
    }
    let variables = super::options::LONG_HELP;
    let rows = variables_of(variables).into_iter().map(|(names, meaning)| row(&code(&names), &meaning));
    table(&mut page, "## Environment variables", "variable", rows);
    page.trim_end().to_owned() + "\n"
}

/// A command: what it does, and a table for each heading of its options. The options of `serve` are listed once.
fn section(page: &mut String, level: &str, name: &str, command: &Command, serve: &Command) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    write!(page, "{level} {name}\n\n{about}.\n\n").unwrap();
    let has = |command: &Command, arg: &Arg| command.get_arguments().any(|other| other.get_id() == arg.get_id());
    let serves = name != "serve" && serve.get_arguments().all(|arg| is_help(arg) || has(command, arg));
    if serves {
        page.push_str("It also accepts the options of [serve](#serve).\n\n");
    }
    let shown: Vec<_> = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !is_help(arg))
        .filter(|arg| !serves || !has(serve, arg))
        .collect();
    let mut headings: Vec<Option<&str>> = Vec::new();
    for heading in shown.iter().map(|arg| arg.get_help_heading()) {
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    for heading in headings {
        let rows = shown.iter().filter(|arg| arg.get_help_heading() == heading);
        let title = heading.map(|heading| format!("{level}# {heading}")).unwrap_or_default();
        table(page, &title, "option", rows.map(|arg| row(&names(arg), &meaning(arg))));
    }
}

fn is_help(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Help | ArgAction::Version)
}

fn table(page: &mut String, title: &str, first: &str, rows: impl Iterator<Item = String>) {
    if !title.is_empty() {
        write!(page, "{title}\n\n").unwrap();
    }
    writeln!(page, "| {first} | meaning |\n|---|---|").unwrap();
    rows.for_each(|row| page.push_str(&row));
    page.push('\n');
}

fn row(first: &str, second: &str) -> String {
    let [first, second] = [first, second].map(|cell| cell.replace('|', "\\|"));
    format!("| {first} | {} |\n", second.replace('<', "&lt;"))
}

/// Each name in code: `--config-file FILE`, `--configFile`.
fn names(arg: &Arg) -> String {
    let value = arg.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let Some(long) = arg.get_long() else { return format!("`{}`", value.trim_matches(['<', '>'])) };
    // A flag of Go's accepts `=true`, which is not worth a value here.
    let has_value = arg.get_action().takes_values() && value != "BOOL" && !value.is_empty();
    let value = if has_value { format!(" {value}") } else { String::new() };
    let long = if long.len() == 1 { format!("-{long}") } else { format!("--{long}") };
    let aliases = arg.get_visible_aliases().unwrap_or_default();
    let aliases = aliases.iter().map(|alias| format!("--{alias}"));
    code(&std::iter::once(format!("{long}{value}")).chain(aliases).collect::<Vec<_>>().join(", "))
}

fn code(names: &str) -> String {
    names.split(", ").map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn meaning(arg: &Arg) -> String {
    let mut text = arg.get_help().map(ToString::to_string).unwrap_or_default();
    if let Some((start, default)) = text.clone().split_once(" [default: ") {
        text = format!("{start} (default: {})", default.trim_end_matches(']'));
    }
    let values = arg.get_possible_values();
    if !values.is_empty() && !arg.is_hide_possible_values_set() {
        let values = values.iter().map(|value| match value.get_help() {
            Some(help) => format!("`{}`: {}", value.get_name(), lower(&help.to_string())),
            None => format!("`{}`", value.get_name()),
        });
        text = format!("{text}; {}", values.collect::<Vec<_>>().join(", "));
    }
    let default = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let has_default = arg.get_action().takes_values() && !default.is_empty() && !arg.is_hide_default_value_set();
    if has_default { format!("{text} (default `{default}`)") } else { text }
}

fn lower(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// The names and meanings in the text below `--help`: two spaces before names, more before the meaning.
fn variables_of(text: &str) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for line in text.lines().skip(1) {
        let trimmed = line.trim();
        let (names, meaning) = match (line.starts_with("   "), trimmed.split_once("  ")) {
            (true, _) => ("", trimmed),
            (false, Some((names, meaning))) => (names, meaning.trim()),
            (false, None) => (trimmed, ""),
        };
        match variables.last_mut() {
            Some((_, last)) if names.is_empty() => *last = format!("{last} {meaning}").trim().to_owned(),
            _ => variables.push((names.to_owned(), meaning.to_owned())),
        }
    }
    variables
}
