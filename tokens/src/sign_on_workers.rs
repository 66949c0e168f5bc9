//! Signs with a key in memory on other threads than those that accept and serve connections.
//!
//! A signature takes a quarter of a millisecond. The first one of a process may take a hundred times as long, because aws-lc seeds its
//! random numbers then.

use gce_metadata_signer::{BoxSigner, PemSigner, SignError, SignRequest};
use gce_metadata_support::workers::Workers;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use tokio::runtime::Handle;
use tower::{Service, ServiceExt, service_fn};

/// The number of tasks of a runtime that has one connection only: the connection and the fetch of its token.
const ONLY_CONNECTION: usize = 2;

/// Worker threads for signatures, as many as the machine has processors.
pub(crate) fn workers() -> Workers {
    Workers::at_most(available_parallelism().unwrap_or(NonZeroUsize::MIN))
}

/// A signer that signs on the workers. It signs on the calling thread if that serves no other connection, because nothing is delayed
/// then, and two switches of threads would add a fifth to the time of a signature.
pub(crate) fn sign_on_workers(signer: PemSigner, workers: Workers) -> BoxSigner {
    BoxSigner::new(service_fn(move |request: SignRequest| {
        let (mut signer, workers) = (signer.clone(), workers.clone());
        async move {
            if has_one_connection() {
                return signer.oneshot(request).await;
            }
            let signed = workers.run(move || signer.call(request).into_inner()).await;
            signed.unwrap_or_else(|error| Err(SignError::Failed(error.to_string())))
        }
    }))
}

fn has_one_connection() -> bool {
    Handle::try_current().is_ok_and(|runtime| runtime.metrics().num_alive_tasks() <= ONLY_CONNECTION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use gce_metadata_signer::JwsAlgorithm;
    use std::future::pending;
    use std::pin::pin;

    #[tokio::test]
    async fn signatures_equal_those_of_the_key_on_every_thread() {
        let key = PemSigner::generate().unwrap();
        let signer = sign_on_workers(key.clone(), workers());
        let request = SignRequest { alg: JwsAlgorithm::Rs256, message: "signing input".into() };
        let expected = key.sign(&request.message).unwrap();
        let here = signer.clone().oneshot(request.clone()).await.unwrap();
        let _others: Vec<_> = (0..=ONLY_CONNECTION).map(|_| tokio::spawn(pending::<()>())).collect();
        assert!(!has_one_connection());
        let elsewhere = signer.clone().oneshot(request.clone()).await.unwrap();
        assert_eq!([&here.0[..], &elsewhere.0[..]], [&expected[..], &expected[..]]);
        let refused = SignRequest { alg: JwsAlgorithm::Es256, ..request };
        let error = signer.oneshot(refused).await.unwrap_err().to_string();
        assert!(error.contains("the key is an RSA key"), "{error}");
    }

    #[tokio::test]
    async fn a_signature_does_not_block_a_thread_with_several_tasks() {
        let (signer, workers) = (PemSigner::generate().unwrap(), Workers::at_most(NonZeroUsize::MIN));
        let _others: Vec<_> = (0..=ONLY_CONNECTION).map(|_| tokio::spawn(pending::<()>())).collect();
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let mut busy = pin!(workers.run(move || wait.recv()));
        assert!(busy.as_mut().now_or_never().is_none());
        let request = SignRequest { alg: JwsAlgorithm::Rs256, message: "signing input".into() };
        let mut signed = pin!(sign_on_workers(signer, workers.clone()).oneshot(request));
        assert!(signed.as_mut().now_or_never().is_none(), "it waits for the only worker");
        go_on.send(()).unwrap();
        assert!(busy.await.unwrap().is_ok() && signed.await.is_ok());
    }
}
