//! The certificates of a managed workload identity, each under its two names; 412 where the VM has none.

use super::{Answer, Call, Endpoint, Reply};
use crate::snapshot::Reader;
use gce_metadata_layers::Rejection;
use std::sync::Arc;

/// One document, which a config gives either name.
#[derive(Debug)]
pub(crate) struct WorkloadCertificates {
    reader: Reader,
    names: [&'static str; 2],
}

impl WorkloadCertificates {
    /// `names` are paths below `instance/`, today's and the older one.
    pub(crate) fn new(reader: Reader, names: [&'static str; 2]) -> Self {
        Self { reader, names }
    }
}

impl Endpoint for WorkloadCertificates {
    fn call(&self, _: Call<'_>) -> Reply {
        let snapshot = self.reader.snapshot();
        let mut found = self.names.iter().filter_map(|name| snapshot.tree().get(&format!("instance/{name}")));
        found.next().map(|node| Answer::Published(Arc::clone(node))).ok_or(Rejection::NotConfigured).into()
    }
}
