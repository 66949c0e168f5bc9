//! A bounded queue to the one thread that owns a key in a device, such as a TPM or a PKCS#11 token. The libraries of
//! devices block, and a device runs one command at a time.

mod worker;

pub(crate) use worker::{DeviceError, DeviceKey};

use crate::{BoxSigner, SignError, SignRequest, Signature};
use gce_metadata_support::thread::Thread;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::PollSender;
use tower::{Service, ServiceExt, service_fn};
use worker::{Job, Worker};

/// The capacity of the queue: about as many signatures as a TPM makes in a few seconds.
const CAPACITY: usize = 32;

/// The time-out of a signature, queue included. A TPM takes about a tenth of a second for one.
pub(crate) const SIGN_TIMEOUT: Duration = Duration::from_secs(10);

/// A service that signs on the thread of a device, in the order of the requests. `poll_ready` waits for capacity, which
/// is the backpressure of a slow device. Clones share the queue.
#[derive(Clone)]
pub(crate) struct SignQueue {
    jobs: PollSender<Job>,
    device: &'static str,
    /// Declared after `jobs`, because dropping it waits for the thread, which ends when the queue is closed.
    _thread: Arc<Thread>,
}

impl SignQueue {
    /// Starts the thread, which gets the name of the device. `open` opens the key again after an error.
    pub(crate) fn start<K: DeviceKey>(
        device: &'static str,
        key: K,
        open: impl FnMut() -> Result<K, K::Error> + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, jobs) = mpsc::channel(CAPACITY);
        let worker = Worker::new(device, key, open);
        let thread = Thread::start(device, move || worker.run(jobs))?;
        Ok(Self { jobs: PollSender::new(sender), device, _thread: Arc::new(thread) })
    }
}

impl Service<SignRequest> for SignQueue {
    type Response = Signature;
    type Error = SignError;
    type Future = SignatureFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SignError>> {
        Poll::Ready(ready!(self.jobs.poll_reserve(context)).map_err(|_| thread_ended(self.device)))
    }

    fn call(&mut self, request: SignRequest) -> Self::Future {
        let (reply, signed) = oneshot::channel();
        let sent = self.jobs.send_item(Job { request, reply });
        SignatureFuture { signed: sent.is_ok().then_some(signed), device: self.device }
    }
}

/// The response future of a signer whose key is in a device.
#[derive(Debug)]
pub struct SignatureFuture {
    signed: Option<oneshot::Receiver<Result<Signature, SignError>>>,
    device: &'static str,
}

impl Future for SignatureFuture {
    type Output = Result<Signature, SignError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let device = self.device;
        let Some(signed) = &mut self.signed else { return Poll::Ready(Err(thread_ended(device))) };
        Poll::Ready(ready!(Pin::new(signed).poll(context)).unwrap_or_else(|_| Err(thread_ended(device))))
    }
}

fn thread_ended(device: &str) -> SignError {
    SignError::Failed(format!("the thread `{device}` has ended"))
}

/// Boxes a signer and adds the time-out, because a hung device never answers. `timed_out` is the text of its error.
pub(crate) fn boxed_with_timeout<S>(signer: S, timed_out: String) -> BoxSigner
where
    S: Service<SignRequest, Response = Signature, Error = SignError, Future: Send> + Clone + Send + Sync + 'static,
{
    BoxSigner::new(service_fn(move |request| {
        let signed = tokio::time::timeout(SIGN_TIMEOUT, signer.clone().oneshot(request));
        let timed_out = timed_out.clone();
        async move { signed.await.map_err(|_| SignError::Failed(timed_out))? }
    }))
}

/// Implements a signer by the queue in its field `queue`, and `Debug` by its `info`.
macro_rules! queued_signer {
    ($signer:ident) => {
        impl std::fmt::Debug for $signer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($signer)).field("info", &self.info).finish_non_exhaustive()
            }
        }

        impl tower::Service<$crate::SignRequest> for $signer {
            type Response = $crate::Signature;
            type Error = $crate::SignError;
            type Future = $crate::queue::SignatureFuture;

            fn poll_ready(
                &mut self,
                context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Result<(), $crate::SignError>> {
                self.queue.poll_ready(context)
            }

            fn call(&mut self, request: $crate::SignRequest) -> Self::Future {
                self.queue.call(request)
            }
        }
    };
}

pub(crate) use queued_signer;
