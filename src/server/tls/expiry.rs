//! Warns before certificates in files expire.

use super::files::{Files, Loaded};
use crate::certs::system_time;
use std::path::Path;
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long before its expiry a certificate is warned of, if it is valid for longer than twice as long.
const NOTICE: Duration = Duration::from_secs(14 * DAY.as_secs());

/// A warning for each file with a certificate that has expired or will soon, or with an outdated revocation list. Soon is within 14
/// days, or in the second half of a shorter validity: new certificates of `certs init` are valid for seven days. If a file has several
/// certificates, the warning names the one that expires first.
pub(super) fn warnings(files: &Files, loaded: &Loaded, now: SystemTime) -> Vec<String> {
    const SERVER: &str = "clients refuse it then. Put a new one there, which is reloaded without a restart; if `certs init` \
                          made it, `gce-metadata-server certs renew FOLDER` does that";
    const ROOT: &str = "clients with certificates of this authority are refused then. Put its new certificate there, which \
                        is taken over without a restart";
    let server = certificate(&files.certificate, &loaded.pair.cert, now, SERVER);
    let root = certificate(&files.client_roots, &loaded.roots.certificates, now, ROOT);
    let list = files.revoked.as_ref().and_then(|path| list(path, &loaded.revoked, now));
    [server, root, list].into_iter().flatten().collect()
}

fn certificate(path: &Path, chain: &[CertificateDer<'_>], now: SystemTime, remedy: &str) -> Option<String> {
    let parsed = chain.iter().filter_map(|der| X509Certificate::from_der(der).ok());
    let (_, first) = parsed.min_by_key(|(_, certificate)| certificate.validity().not_after)?;
    let (subject, end) = (first.subject(), first.validity().not_after.to_datetime());
    let start = first.validity().not_before.to_datetime();
    let validity = system_time(end).duration_since(system_time(start)).unwrap_or_default();
    let expires = match system_time(end).duration_since(now) {
        Ok(left) if left > NOTICE.min(validity / 2) => return None,
        Ok(left) => format!("expires in {}, on {}", span(left), minute(end)),
        Err(_) => format!("expired on {}", minute(end)),
    };
    Some(format!("{}: the certificate of `{subject}` {expires}; {remedy}", path.display()))
}

fn list(path: &Path, lists: &[CertificateRevocationListDer<'_>], now: SystemTime) -> Option<String> {
    let parsed = lists.iter().filter_map(|der| CertificateRevocationList::from_der(der).ok());
    let ends = parsed.filter_map(|(_, list)| Some((list.next_update()?.to_datetime(), list.issuer().to_string())));
    let (end, issuer) = ends.min()?;
    (system_time(end) < now).then(|| {
        format!(
            "{}: the revocation list of `{issuer}` should have been replaced by {} (nextUpdate); it stays in force, but \
             later revocations are unknown. Put the authority's current list there, which is reloaded without a restart",
            path.display(),
            minute(end)
        )
    })
}

fn span(left: Duration) -> String {
    match (left.as_secs() / DAY.as_secs(), left.as_secs() / 3600) {
        (0, 0 | 1) => "less than two hours".to_owned(),
        (0 | 1, hours) => format!("{hours} hours"),
        (days, _) => format!("{days} days"),
    }
}

fn minute(time: OffsetDateTime) -> String {
    format!("{} at {:02}:{:02} UTC", time.date(), time.hour(), time.minute())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::Authority;
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
        KeyPair, SerialNumber,
    };
    use std::time::SystemTime;

    /// A server certificate, a root and a revocation list, each valid for this many days. The root's file has a second root that
    /// expires later.
    fn loaded(folder: &Path, server: i64, root: i64, list: i64) -> (Files, Loaded) {
        let write = |name: &str, pem: String| {
            let path = folder.join(name);
            std::fs::write(&path, pem).unwrap();
            path
        };
        let now = OffsetDateTime::now_utc();
        let certificate = |name: &str, days: i64| {
            let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
            params.distinguished_name.push(DnType::CommonName, name);
            params.not_after = now + time::Duration::days(days);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            (params.self_signed(&key).unwrap().pem(), key)
        };
        let (server, key) = certificate("the-server", server);
        let (first, last) = (certificate("first-root", root).0, certificate("last-root", root + 1000).0);
        let authority = Authority::new().unwrap();
        let issuer =
            Issuer::from_ca_cert_pem(authority.certificate(), KeyPair::from_pem(&authority.key()).unwrap()).unwrap();
        let params = CertificateRevocationListParams {
            this_update: now - time::Duration::days(100),
            next_update: now + time::Duration::days(list),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let files = Files {
            certificate: write("server.crt", server),
            key: write("server.key", key.serialize_pem()),
            client_roots: write("root.crt", last + &first),
            revoked: Some(write("crl.pem", params.signed_by(&issuer).unwrap().pem().unwrap())),
        };
        let loaded = files.load().unwrap();
        (files, loaded)
    }

    #[test]
    fn certificates_are_warned_of_14_days_before_they_expire() {
        let folder = tempfile::tempdir().unwrap();
        let warned = |server, root, list| {
            let (files, loaded) = loaded(folder.path(), server, root, list);
            warnings(&files, &loaded, SystemTime::now())
        };
        assert!(warned(15, 15, 1).is_empty(), "{:?}", warned(15, 15, 1));
        let [server, root, list] = <[String; 3]>::try_from(warned(10, -3, -1)).unwrap();
        for part in ["server.crt: ", "CN=the-server", "expires in 9 days, on 20", "certs renew"] {
            assert!(server.contains(part), "{part}: {server}");
        }
        for part in ["root.crt: ", "CN=first-root", " expired on 20", "UTC; "] {
            assert!(root.contains(part), "{part}: {root}");
        }
        for part in ["crl.pem: ", "CN=google.internal", "nextUpdate", "stays in force"] {
            assert!(list.contains(part), "{part}: {list}");
        }
    }

    #[test]
    fn short_certificates_are_warned_of_in_the_second_half_of_their_validity() {
        let now = OffsetDateTime::now_utc();
        let warned = |days_ago: i64, days_left: i64| {
            let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
            (params.not_before, params.not_after) =
                (now - time::Duration::days(days_ago), now + time::Duration::days(days_left));
            let der = params.self_signed(&key).unwrap().der().clone();
            certificate(Path::new("server.crt"), &[der], now.into(), "").is_some()
        };
        assert!(!warned(0, 7) && !warned(3, 4), "the first half of seven days");
        assert!(warned(4, 3) && warned(7, -1), "the second half");
        assert!(warned(352, 13) && !warned(350, 15), "a year");
    }

    #[test]
    fn the_remaining_time_is_in_days_or_hours() {
        for (hours, told) in [(0, "less than two hours"), (1, "less than two hours"), (47, "47 hours"), (48, "2 days")]
        {
            assert_eq!(span(Duration::from_secs(hours * 3600 + 59)), told);
        }
    }
}
