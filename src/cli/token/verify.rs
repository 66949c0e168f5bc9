//! `token verify` prints the claims of a token and verifies its signature, its times and its audience.

use super::jwks::{Place, Problem, Verified};
use super::jwt::{Decoded, printable};
use crate::cli::block_on::block_on;
use crate::cli::file::STDIN;
use crate::cli::target::TargetOption;
use crate::cli::values::secret;
use anyhow::{Context, bail};
use clap::Args;
use gce_metadata_server::Environment;
use gce_metadata_server::routes::token::Secret;
use std::io::{self, Read, Write};
use std::time::SystemTime;
use zeroize::Zeroizing;

/// The largest token that is read. Google's have about 1 KiB.
const MAX_BYTES: u64 = 64 << 10;

/// The keys of Google's identity tokens.
const GOOGLE: &str = "https://accounts.google.com";
const GOOGLE_KEYS: &str = "https://www.googleapis.com/oauth2/v3/certs";

/// The keys of a service account, by its e-mail.
const ACCOUNT_KEYS: &str = "https://www.googleapis.com/service_accounts/v1/jwk/";

const NOTES: &str = "\
Examples:
  curl -sH Metadata-Flavor:Google $HOST/computeMetadata/v1/instance/service-accounts/default/identity?audience=a \\
    | gce-metadata-server token verify --audience a
  gcloud auth print-identity-token | gce-metadata-server token verify --jwks https://www.googleapis.com/oauth2/v3/certs

Exit status:
  0  the signature verifies, the token has not expired, and its audience is that of --audience
  1  the token is not valid, or can't be verified
  2  the command line is wrong";

/// Print the claims of an identity token or a self-signed access token, and verify it
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(crate) struct Verify {
    /// The token; - reads it from standard input, where other users of this machine can't see it
    #[arg(default_value = STDIN, hide_default_value = true, value_name = "TOKEN", value_parser = secret)]
    token: Secret,

    /// The audience that the token must have [default: any]
    #[arg(long, value_name = "AUDIENCE")]
    audience: Option<String>,

    /// JSON Web Key Set of the issuer, a URL or a file [default: the keys of the server, /oauth2/v3/certs]
    #[arg(long, value_name = "URL|FILE", conflicts_with = "url")]
    jwks: Option<String>,

    #[command(flatten)]
    target: TargetOption,
}

impl Verify {
    pub(super) fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        let place = match &self.jwks {
            Some(place) => Place::from_option(place)?,
            None => Place::of_server(self.target.target(environment)?),
        };
        let token = self.read_token()?;
        let token = token.trim();
        let (decoded, now) = (Decoded::from_token(token)?, SystemTime::now());
        print(&decoded.describe(now));
        let loaded = block_on(place.load())?;
        let keys = loaded.context("the signature is not verified")?;
        match keys.verify(token, &decoded, self.audience.as_deref(), now) {
            Verified::Valid(key) => {
                print_signature(&place, key);
                Ok(())
            }
            Verified::InvalidClaims(key, problem) => {
                print_signature(&place, key);
                bail!("the token is not valid: {}", self.describe(&problem, &decoded, now))
            }
            Verified::InvalidSignature(reason) => {
                let hint = hint(&decoded, &place).map(|hint| format!("; {hint}")).unwrap_or_default();
                bail!("the signature does not verify with {place}: {reason}{hint}")
            }
        }
    }

    fn read_token(&self) -> anyhow::Result<Zeroizing<String>> {
        if self.token.expose() != STDIN {
            return Ok(Zeroizing::new(self.token.expose().to_owned()));
        }
        let mut token = Zeroizing::new(String::with_capacity(4096));
        // The error does not quote what was read.
        io::stdin()
            .take(MAX_BYTES + 1)
            .read_to_string(&mut token)
            .context("can't read the token from standard input")?;
        if token.len() as u64 > MAX_BYTES {
            bail!("standard input has more than 64 KiB: a token is expected");
        }
        Ok(token)
    }

    fn describe(&self, problem: &Problem, decoded: &Decoded, now: SystemTime) -> String {
        let time = |claim| decoded.time(claim, now).unwrap_or_default();
        let relative = |claim| time(claim).rsplit(", ").next().unwrap_or_default().to_owned();
        match problem {
            Problem::Expired => format!("it {}", relative("exp")),
            Problem::NotYetValid => format!("it {}", relative("nbf")),
            Problem::OtherAudience => {
                format!("its audience is not {}", printable(self.audience.as_deref().unwrap_or_default()))
            }
            Problem::NoAudience => "it has no audience".to_owned(),
            Problem::Malformed => "a claim of RFC 7519 has the wrong type".to_owned(),
        }
    }
}

/// The option that names the keys of the token's issuer.
fn hint(decoded: &Decoded, place: &Place) -> Option<String> {
    let is_email = |issuer: &&str| {
        issuer.contains('@') && issuer.chars().all(|it| it.is_ascii_alphanumeric() || "@.-_".contains(it))
    };
    let keys = match decoded.text("iss")? {
        GOOGLE => GOOGLE_KEYS.to_owned(),
        issuer => format!("{ACCOUNT_KEYS}{}", Some(issuer).filter(is_email)?),
    };
    (place.to_string() != keys).then(|| format!("if Google has issued the token, add --jwks {keys}"))
}

fn print_signature(place: &Place, key: Option<String>) {
    let key = key.map(|id| format!(" {}", printable(&id))).unwrap_or_default();
    print(&format!("signature: verified with key{key} of {place}\n"));
}

/// Prints text on standard output, and ignores errors, such as a closed pipe.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}
