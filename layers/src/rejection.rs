//! Refusals and redirects, with the error pages of the metadata server.
//!
//! A layer or a route names the rejection; this file has its status, its media type and its text.

use crate::request_head::RequestHead;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, Version, header};
use std::borrow::Cow;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=UTF-8");
const BARE_HTML: HeaderValue = HeaderValue::from_static("text/html");

const LEGACY_DISABLED: &str = "Legacy metadata endpoints are disabled. Please use the /v1/ endpoint.";

/// Why a request is answered without a value. Each rejection has a status and a body: GCE's error page, or a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// 301: the path names a directory but lacks the slash at its end. The redirect keeps the query.
    MissingSlash,
    /// 400: a parameter has a wrong value, or the node does not support it.
    BadRequest,
    /// 403: the request has neither `Metadata-Flavor: Google` nor the header before it. The connection is closed after the answer.
    MissingFlavor,
    /// 403 for another reason, such as a forwarded request.
    Forbidden,
    /// 403: the `Host` may be that of a web page (DNS rebinding).
    HostNotAllowed,
    /// 403: the older APIs, `/0.1/` and `/computeMetadata/v1beta1/`, are disabled.
    LegacyEndpoint,
    /// 404: the path names nothing.
    NotFound,
    /// 405: the path does not support the method.
    MethodNotAllowed,
    /// 408: the body of the request did not arrive in time.
    RequestTimeout,
    /// 412: the feature is not configured for this VM.
    NotConfigured,
    /// 413: the body of the request, or the stored data with it, would be too large.
    TooLarge,
    /// 429: a rate limit is exceeded.
    TooManyRequests,
    /// 503: the server can't answer now; the client should try again later.
    Unavailable,
    /// A status with a text of the endpoint instead of an error page.
    Worded {
        /// The status.
        status: StatusCode,
        /// The media type of the body.
        content_type: HeaderValue,
        /// The whole body.
        words: Cow<'static, str>,
    },
    /// 500: an error in the server. Log its cause; the answer does not show it.
    Internal,
}

impl Rejection {
    /// A rejection with this text as its body. Its media type is `text/html`, as GCE's is for plain words too.
    pub const fn worded(status: StatusCode, words: &'static str) -> Self {
        Self::Worded { status, content_type: BARE_HTML, words: Cow::Borrowed(words) }
    }

    /// The status code of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::MissingSlash => StatusCode::MOVED_PERMANENTLY,
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::MissingFlavor | Self::Forbidden | Self::HostNotAllowed | Self::LegacyEndpoint => {
                StatusCode::FORBIDDEN
            }
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::NotConfigured => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Worded { status, .. } => *status,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Builds the answer to the request with this head.
    ///
    /// ```
    /// use gce_metadata_layers::{Rejection, RequestHead};
    ///
    /// let request = http::Request::get("/computeMetadata/v1/nothing").body(()).unwrap();
    /// let answer: http::Response<bytes::Bytes> = Rejection::NotFound.into_response(&RequestHead::of(&request));
    /// assert_eq!(answer.status(), 404);
    /// ```
    pub fn into_response<B: From<Bytes>>(self, head: &RequestHead) -> Response<B> {
        let (body, content_type) = self.body(head);
        let mut response = Response::new(B::from(Bytes::from(body)));
        *response.status_mut() = self.status();
        if self == Self::MissingSlash
            && let Some(location) = location(head)
        {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        // HTTP/2 has no such header.
        if self == Self::MissingFlavor && head.version() < Version::HTTP_2 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The body and its media type. Most rejections have Google's error page, with a title and a paragraph of their own.
    fn body(&self, head: &RequestHead) -> (String, HeaderValue) {
        let url = format!("{}{}", escape(head.mount_path()), escape(head.path_and_query()));
        let (title, paragraph) = match self {
            Self::MissingSlash => return (format!("{}/\n", escape(&mounted_path(head))), BARE_HTML),
            Self::Worded { words, content_type, .. } => return (words.clone().into_owned(), content_type.clone()),
            Self::MissingFlavor => ("Forbidden", no_permission(&url, "Missing Metadata-Flavor:Google header. ")),
            Self::Forbidden => ("Forbidden", no_permission(&url, " ")),
            Self::HostNotAllowed => {
                ("Forbidden", no_permission(&url, "The Host header names a host that is not allowed. "))
            }
            Self::LegacyEndpoint => {
                let path = url.split('?').next().unwrap_or_default();
                let accessed = format!("Legacy metadata endpoint accessed: {path}\n{LEGACY_DISABLED} ");
                ("Forbidden", no_permission(&url, &accessed))
            }
            Self::NotFound => {
                ("Not Found", format!("The requested URL <code>{url}</code> was not found on this server.  "))
            }
            Self::MethodNotAllowed => {
                let method = escape(head.method().as_str());
                let words = "is inappropriate for the URL";
                (
                    "Method Not Allowed",
                    format!("The request method <code>{method}</code> {words} <code>{url}</code>.  "),
                )
            }
            Self::RequestTimeout => {
                ("Request Timeout", "Your client has taken too long to issue its request.  ".into())
            }
            Self::NotConfigured => ("Precondition Failed", "A precondition of this request is not met.  ".into()),
            Self::TooLarge => ("Request Entity Too Large", "Your client issued a request that was too large.  ".into()),
            Self::TooManyRequests => {
                ("Too Many Requests", "The rate limit for this server has been exceeded.  ".into())
            }
            Self::Unavailable => {
                ("Service Unavailable", "The service you requested is not available at this time.  ".into())
            }
            Self::Internal => {
                ("Server Error", "The server encountered an error and could not complete your request.  ".into())
            }
            Self::BadRequest => ("Bad Request", "Your client has issued a malformed or illegal request.  ".into()),
        };
        (page(self.status(), title, &paragraph), HTML)
    }
}

fn page(status: StatusCode, title: &str, paragraph: &str) -> String {
    let code = status.as_u16();
    format!(
        "<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n  <meta name=viewport content=\"initial-scale=1, \
         minimum-scale=1, width=device-width\">\n  <title>Error {code} ({title})!!1</title>\n  <style>\n    {STYLE}\n  \
         </style>\n  <a href=//www.google.com/><span id=logo aria-label=Google></span></a>\n  <p><b>{code}.</b> \
         <ins>That’s an error.</ins>\n  <p>{paragraph}<ins>That’s all we know.</ins>\n"
    )
}

fn no_permission(url: &str, because: &str) -> String {
    format!("Your client does not have permission to get URL <code>{url}</code> from this server. {because}")
}

/// The path of the request as the client sent it, with runs of slashes collapsed.
fn mounted_path(head: &RequestHead) -> String {
    format!("{}{}", head.mount_path(), head.path().as_str())
}

/// The URL of the request with a slash at the end of its path. The query is kept: clients send `attributes?recursive=true` and
/// follow the redirect.
fn location(head: &RequestHead) -> Option<HeaderValue> {
    let host = head.host().unwrap_or("metadata.google.internal");
    let mut location = format!("{}://{host}{}/", head.scheme(), mounted_path(head));
    if let Some(query) = head.query() {
        location.push('?');
        location.push_str(query);
    }
    HeaderValue::try_from(location).ok()
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The style sheet of Google's error page, byte for byte; it is one line there.
const STYLE: &str = "*{margin:0;padding:0}html,code{font:15px/22px arial,sans-serif}html{background:#fff;color:#222;\
padding:15px}body{margin:7% auto 0;max-width:390px;min-height:180px;padding:30px 0 15px}* > body{background:\
url(//www.google.com/images/errors/robot.png) 100% 5px no-repeat;padding-right:205px}p{margin:11px 0 22px;\
overflow:hidden}ins{color:#777;text-decoration:none}a img{border:0}@media screen and (max-width:772px){body{\
background:none;margin-top:0;max-width:none;padding-right:0}}#logo{background:\
url(//www.google.com/images/branding/googlelogo/1x/googlelogo_color_150x54dp.png) no-repeat;margin-left:-5px}\
@media only screen and (min-resolution:192dpi){#logo{background:\
url(//www.google.com/images/branding/googlelogo/2x/googlelogo_color_150x54dp.png) no-repeat 0% 0%/100% 100%;\
-moz-border-image:url(//www.google.com/images/branding/googlelogo/2x/googlelogo_color_150x54dp.png) 0}}\
@media only screen and (-webkit-min-device-pixel-ratio:2){#logo{background:\
url(//www.google.com/images/branding/googlelogo/2x/googlelogo_color_150x54dp.png) no-repeat;\
-webkit-background-size:100% 100%}}#logo{display:inline-block;height:54px;width:150px}";

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn answer(rejection: Rejection, uri: &str) -> (Response<Bytes>, String) {
        let request = Request::get(uri).header("host", "metadata.google.internal").body(()).unwrap();
        let response: Response<Bytes> = rejection.into_response(&RequestHead::of(&request));
        let body = String::from_utf8(response.body().to_vec()).unwrap();
        (response, body)
    }

    #[test]
    fn the_404_page_equals_that_of_gce() {
        let (response, body) = answer(Rejection::NotFound, "/computeMetadata/v1/x/?recursive=true&a='%3Cb%3E'");
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html; charset=UTF-8");
        assert!(body.starts_with("<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n  <meta name=viewport "));
        assert!(
            body.contains("  <title>Error 404 (Not Found)!!1</title>\n  <style>\n    *{margin:0;padding:0}html,code")
        );
        assert!(body.ends_with(
            "</a>\n  <p><b>404.</b> <ins>That’s an error.</ins>\n  <p>The requested URL \
             <code>/computeMetadata/v1/x/?recursive=true&amp;a=&#39;%3Cb%3E&#39;</code> was not found on this server.  \
             <ins>That’s all we know.</ins>\n"
        ));
    }

    #[test]
    fn the_403_pages_contain_the_reason() {
        let (response, body) = answer(Rejection::MissingFlavor, "/computeMetadata/v1/");
        assert_eq!(response.status(), 403);
        assert!(body.contains("<title>Error 403 (Forbidden)!!1</title>"));
        assert!(body.contains(
            "<p>Your client does not have permission to get URL <code>/computeMetadata/v1/</code> from this server. \
             Missing Metadata-Flavor:Google header. <ins>That’s all we know.</ins>\n"
        ));
        let (_, body) = answer(Rejection::LegacyEndpoint, "/0.1/'?alt=text");
        assert!(body.contains(
            "from this server. Legacy metadata endpoint accessed: /0.1/&#39;\nLegacy metadata endpoints are disabled. \
             Please use the /v1/ endpoint. <ins>"
        ));
        let (_, body) = answer(Rejection::Forbidden, "/");
        assert!(body.contains("<code>/</code> from this server.  <ins>"));
    }

    #[test]
    fn only_a_missing_flavor_closes_the_connection_and_only_in_http_1() {
        let connection = |rejection: Rejection, version| {
            let request = Request::get("/computeMetadata/v1/").version(version).body(()).unwrap();
            let response: Response<Bytes> = rejection.into_response(&RequestHead::from_request(request));
            response.headers().get(header::CONNECTION).cloned()
        };
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert_eq!(connection(Rejection::MissingFlavor, version).unwrap(), "close");
            assert_eq!(connection(Rejection::Forbidden, version), None);
        }
        assert_eq!(connection(Rejection::MissingFlavor, Version::HTTP_2), None);
    }

    #[test]
    fn the_405_page_contains_the_method() {
        let (response, body) = answer(Rejection::MethodNotAllowed, "/computeMetadata/v1/");
        assert_eq!(response.status(), 405);
        assert!(body.contains(
            "<p>The request method <code>GET</code> is inappropriate for the URL <code>/computeMetadata/v1/</code>.  <ins>"
        ));
    }

    #[test]
    fn a_redirect_adds_the_slash_and_keeps_the_query() {
        let (response, body) = answer(Rejection::MissingSlash, "/computeMetadata/v1//instance?recursive=true&alt=json");
        assert_eq!(response.status(), 301);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html");
        assert_eq!(
            response.headers()[header::LOCATION],
            "http://metadata.google.internal/computeMetadata/v1/instance/?recursive=true&alt=json"
        );
        assert_eq!(body, "/computeMetadata/v1/instance/\n");
    }

    #[test]
    fn a_worded_rejection_has_its_text_as_the_body() {
        let words = "non-empty audience parameter required";
        let (response, body) = answer(Rejection::worded(StatusCode::BAD_REQUEST, words), "/");
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html");
        assert_eq!(body, words);
    }

    #[test]
    fn a_worded_rejection_may_have_any_status_and_media_type() {
        let content_type = HeaderValue::from_static("application/json");
        let worded = Rejection::Worded { status: StatusCode::IM_A_TEAPOT, content_type, words: "{}".into() };
        let (response, body) = answer(worded, "/");
        assert_eq!((response.status().as_u16(), &*body), (418, "{}"));
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    }
}
