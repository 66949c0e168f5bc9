//! The certificates of a managed workload identity, each under its two names; 412 for a VM without them.

use super::{Answer, Call, Endpoint, Reply};
use crate::snapshot::Reader;
use gce_metadata_layers::Rejection;
use std::sync::Arc;

/// Serves one document under both of its names. A config has it under one of them.
#[derive(Debug)]
pub(crate) struct WorkloadCertificates {
    reader: Reader,
    names: [&'static str; 2],
}

impl WorkloadCertificates {
    /// `names` are paths below `instance/`: the current one and the older one.
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
