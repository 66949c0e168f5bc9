//! A program that prints the subject token. It runs only if the environment allows it, because the credentials file
//! that names it may come from an untrusted source.

use super::process::run;
use crate::fetch_error::FetchError;
use crate::live::open_context::OpenContext;
use crate::live::redact::Redactions;
use crate::live::sts::token;
use crate::live::upstream::{refused, unavailable};
use gce_metadata_routes::token::Secret;
use serde::Deserialize;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::process::Command;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

/// The default time-out, in milliseconds.
const TIMEOUT: u64 = 30_000;

#[derive(Deserialize)]
pub(super) struct ExecutableSource {
    command: String,
    timeout_millis: Option<u64>,
    output_file: Option<PathBuf>,
}

pub(super) struct Executable {
    words: Vec<String>,
    timeout: Duration,
    output_file: Option<PathBuf>,
    environment: Vec<(&'static str, String)>,
    withheld_variables: Vec<String>,
    /// The runtime in which the credentials were opened, and in which the program runs. It is shut down before the
    /// process exits, which kills the program. The exit does not wait for the runtimes of connections.
    runtime: Handle,
}

/// The answer of the program: its standard output or, if that is empty, the output file.
#[derive(Deserialize)]
struct Output {
    version: u64,
    success: bool,
    #[serde(default, deserialize_with = "token")]
    id_token: Option<Secret>,
    #[serde(default, deserialize_with = "token")]
    saml_response: Option<Secret>,
    expiration_time: Option<u64>,
    code: Option<String>,
    message: Option<String>,
}

impl Executable {
    pub(super) fn new(
        source: ExecutableSource,
        audience: &str,
        token_type: &str,
        email: Option<String>,
        context: &OpenContext,
    ) -> Result<Self, String> {
        if !context.allow_executables {
            return Err(
                "credential_source.executable: set GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1 to allow it".to_owned()
            );
        }
        let words = shlex::split(&source.command).filter(|words| !words.is_empty());
        let words = words.ok_or("credential_source.executable.command: not a command line")?;
        let timeout = source.timeout_millis.unwrap_or(TIMEOUT);
        if !(5_000..=120_000).contains(&timeout) {
            return Err("credential_source.executable.timeout_millis: 5000 to 120000 is expected".to_owned());
        }
        let mut environment = vec![
            ("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", audience.to_owned()),
            ("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", token_type.to_owned()),
            ("GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE", "0".to_owned()),
        ];
        environment.extend(email.map(|email| ("GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL", email)));
        let file = source.output_file.as_ref().map(|file| file.display().to_string());
        environment.extend(file.map(|file| ("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE", file)));
        let runtime = Handle::try_current().map_err(|error| error.to_string())?;
        let timeout = Duration::from_millis(timeout);
        let withheld_variables = context.withheld_variables.clone();
        Ok(Self { words, timeout, output_file: source.output_file, environment, withheld_variables, runtime })
    }

    pub(super) async fn token(&self) -> Result<Secret, FetchError> {
        if let Some(token) = self.cached_in_file().await {
            return Ok(token);
        }
        let Some((program, args)) = self.words.split_first() else { return Err(refused("no command".to_owned())) };
        let mut command = Command::new(program);
        command.args(args).envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.withheld_variables.iter().for_each(|name| _ = command.env_remove(name));
        let running = AbortOnDropHandle::new(self.runtime.spawn(run(command)));
        let output = tokio::time::timeout(self.timeout, running).await;
        let output = output.map_err(|_| unavailable(format!("{program} took longer than {:?}", self.timeout)))?;
        let output = output.unwrap_or_else(|error| Err(io::Error::other(error)));
        let (status, printed) = output.map_err(|error| unavailable(format!("{program}: {error}")))?;
        let printed = match &self.output_file {
            // Google's libraries do the same.
            Some(file) if printed.trim_ascii().is_empty() && status.success() => {
                let read = super::read(file).await;
                read.map_err(|error| unavailable(format!("{program} prints nothing, and {}: {error}", file.display())))?
            }
            _ => printed,
        };
        let printed: Option<Output> = serde_json::from_slice(&printed).ok();
        let printed = printed.ok_or_else(|| {
            unavailable(format!("{program}: {status}, and its output is not an executable response in JSON"))
        })?;
        match printed.token() {
            Some(token) if status.success() => Ok(token),
            Some(_) => Err(unavailable(format!("{program}: {status}, although its output contains a token"))),
            None if printed.success => {
                Err(unavailable(format!("{program}: its response has no token, an unknown version, or has expired")))
            }
            None => {
                let redactions = printed.redactions();
                let said = |text: &Option<String>| redactions.quote(text.as_deref().unwrap_or_default());
                Err(refused(format!("{program}: {} {}", said(&printed.code), said(&printed.message))))
            }
        }
    }

    /// The token of an earlier run in the output file, if it is still valid.
    async fn cached_in_file(&self) -> Option<Secret> {
        let bytes = super::read(self.output_file.as_ref()?).await.ok()?;
        let output: Output = serde_json::from_slice(&bytes).ok()?;
        output.expiration_time?;
        output.token()
    }
}

impl Output {
    fn token(&self) -> Option<Secret> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let is_good = self.success && self.version == 1 && self.expiration_time.is_none_or(|expiry| expiry > now);
        self.id_token.as_ref().or(self.saml_response.as_ref()).filter(|_| is_good).cloned()
    }

    /// Redacts the tokens of the output, and words that look like tokens.
    fn redactions(&self) -> Redactions {
        let tokens = self.id_token.iter().chain(&self.saml_response);
        tokens.fold(Redactions::default().tokens(), Redactions::secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn executable(words: &[&str]) -> Executable {
        let words = words.iter().copied().map(str::to_owned).collect();
        let timeout = Duration::from_secs(5);
        Executable {
            words,
            timeout,
            output_file: None,
            environment: Vec::new(),
            withheld_variables: Vec::new(),
            runtime: Handle::current(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_is_killed_after_its_timeout() {
        let error = executable(&["sleep", "600"]).token().await.unwrap_err();
        assert_eq!(error.to_string(), unavailable("sleep took longer than 5s".to_owned()).to_string());
    }

    #[tokio::test]
    async fn a_program_is_killed_above_the_output_limit() {
        let executable = Executable { timeout: Duration::from_secs(120), ..executable(&["yes"]) };
        let error = executable.token().await.unwrap_err();
        assert!(error.to_string().ends_with("yes: its output is larger than 1 MiB"), "{error}");
    }

    #[tokio::test]
    async fn tokens_in_the_message_of_a_program_are_redacted() {
        let unknown = "0123456789abcdef".repeat(4);
        let printed = serde_json::json!({"version": 1, "success": false, "id_token": "made-up-id-token",
            "saml_response": "made-up-saml/response", "code": "made-up-id-token",
            "message": format!("refused: made-up-saml\u{7}%2Fresponse, then {unknown}")});
        let executable =
            Executable { timeout: Duration::from_secs(120), ..executable(&["echo", &printed.to_string()]) };
        let error = executable.token().await.unwrap_err().to_string();
        assert!(error.ends_with("echo: [redacted] refused: [redacted], then [redacted]"), "{error}");
    }
}
