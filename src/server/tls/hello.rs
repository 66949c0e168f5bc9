//! Reads the client hello of a TLS connection.
//!
//! A plain HTTP request is answered 400 in words, as Go's server does: an HTTP client can't read a TLS alert.

use std::io::{self, ErrorKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::StartHandshake;
use tokio_rustls::rustls::server::Acceptor;

const PLAIN_HTTP_ANSWER: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 48\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

const METHODS: [&str; 9] = ["CONNECT ", "DELETE ", "GET ", "HEAD ", "OPTIONS ", "PATCH ", "POST ", "PUT ", "TRACE "];

/// The size of a read, which is less than rustls buffers at once.
const READ: usize = 1024;

/// How much of a plain HTTP request is read. Closing a connection with unread bytes resets it, and the client could lose the answer.
const MAX_HEAD: usize = 16 * 1024;

/// The client speaks HTTP without TLS. It has been answered.
#[derive(Debug, thiserror::Error)]
#[error("the client sent a plain HTTP request, which was answered 400")]
pub(super) struct PlainHttp;

/// Reads the client hello.
pub(super) async fn read_hello<S>(mut stream: S) -> io::Result<StartHandshake<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut acceptor = Acceptor::default();
    let (mut received, mut chunk) = (Vec::new(), [0; READ]);
    loop {
        let length = stream.read(&mut chunk).await?;
        if length == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut unread = &chunk[..length];
        received.extend_from_slice(unread);
        acceptor.read_tls(&mut unread)?;
        if !unread.is_empty() {
            return Err(io::Error::new(ErrorKind::InvalidData, "the client hello is too long"));
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(StartHandshake::from_parts(accepted, stream)),
            Ok(None) => {}
            Err(_) if is_http(&received) => {
                answer_plain_http(&mut stream, received).await?;
                return Err(io::Error::new(ErrorKind::InvalidData, PlainHttp));
            }
            Err((error, mut alert)) => {
                let mut bytes = Vec::new();
                alert.write_all(&mut bytes)?;
                // The error of the client hello is the one to report.
                let _ = stream.write_all(&bytes).await;
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
    }
}

/// Whether bytes begin with a method of HTTP. rustls refuses them when it has five of them.
fn is_http(received: &[u8]) -> bool {
    METHODS.iter().any(|method| received.starts_with(method.as_bytes()) || method.as_bytes().starts_with(received))
}

/// Answers a request after its head, which begins with these bytes.
async fn answer_plain_http<S>(stream: &mut S, mut head: Vec<u8>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut chunk = [0; READ];
    while head.len() < MAX_HEAD && !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        match stream.read(&mut chunk).await? {
            0 => break,
            length => head.extend_from_slice(&chunk[..length]),
        }
    }
    stream.write_all(PLAIN_HTTP_ANSWER.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    /// The answer to a client that sends these chunks.
    async fn answer(chunks: &[&[u8]]) -> (io::Error, Vec<u8>) {
        let (mut near, far) = duplex(64 * 1024);
        let client = async {
            for chunk in chunks {
                near.write_all(chunk).await.unwrap();
                tokio::task::yield_now().await;
            }
            near.shutdown().await.unwrap();
            let mut answer = Vec::new();
            near.read_to_end(&mut answer).await.unwrap();
            answer
        };
        let (outcome, answer) = tokio::join!(read_hello(far), client);
        (outcome.err().unwrap(), answer)
    }

    #[tokio::test]
    async fn plain_http_is_answered_in_words() {
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(5000));
        for chunks in [
            &[&b"GET /computeMetadata/v1/ HTTP/1.1\r\nHost: metadata\r\n\r\n"[..]][..],
            &[b"GE", b"T", b" / HTTP/1.1\r\n", b"\r\n"],
            &[b"OPTIO", b"NS * HTTP/1.1\r\n\r\n"],
            &[b"GET / HTTP/1.0"],
            &[long.as_bytes()],
        ] {
            let (error, answer) = answer(chunks).await;
            assert_eq!(String::from_utf8(answer).unwrap(), PLAIN_HTTP_ANSWER);
            assert!(error.get_ref().unwrap().is::<PlainHttp>(), "{error}");
        }
        let (head, body) = PLAIN_HTTP_ANSWER.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }

    #[tokio::test]
    async fn other_protocols_get_an_alert() {
        for bytes in [&b"SSH-2.0-OpenSSH_9.2\r\n"[..], b"\0\0\0\0\0\0\0", b"get / http/1.1\r\n\r\n"] {
            let (error, answer) = answer(&[bytes]).await;
            assert_eq!(answer.first(), Some(&21), "the content type of an alert: {answer:?}");
            assert!(!error.get_ref().unwrap().is::<PlainHttp>(), "{error}");
        }
    }
}
