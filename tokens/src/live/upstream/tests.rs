//! Tests of retries and errors, with a scripted host.

use super::*;
use crate::fetch_error::MAX_RETRY_AFTER;
use http::StatusCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tower::service_fn;

/// An upstream that answers with these statuses in order, the last one repeatedly, and counts requests.
fn answering(statuses: &'static [u16], retry_after: Option<&str>) -> (Upstream, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let retry_after = retry_after.map(|value| HeaderValue::from_str(value).unwrap());
    let attempt = service_fn(move |_: UpstreamRequest| {
        let status = statuses[counter.fetch_add(1, Ordering::Relaxed).min(statuses.len() - 1)];
        let mut answer = Response::builder().status(status);
        if let Some(value) = &retry_after {
            answer = answer.header(header::RETRY_AFTER, value);
        }
        let body = r#"{"error": "invalid_grant", "error_description": "no\nsuch account", "id_token": "secret"}"#;
        std::future::ready(Ok(answer.body(Bytes::from(body)).unwrap()))
    });
    (Upstream::over(attempt), count)
}

async fn ask(upstream: &Upstream) -> Result<Bytes, FetchError> {
    upstream.fetch(Method::GET, "http://sts.example.com/token?key=secret", []).await
}

#[tokio::test(start_paused = true)]
async fn transient_statuses_are_retried() {
    let (upstream, count) = answering(&[503, 429, 200], None);
    assert!(ask(&upstream).await.is_ok());
    assert_eq!(count.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn retries_are_limited() {
    let (upstream, count) = answering(&[500], None);
    let error = ask(&upstream).await.unwrap_err();
    assert!(matches!(error.error, TokenError::Unavailable { .. }), "{error}");
    assert_eq!(count.load(Ordering::Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_retried_and_its_error_has_no_secrets() {
    let (upstream, count) = answering(&[400, 200], None);
    let error = ask(&upstream).await.unwrap_err();
    let TokenError::Refused { reason } = error.error else { panic!("{error}") };
    assert_eq!(reason, "sts.example.com answered 400: invalid_grant: nosuch account");
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_error_of_a_bad_url_quotes_only_its_host() {
    let upstream = Upstream::new();
    for (url, text) in [
        ("https://sts.example .com/?key=secret", "a URL in the credentials is invalid"),
        ("sts.example.com/?key=secret", "a URL in the credentials is invalid"),
        ("ftp://me:secret@sts.example.com/?key=secret", "sts.example.com: a URL"),
        ("/token?key=secret", "?: a URL"),
    ] {
        let error = upstream.fetch(Method::GET, url, []).await.unwrap_err().to_string();
        assert!(error.contains(text) && !error.contains("secret"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unresponsive_host_times_out() {
    // The kernel accepts connections, and the host never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", silent.local_addr().unwrap());
    let start = Instant::now();
    let error = Upstream::new().fetch(Method::GET, &url, []).await.unwrap_err();
    assert!(error.to_string().ends_with("did not answer in time"), "{error}");
    assert!((10..=31).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_respected_up_to_a_limit() {
    let (upstream, count) = answering(&[429, 200], Some("7"));
    let start = Instant::now();
    assert!(ask(&upstream).await.is_ok());
    assert!((7..9).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    // A Retry-After above the limit is not waited for.
    let (upstream, count_of_long) = answering(&[429, 200], Some("3600"));
    assert!(ask(&upstream).await.is_err());
    assert_eq!((count.load(Ordering::Relaxed), count_of_long.load(Ordering::Relaxed)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn retry_after_may_be_a_date() {
    let date = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(9));
    let (upstream, _) = answering(&[503, 200], Some(&date));
    let start = Instant::now();
    assert!(ask(&upstream).await.is_ok());
    assert!((5..10).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

/// Calls an upstream that always answers 429 with this Retry-After; returns the error, the number of requests and the
/// duration.
async fn ask_busy_host(seconds: &str) -> (FetchError, usize, Duration) {
    let (upstream, count) = answering(&[429], Some(seconds));
    let start = Instant::now();
    let error = ask(&upstream).await.unwrap_err();
    (error, count.load(Ordering::Relaxed), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_beyond_the_deadline_ends_the_retries_and_is_returned() {
    for (seconds, requests) in [(8, 4), (10, 3), (15, 2), (20, 2)] {
        let (error, count, took) = ask_busy_host(&seconds.to_string()).await;
        assert_eq!(count, requests, "{seconds}");
        assert_eq!(error.status, Some(StatusCode::TOO_MANY_REQUESTS), "{seconds}: {error}");
        assert!(took < TOTAL, "{seconds}: {took:?}");
        assert_eq!(error.retry_at, Some(Instant::now() + Duration::from_secs(seconds)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_returned_retry_after_is_limited() {
    for seconds in ["18446744073709551615", "301"] {
        let (error, count, _) = ask_busy_host(seconds).await;
        assert_eq!((count, error.retry_at), (1, Some(Instant::now() + MAX_RETRY_AFTER)));
    }
}
