//! Tests of connections that a layer or a body aborts.

use super::*;
use crate::server::listener::Listener;
use crate::server::tls::{self, Certificates, MdsFolder};
use gce_metadata_layers::BodyFault;
use gce_metadata_routes::{Metadata, Publisher};
use http_body::Frame;
use http_body_util::StreamBody;
use rustls_pki_types::pem::PemObject;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tower::service_fn;

type Frames = Vec<Result<Frame<Bytes>, BoxError>>;

/// An extension of a request or a response.
#[derive(Clone)]
struct Note;

/// Aborts `/abort` at once, and `/partly` in its body. Closes `/close`, cuts the body of `/cut`, never answers `/hang`, answers `/late`
/// after five seconds, `/reason` with a phrase of its own, `/note` with a note in its extensions, and other paths at once. A response has
/// the extensions of its request, as those of the metadata stack have, and a header with their number.
async fn faulty(
    mut request: Request<IncomingBody>,
) -> Result<Response<impl Body<Data = Bytes, Error = BoxError>>, Infallible> {
    let mut frames: Frames = vec![Ok(Frame::data("first".into()))];
    if request.uri().path() == "/partly" {
        frames.push(Err(ConnectionError::Abort.into()));
    }
    let mut response = Response::new(StreamBody::new(futures_util::stream::iter(frames)));
    assert!(request.extensions().get::<Connection>().is_some_and(|connection| connection.remote.is_some()));
    response.headers_mut().insert("extensions", request.extensions().len().into());
    *response.extensions_mut() = mem::take(request.extensions_mut());
    match request.uri().path() {
        "/abort" => _ = response.extensions_mut().insert(AbortConnection),
        "/close" => _ = response.extensions_mut().insert(CloseConnection),
        "/cut" => _ = response.extensions_mut().insert(BodyFault::new().cut_after(2)),
        "/note" => _ = response.extensions_mut().insert(Note),
        "/reason" => _ = response.extensions_mut().insert(ReasonPhrase::from_static(b"Fine")),
        "/hang" => pending().await,
        "/late" => tokio::time::sleep(HALF_CLOSED / 2).await,
        _ => {}
    }
    Ok(response)
}

fn serve(listener: Listener, tls: Option<Tls>) -> Lifecycle {
    let lifecycle = Lifecycle::default();
    let limits = ConnectionLimits {
        connections: OpenConnections::at_most(4),
        header_bytes: 8192,
        header_timeout: Duration::from_secs(60),
        write_timeout: Duration::from_secs(60),
        busy_poll: Duration::ZERO,
    };
    let (entrance, threads) = (Entrance::always(listener), ConnectionThreads::current(&lifecycle.tasks));
    spawn(entrance, tls, service_fn(faulty), limits, threads, &lifecycle);
    lifecycle
}

async fn tcp() -> (Listener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (Listener::Tcp(listener), address)
}

/// The bytes that are received until the connection ends, and how it ends.
async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> (String, Result<(), ErrorKind>) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    let end = stream.read_to_end(&mut read).await.map(|_| ()).map_err(|error| error.kind());
    (String::from_utf8(read).unwrap(), end)
}

#[tokio::test]
async fn a_layer_resets_a_connection() {
    let (listener, address) = tcp().await;
    let _lifecycle = serve(listener, None);
    let (read, end) = ask(TcpStream::connect(address).await.unwrap(), "/abort").await;
    assert_eq!((read.as_str(), end), ("", Err(ErrorKind::ConnectionReset)));
    let (read, end) = ask(TcpStream::connect(address).await.unwrap(), "/").await;
    assert!(read.starts_with("HTTP/1.1 200 OK") && read.contains("first"), "{read}");
    assert_eq!(end, Ok(()), "other connections are not affected");
}

#[tokio::test]
async fn a_body_that_aborts_resets_the_connection_after_its_first_frame() {
    let (listener, address) = tcp().await;
    let _lifecycle = serve(listener, None);
    let (_, end) = ask(TcpStream::connect(address).await.unwrap(), "/partly").await;
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_layer_closes_a_connection_without_a_byte() {
    let (listener, address) = tcp().await;
    let _lifecycle = serve(listener, None);
    assert_eq!(ask(TcpStream::connect(address).await.unwrap(), "/close").await, (String::new(), Ok(())));
}

#[tokio::test]
async fn a_cut_body_is_sent_up_to_the_cut_and_the_connection_is_closed() {
    let (listener, address) = tcp().await;
    let _lifecycle = serve(listener, None);
    let (read, end) = ask(TcpStream::connect(address).await.unwrap(), "/cut").await;
    assert!(read.starts_with("HTTP/1.1 200 OK") && read.contains("fi") && !read.contains("first"), "{read}");
    assert_eq!(end, Ok(()));
}

#[tokio::test]
async fn the_extensions_of_a_response_do_not_reach_the_next_request_of_the_connection() {
    let (listener, address) = tcp().await;
    let _lifecycle = serve(listener, None);
    let mut stream = TcpStream::connect(address).await.unwrap();
    for path in ["/note", "/reason", "/"] {
        let close = if path == "/" { "connection: close\r\n" } else { "" };
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{close}\r\n").as_bytes()).await.unwrap();
    }
    let mut read = String::new();
    stream.read_to_string(&mut read).await.unwrap();
    assert_eq!(read.matches("HTTP/1.1 200 OK").count(), 2, "{read}");
    assert_eq!(read.matches("HTTP/1.1 200 Fine").count(), 1, "{read}");
    assert_eq!(read.matches("Extensions: 1\r\n").count(), 3, "{read}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_its_sending_side_gets_a_late_answer_but_does_not_keep_the_connection_for_ever() {
    let (listener, address) = tcp().await;
    let _lifecycle = serve(listener, None);
    let ask = async |path: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut read = String::new();
        stream.read_to_string(&mut read).await.unwrap();
        read
    };
    assert!(ask("/late").await.contains("first"));
    assert_eq!(ask("/hang").await, "");
}

/// A TLS client that trusts the folder's authority and has the folder's client certificate.
fn client(folder: &Path) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("root.crt")).unwrap()).unwrap();
    let chain = CertificateDer::pem_file_iter(folder.join("client.key")).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("client.key")).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap();
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn a_layer_resets_a_connection_with_tls() {
    let folder = tempfile::tempdir().unwrap();
    let publisher = Publisher::new(Metadata::empty().tree());
    let certificates = Certificates::Minted(MdsFolder::new(folder.path()));
    let opened = tls::open(certificates, publisher.reader(), None).unwrap();
    let (listener, address) = tcp().await;
    let _lifecycle = serve(listener, Some(opened.tls));
    let connect = async || {
        let name = ServerName::from(address.ip());
        client(folder.path()).connect(name, TcpStream::connect(address).await.unwrap()).await.unwrap()
    };
    let (read, end) = ask(connect().await, "/abort").await;
    assert_eq!((read.as_str(), end), ("", Err(ErrorKind::ConnectionReset)));
    let (read, end) = ask(connect().await, "/").await;
    assert!(read.starts_with("HTTP/1.1 200 OK"), "{read}");
    assert_eq!(end, Ok(()));
}

#[tokio::test]
async fn an_aborted_unix_connection_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.sock");
    let _lifecycle = serve(Listener::unix(&path, None).await.unwrap(), None);
    assert_eq!(ask(UnixStream::connect(&path).await.unwrap(), "/abort").await, (String::new(), Ok(())));
}
