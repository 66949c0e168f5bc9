//! The command line: [`parse`] turns the arguments into a [`Command`], and [`Command::run`] runs it.
//!
//! Each command is a file of this folder. A new command needs a module, a variant of [`Command`], an arm of [`Command::run`] and a
//! word in the groups of the help (`help.rs`).
//! `serve` is the default command: `gce-metadata-server --port 80` means `gce-metadata-server serve --port 80`. Its options are
//! [`ServeOptions`], which other commands can flatten into their own.
//!
//! The modules depend on each other in this order: commands, then the parts of `serve` (`start`, `signals`, `announce`,
//! `logging`), then `options`, then `values` and `go`.

mod admin;
mod announce;
mod block_on;
mod capture;
mod certs;
mod check_config;
mod child;
mod client;
mod client_env;
mod completions;
mod doctor;
mod entrypoint;
mod env;
mod exec;
mod file;
mod go;
mod health;
mod help;
mod http_client;
#[cfg(any(feature = "tpm", feature = "pkcs11"))]
mod key_output;
mod log_fields;
mod logging;
mod options;
#[cfg(any(feature = "tpm", feature = "pkcs11"))]
mod output_file;
mod parent;
#[cfg(feature = "pkcs11")]
mod pkcs11;
#[cfg(all(test, feature = "tpm"))]
mod reference;
mod schema;
mod scratch;
mod serve;
mod shell;
mod signals;
mod start;
mod target;
mod token;
#[cfg(feature = "tpm")]
mod tpm;
mod usage_error;
mod values;

use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use gce_metadata_server::Environment;
use serve::Serve;
use std::ffi::OsString;
use std::process::ExitCode;

const SHORT_ABOUT: &str =
    "An emulator of Compute Engine's metadata server. Example: gce-metadata-server --config-file vm.json";

const ABOUT: &str = "\
An emulator of Google Compute Engine's metadata server.

Examples:
  gce-metadata-server --config-file vm.json      serve the metadata of this file
  gce-metadata-server exec -- python3 main.py    run a program as on a VM";

/// An emulator of Google Compute Engine's metadata server.
#[derive(Debug, Parser)]
#[command(
    name = "gce-metadata-server",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = options::LONG_HELP
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    // The options of the default command.
    #[command(flatten)]
    serve: Box<Serve>,

    /// Print version
    #[arg(long, short = 'V', action = ArgAction::Version, help_heading = options::BASE)]
    version: Option<bool>,

    /// Print help
    #[arg(long, short, global = true, action = ArgAction::Help, help_heading = options::BASE)]
    help: Option<bool>,
}

/// The commands of the program.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve metadata (the default command)
    Serve(Box<Serve>),

    Exec(Box<exec::Exec>),

    Env(env::Env),

    Doctor(doctor::Doctor),

    Get(admin::Get),

    Set(admin::Set),

    Patch(admin::Patch),

    Unset(admin::Unset),

    Reset(admin::Reset),

    Export(admin::Export),

    Requests(admin::Requests),

    Verify(admin::Verify),

    /// Inject faults into the answers of a running server
    #[command(subcommand, arg_required_else_help = false)]
    Fault(admin::Fault),

    /// Run scenarios on a running server, such as a preemption
    #[command(subcommand, arg_required_else_help = false)]
    Scenario(admin::Scenario),

    Capture(capture::Capture),

    /// Create certificates for HTTPS
    #[command(subcommand, arg_required_else_help = false)]
    Certs(certs::Certs),

    /// Check config and simulation files
    CheckConfig(check_config::CheckConfig),

    /// Print a JSON Schema, by which editors complete keys and values
    #[command(subcommand, arg_required_else_help = false)]
    Schema(schema::Schema),

    Health(health::Health),

    /// Check tokens, and change those of a running server
    #[command(subcommand, arg_required_else_help = false)]
    Token(token::Token),

    Completions(completions::Completions),

    Man(completions::Man),

    /// Show the keys in PKCS#11 tokens, such as hardware security modules
    #[cfg(feature = "pkcs11")]
    #[command(subcommand, arg_required_else_help = false)]
    Pkcs11(Box<pkcs11::Pkcs11>),

    /// Show the keys in PKCS#11 tokens, such as hardware security modules (not in this build)
    #[cfg(not(feature = "pkcs11"))]
    Pkcs11 {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        rest: Vec<String>,
    },

    /// Manage keys in a Trusted Platform Module
    #[cfg(feature = "tpm")]
    #[command(subcommand, arg_required_else_help = false)]
    Tpm(Box<tpm::Tpm>),

    /// Manage keys in a Trusted Platform Module (not in this build)
    #[cfg(not(feature = "tpm"))]
    Tpm {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        rest: Vec<String>,
    },
}

/// The command line with the command `help` and a short help. Manual pages and completion scripts have neither: they describe every
/// option.
fn with_help() -> clap::Command {
    let short = |command: clap::Command| {
        let command = command.mut_args(options::in_short_help);
        command.after_help(options::SHORT_HELP).after_long_help(options::LONG_HELP)
    };
    let program = Cli::command().disable_help_subcommand(false).about(SHORT_ABOUT).long_about(ABOUT);
    let program = help::with_groups(program);
    short(program).mut_subcommand("serve", short).mut_subcommand("exec", |exec| exec.mut_args(options::in_short_help))
}

/// Parses the program's arguments. The first one is the name of the program.
///
/// # Errors
/// Clap's error, which [`one_line`] formats. Help and version are errors too.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, clap::Error> {
    let arguments: Vec<_> = arguments.collect();
    if let Ok(serve) = parse_options(&arguments) {
        return Ok(Command::Serve(Box::new(serve)));
    }
    let mut command = with_help();
    let arguments = entrypoint::without_leading_interface(&command, arguments.into_iter());
    let arguments = go::normalized(&command, arguments.into_iter());
    let mut matches = command.try_get_matches_from_mut(arguments)?;
    if let Some((name @ "exec", matches)) = matches.subcommand()
        && let Some(command) = command.find_subcommand(name)
    {
        exec::check(command, matches)?;
    }
    let cli = Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))?;
    Ok(cli.command.unwrap_or(Command::Serve(cli.serve)))
}

/// Parses a command line that has options of the server only. Most starts have no other, and need not wait until all commands with their
/// options are built, which takes as long as loading a config. An error is that of [`parse`], which knows the commands.
fn parse_options(arguments: &[OsString]) -> Result<Serve, clap::Error> {
    let options = clap::Command::new("gce-metadata-server").disable_help_flag(true).disable_version_flag(true);
    let mut options = Serve::augment_args(options.args_override_self(true));
    let arguments = go::normalized(&options, arguments.iter().cloned());
    Serve::from_arg_matches(&options.try_get_matches_from_mut(arguments)?)
}

/// Formats an error of [`parse`] on one line.
pub(crate) fn one_line(error: &clap::Error) -> String {
    usage_error::one_line(&Cli::command(), error)
}

/// The exit status of a command that fails.
const FAILURE: u8 = 1;

/// The exit status for a wrong command line of the commands in [`WITH_USAGE_STATUS`].
const USAGE: u8 = 2;

/// The commands whose status 1 has another meaning: a server can't start, a token is not valid, the admin API refuses a request, an
/// expectation does not hold.
const WITH_USAGE_STATUS: [&str; 14] = [
    "exec", "env", "capture", "token", "get", "set", "patch", "unset", "reset", "export", "requests", "verify",
    "fault", "scenario",
];

/// The exit status for arguments that [`parse`] refuses.
pub(crate) fn usage_status(arguments: impl Iterator<Item = OsString>) -> u8 {
    let arguments = entrypoint::without_leading_interface(&Cli::command(), arguments);
    let has_status = |command: &OsString| WITH_USAGE_STATUS.iter().any(|known| command == known);
    if arguments.get(1).is_some_and(has_status) { USAGE } else { FAILURE }
}

/// The exit status for an error of [`Command::run`].
pub(crate) fn failure_status(error: &anyhow::Error) -> u8 {
    if error.is::<usage_error::UsageError>() { USAGE } else { FAILURE }
}

impl Command {
    /// Runs the command until it ends.
    pub(crate) fn run(self, environment: Environment) -> anyhow::Result<ExitCode> {
        match self {
            Self::Serve(serve) => serve.run(environment)?,
            Self::Exec(exec) => return exec.run(environment),
            Self::Env(env) => env.run(&environment)?,
            Self::Doctor(doctor) => return doctor.run(&environment),
            Self::Get(get) => get.run(&environment)?,
            Self::Set(set) => set.run(&environment)?,
            Self::Patch(patch) => patch.run(&environment)?,
            Self::Unset(unset) => unset.run(&environment)?,
            Self::Reset(reset) => reset.run(&environment)?,
            Self::Export(export) => export.run(&environment)?,
            Self::Requests(requests) => requests.run(&environment)?,
            Self::Verify(verify) => verify.run(&environment)?,
            Self::Fault(fault) => fault.run(&environment)?,
            Self::Scenario(scenario) => scenario.run(&environment)?,
            Self::Capture(capture) => capture.run(&environment)?,
            Self::Certs(certs) => certs.run()?,
            Self::CheckConfig(check) => return check.run(),
            Self::Schema(schema) => schema.run()?,
            Self::Health(health) => health.run(&environment)?,
            Self::Token(token) => token.run(&environment)?,
            Self::Completions(completions) => completions.run(Cli::command())?,
            Self::Man(man) => man.run(Cli::command())?,
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(pkcs11) => pkcs11.run(&environment)?,
            #[cfg(not(feature = "pkcs11"))]
            Self::Pkcs11 { .. } => anyhow::bail!(options::MISSING_PKCS11),
            #[cfg(feature = "tpm")]
            Self::Tpm(tpm) => tpm.run(&environment)?,
            #[cfg(not(feature = "tpm"))]
            Self::Tpm { .. } => anyhow::bail!(options::MISSING_TPM),
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        let words = ["gce-metadata-server"].into_iter().chain(line.split(' ').filter(|word| !word.is_empty()));
        super::parse(words.map(OsString::from)).map_err(|error| one_line(&error))
    }

    #[test]
    fn options_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default_command() {
        for options in ["", "--port 0", "-port :0 -v 5 --use-mtls=false", "-domainsocket m.sock -port=1 -port=2"] {
            let (default, named) = (parse(options).unwrap(), parse(&format!("serve {options}")).unwrap());
            assert!(matches!(default, Command::Serve(_)), "{default:?}");
            assert_eq!(format!("{default:?}"), format!("{named:?}"));
        }
    }

    #[test]
    fn an_unknown_command_is_an_error_that_lists_the_commands() {
        let program = Cli::command();
        let names = program.get_subcommands().map(clap::Command::get_name).collect::<Vec<_>>().join(", ");
        assert!(names.starts_with("serve, "), "{names}");
        for line in ["extra", "serv", "--port 0 extra"] {
            let word = line.rsplit(' ').next().unwrap();
            let expected = format!("unexpected argument '{word}'; commands are {names} (see --help)");
            assert_eq!(parse(line).unwrap_err(), expected);
        }
        assert_eq!(
            parse("certs extra").unwrap_err(),
            "unexpected argument 'extra'; commands are init, renew (see --help)"
        );
        assert_eq!(parse("serve extra").unwrap_err(), "unexpected argument 'extra' found (see --help)");
    }

    #[test]
    fn an_option_before_the_command_is_an_error_that_names_the_order() {
        assert_eq!(
            parse("--port 0 serve").unwrap_err(),
            "options go after the command: '--port <PORT>' is before 'serve' (see --help)"
        );
    }

    #[test]
    fn the_short_help_fits_on_a_screen() {
        let help = with_help().render_help().to_string();
        assert!(help.lines().count() <= 48, "{} lines: {help}", help.lines().count());
        for line in ["Example: ", "  exec ", "--config-file", "--service-account-file", "--quiet", "--help lists all"] {
            assert!(help.contains(line), "{line}: {help}");
        }
        assert!(!help.contains("--offline-issuer") && !help.contains("Environment Variables:"), "{help}");
    }

    #[test]
    fn no_text_of_the_help_is_wrapped_at_a_hundred_columns() {
        for text in [super::ABOUT, super::options::LONG_HELP] {
            let long = text.lines().find(|line| line.chars().count() > 100);
            assert_eq!(long, None);
        }
    }

    #[test]
    fn options_alone_are_parsed_as_those_of_serve() {
        for options in [
            "",
            "--port 80",
            "-port 80 --port 81 -v --tls-port=",
            "--config-file serve --log-target=",
            "--tpm --quiet=false",
        ] {
            let words = |command: &str| {
                let words = format!("gce-metadata-server {command} {options}");
                words.split_whitespace().map(OsString::from).collect::<Vec<_>>()
            };
            let short = super::parse_options(&words("")).map(|serve| format!("{serve:?}"));
            let Ok(super::Command::Serve(full)) = super::parse(words("serve").into_iter()) else { panic!("{options}") };
            assert_eq!(short.unwrap(), format!("{full:?}"), "{options}");
        }
        for other in ["exec", "--help", "-h", "-V", "--no-such-option"] {
            let words = ["gce-metadata-server", other].map(OsString::from);
            assert!(super::parse_options(&words).is_err(), "{other}");
        }
    }

    #[test]
    fn help_is_also_a_command() {
        for (line, usage) in [
            ("help", "Usage: gce-metadata-server"),
            ("help exec", "Usage: gce-metadata-server exec"),
            ("help certs renew", "Usage: gce-metadata-server certs renew"),
        ] {
            let words = ["gce-metadata-server"].into_iter().chain(line.split(' ')).map(OsString::from);
            let help = super::parse(words).unwrap_err();
            assert!(!help.use_stderr() && help.to_string().contains(usage), "{line}: {help}");
        }
    }

    #[test]
    fn help_lists_serving_options_by_heading_and_commands() {
        let help = with_help().render_long_help().to_string();
        for line in
            ["Commands:", "  serve ", "  check-config ", "Base Options:", "mTLS Options:", "Environment Variables:"]
        {
            assert!(help.contains(line), "{line}: {help}");
        }
        let is_listed = |option: &str| help.contains(option);
        assert_eq!(is_listed("--tpm-key-file"), cfg!(feature = "tpm"));
        assert_eq!(is_listed("this program was built without TPM support"), cfg!(not(feature = "tpm")));
        assert!(help.contains("-h, --help") && help.contains("-V, --version"), "{help}");
    }
}
