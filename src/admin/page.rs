//! The page at `/`: shows the machine and changes it, by the admin API.
//!
//! The files have no data, so they are served without the admin token: the page asks for the token and sends it with each request to the
//! API. The Content-Security-Policy allows these files alone, so that a value of the metadata can't run as a script.

use super::call::{Answer, empty, with_type};
use super::problem::Problem;
use gce_metadata_layers::entity_tag;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

/// A file of the page.
struct File {
    path: &'static str,
    content_type: HeaderValue,
    text: &'static str,
}

static FILES: [File; 3] = [
    File {
        path: "/",
        content_type: HeaderValue::from_static("text/html; charset=utf-8"),
        text: include_str!("page/index.html"),
    },
    File {
        path: "/page.css",
        content_type: HeaderValue::from_static("text/css; charset=utf-8"),
        text: include_str!("page/page.css"),
    },
    File { path: "/page.js", content_type: HeaderValue::from_static("text/javascript; charset=utf-8"), text: SCRIPT },
];

/// The script: one module, whose parts are files for their readers. A part uses the names of all others.
const SCRIPT: &str = concat!(
    include_str!("page/script/limits.js"),
    include_str!("page/script/elements.js"),
    include_str!("page/script/api.js"),
    include_str!("page/script/events.js"),
    include_str!("page/script/status.js"),
    include_str!("page/script/tree.js"),
    include_str!("page/script/editor.js"),
    include_str!("page/script/requests.js"),
    include_str!("page/script/waiting.js"),
    include_str!("page/script/tokens.js"),
    include_str!("page/script/scenarios.js"),
    include_str!("page/script/faults.js"),
    // Starts what the others define.
    include_str!("page/script/start.js"),
);

const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'",
        ),
    ),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    // Browsers ask by the entity tag each time, so that a newer server's page is used at once.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

/// Whether this is the path of a file of the page.
pub(super) fn is_file(path: &str) -> bool {
    file(path).is_some()
}

/// The answer to a request for a file of the page; `None` if the path is that of no file.
pub(super) fn answer(method: &Method, path: &str, headers: &HeaderMap) -> Option<Answer> {
    let file = file(path)?;
    if method != Method::GET && method != Method::HEAD {
        return Some(Problem::method_not_allowed("GET").into_answer());
    }
    let tag = file.tag();
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| Some(known) == tag.as_ref());
    let mut answer = if is_known {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        with_type(StatusCode::OK, file.content_type.clone(), file.text)
    };
    answer.headers_mut().extend(HEADERS.map(|(name, value)| (Some(name), value)));
    answer.headers_mut().extend(tag.map(|tag| (header::ETAG, tag)));
    Some(answer)
}

fn file(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

impl File {
    fn tag(&self) -> Option<HeaderValue> {
        let tag = entity_tag(self.text.as_bytes());
        HeaderValue::from_str(&format!("\"{}\"", tag.to_str().ok()?)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page must load at once, and be small enough to read.
    const MAX_BYTES: usize = 60 * 1024;

    #[test]
    fn the_files_have_at_most_60_kilobytes() {
        let bytes: usize = FILES.iter().map(|file| file.text.len()).sum();
        assert!(bytes <= MAX_BYTES, "{bytes} bytes");
    }

    #[test]
    fn data_never_becomes_markup_and_nothing_is_inline() {
        for markup in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!SCRIPT.contains(markup), "{markup}");
        }
        let page = file("/").unwrap().text;
        for inline in ["<style", "style=", "onclick", "<script>", "//"] {
            assert!(!page.contains(inline), "the policy forbids {inline}");
        }
    }

    #[test]
    fn a_file_that_the_browser_has_is_answered_304() {
        let get = |headers: &HeaderMap| answer(&Method::GET, "/page.js", headers).unwrap();
        let first = get(&HeaderMap::new());
        assert_eq!((first.status(), &first.headers()["cache-control"]), (StatusCode::OK, &"no-cache".parse().unwrap()));
        let headers = [(header::IF_NONE_MATCH, first.headers()["etag"].clone())].into_iter().collect();
        assert_eq!(get(&headers).status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn only_get_and_the_paths_of_the_files_are_answered() {
        let status = |method, path| answer(&method, path, &HeaderMap::new()).map(|answer| answer.status().as_u16());
        assert_eq!(status(Method::POST, "/"), Some(405));
        for path in ["/page", "/index.html", "/__admin/metadata", "//"] {
            assert_eq!(status(Method::GET, path), None, "{path}");
        }
    }
}
