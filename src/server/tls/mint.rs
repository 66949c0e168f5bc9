//! Issues certificates, and writes them to the folder where Google's libraries read them.

use super::MdsFolder;
use super::client_trust::ClientRoots;
use super::mds_client_certificate::MdsClientCertificate;
use super::serving::{Serving, server_pair};
use super::tls_error::TlsError;
use crate::certs::{Authority, replace_file};
use gce_metadata_routes::{Reader, Tree};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::{fmt, fs, io};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer};

/// The client's name if neither an option nor the metadata has one.
const DEFAULT_NAME: &str = "vm-1";

/// Issues certificates, all by one authority, whose root clients keep while the server runs.
pub(super) struct Mint {
    authority: Authority,
    folder: MdsFolder,
    reader: Reader,
    pub(super) sealed: Option<MdsClientCertificate>,
}

impl Mint {
    pub(super) fn new(folder: MdsFolder, reader: Reader) -> Result<Self, TlsError> {
        let sealed = folder.endorsement_key.clone().map(MdsClientCertificate::new);
        Ok(Self { authority: Authority::new()?, folder, reader, sealed })
    }

    pub(super) fn make(&self) -> Result<Arc<Serving>, TlsError> {
        let MdsFolder { path, client, key_mode, .. } = &self.folder;
        let (name, dns_names) = names(client.as_deref(), self.reader.snapshot().tree());
        let (server, client) = (self.authority.server()?, self.authority.client(&name, &dns_names)?);
        let invalid = |error: &dyn fmt::Display| TlsError::at(path, error);
        let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| invalid(&error));
        let key = PrivateKeyDer::from_pem_slice(server.key.as_bytes()).map_err(|error| invalid(&error))?;
        let pair = server_pair(vec![certificate(&server.certificate)?], key).map_err(|error| invalid(&error))?;
        let roots =
            ClientRoots::new(vec![certificate(self.authority.certificate())?]).map_err(|error| invalid(&error))?;
        let verifier = roots.verifier(&[]).map_err(|problem| invalid(&problem))?;
        let serving = Serving::new(pair, verifier).map_err(|error| invalid(&error))?;
        make_folder(path).map_err(|error| invalid(&error))?;
        let write = |name: &str, content: &str, mode| {
            let path = path.join(name);
            replace_file(&path, content, mode).map_err(|error| TlsError::at(&path, error))
        };
        write("root.crt", self.authority.certificate(), 0o644)?;
        write("client.key", &client.combined(), *key_mode)?;
        if let Some(sealed) = &self.sealed {
            sealed.replace(&client.combined())?;
        }
        Ok(Arc::new(serving))
    }
}

/// Creates the folder with the mode 0755, regardless of the umask: each file has its own mode.
fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// The client's name, and the DNS names that GCE gives a VM of that name. An invalid DNS name is left out.
fn names(given: Option<&str>, tree: &Tree) -> (String, Vec<String>) {
    let text = |path| tree.text(path).filter(|text| !text.is_empty());
    let hostname = text("instance/hostname");
    let first_label = || Some(hostname.as_ref()?.split('.').next()?.to_owned());
    let name = given.map(str::to_owned).or_else(|| text("instance/name")).or_else(first_label);
    let name = name.unwrap_or_else(|| DEFAULT_NAME.to_owned());
    let internal = text("project/project-id").map(|project| format!("{name}.c.{}.internal", domain(&project)));
    let mut dns_names: Vec<_> = internal.into_iter().chain(hostname.filter(|_| given.is_none())).collect();
    dns_names.retain(|name| DnsName::try_from(name.as_str()).is_ok());
    dns_names.dedup();
    (name, dns_names)
}

/// A project of an organization, `example.com:my-project`, is `my-project.example.com` in DNS.
fn domain(project: &str) -> String {
    project.split_once(':').map_or_else(|| project.to_owned(), |(domain, id)| format!("{id}.{domain}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gce_metadata_routes::Metadata;
    use serde_json::{Value, json};

    fn of(given: Option<&str>, v1: Value) -> (String, Vec<String>) {
        names(given, &Metadata::from_json(v1).unwrap().tree())
    }

    #[test]
    fn the_client_has_the_name_of_the_vm_unless_one_is_given() {
        let vm =
            json!({"instance": {"name": "a", "hostname": "a.us-west1-b.c.p.internal"}, "project": {"projectId": "p"}});
        assert_eq!(
            of(None, vm.clone()),
            ("a".into(), vec!["a.c.p.internal".into(), "a.us-west1-b.c.p.internal".into()])
        );
        assert_eq!(of(Some("b"), vm), ("b".into(), vec!["b.c.p.internal".into()]));
    }

    #[test]
    fn a_vm_without_a_name_is_named_by_its_hostname_or_the_default() {
        assert_eq!(names(None, &Metadata::empty().tree()), (DEFAULT_NAME.into(), vec![]));
        assert_eq!(
            of(None, json!({"instance": {"hostname": "b.example.com"}})),
            ("b".into(), vec!["b.example.com".into()])
        );
        let odd = json!({"instance": {"name": "a b", "hostname": ""}, "project": {"projectId": "example.com:p"}});
        assert_eq!(of(None, odd.clone()), ("a b".into(), vec![]));
        assert_eq!(of(Some("c"), odd).1, ["c.c.p.example.com.internal"]);
    }
}
