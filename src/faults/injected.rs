//! The fault in the extensions of an answer, for the journal.

use std::sync::Arc;

/// The fault that was injected into a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InjectedFault {
    pub(crate) id: Arc<str>,
    pub(crate) name: Option<Arc<str>>,
    /// The fault has answered the request, or closed its connection. Otherwise it has delayed or changed the usual answer.
    pub(crate) is_answer: bool,
}
