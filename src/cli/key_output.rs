//! What the commands for keys in devices have in common: the certificate to upload, and how a key is printed.

use super::output_file::OutputFile;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// The file mode of certificates.
const PUBLIC: u32 = 0o644;

#[derive(Debug, Args)]
pub(crate) struct CertificateArgs {
    /// File for the certificate; an existing file is not overwritten
    #[arg(long, value_name = "FILE")]
    pub(super) cert: PathBuf,

    /// Common name in the certificate
    #[arg(long, default_value = "gce-metadata-server", value_name = "NAME")]
    pub(super) name: String,
}

impl CertificateArgs {
    /// The file, checked before the device makes the certificate.
    pub(super) fn output(&self) -> anyhow::Result<OutputFile<'_>> {
        OutputFile::checked(&self.cert, PUBLIC)
    }

    /// Writes the certificate in PEM, and prints how to upload it.
    pub(super) fn write(&self, output: OutputFile<'_>, certificate: &str) -> anyhow::Result<()> {
        output.write(certificate)?;
        let cert = self.cert.display();
        print_line(&format!("upload with: gcloud iam service-accounts keys upload {cert} --iam-account EMAIL"));
        Ok(())
    }
}

/// Prints the SHA-256 of a public key: in base64, as the label of the metric `service_account_hash` has it, and in hex, as
/// openssl prints it.
pub(super) fn print_fingerprint(spki_sha256: &[u8; 32]) {
    let hex: String = spki_sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    print_line(&format!("fingerprint: {}", BASE64_STANDARD.encode(spki_sha256)));
    print_line(&format!("             {hex} (hex)"));
}

/// Prints a line on standard output, and ignores errors, such as a closed pipe.
pub(super) fn print_line(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
