//! The table of the admin API: paths, methods, and the functions that answer them.

use super::call::{Call, Handler, Outcome};
use super::problem::Problem;
use super::{
    Admin, events, export, lifecycle, mappings, metadata, near_misses, requests, scenarios, settings, status, tokens,
    tree, verify, waiters,
};
use crate::journal::Verification;
use bytes::Bytes;
use http::{Method, request};
use percent_encoding::percent_decode_str;
use std::sync::Arc;
use std::time::Duration;

/// A path and its methods.
type Route = (&'static str, &'static [(Method, Handler)]);

/// The paths, in the order of `openapi.json`, which describes them.
pub(super) const ROUTES: &[Route] = &[
    (
        "/__admin/metadata",
        &[
            (Method::GET, |call| Box::pin(metadata::get(call))),
            (Method::PUT, |call| Box::pin(metadata::put_root(call))),
            (Method::PATCH, |call| Box::pin(metadata::patch(call))),
        ],
    ),
    ("/__admin/metadata/reset", &[(Method::POST, |call| Box::pin(metadata::reset(call)))]),
    (
        "/__admin/metadata/{*path}",
        &[
            (Method::GET, |call| Box::pin(metadata::get(call))),
            (Method::PUT, |call| Box::pin(metadata::put(call))),
            (Method::PATCH, |call| Box::pin(metadata::patch(call))),
            (Method::DELETE, |call| Box::pin(metadata::delete(call))),
        ],
    ),
    ("/__admin/tree", &[(Method::GET, |call| Box::pin(tree::get(call)))]),
    ("/__admin/tokens", &[(Method::GET, |call| Box::pin(tokens::list(call)))]),
    (
        "/__admin/tokens/{account}",
        &[
            (Method::GET, |call| Box::pin(tokens::get(call))),
            (Method::PUT, |call| Box::pin(tokens::put(call))),
            (Method::DELETE, |call| Box::pin(tokens::clear(call))),
        ],
    ),
    ("/__admin/tokens/{account}/rotate", &[(Method::POST, |call| Box::pin(tokens::rotate(call)))]),
    (
        "/__admin/settings",
        &[(Method::GET, |call| Box::pin(settings::get(call))), (Method::POST, |call| Box::pin(settings::post(call)))],
    ),
    (
        "/__admin/requests",
        &[
            (Method::GET, |call| Box::pin(requests::list(call))),
            (Method::DELETE, |call| Box::pin(requests::clear(call))),
        ],
    ),
    ("/__admin/requests/reset", &[(Method::POST, |call| Box::pin(requests::clear(call)))]),
    ("/__admin/requests/count", &[(Method::POST, |call| Box::pin(requests::count(call)))]),
    ("/__admin/requests/find", &[(Method::POST, |call| Box::pin(requests::find(call)))]),
    ("/__admin/requests/remove", &[(Method::POST, |call| Box::pin(requests::remove(call)))]),
    (VERIFY, &[(Method::POST, |call| Box::pin(verify::post(call)))]),
    ("/__admin/requests/unmatched", &[(Method::GET, |call| Box::pin(requests::unmatched(call)))]),
    ("/__admin/requests/unmatched/near-misses", &[(Method::GET, |call| Box::pin(near_misses::of_unmatched(call)))]),
    (
        "/__admin/requests/{id}",
        &[
            (Method::GET, |call| Box::pin(requests::get(call))),
            (Method::DELETE, |call| Box::pin(requests::delete(call))),
        ],
    ),
    ("/__admin/near-misses/request-pattern", &[(Method::POST, |call| Box::pin(near_misses::of_pattern(call)))]),
    ("/__admin/events", &[(Method::GET, |call| Box::pin(events::get(call)))]),
    ("/__admin/waiters", &[(Method::GET, |call| Box::pin(waiters::list(call)))]),
    (
        "/__admin/mappings",
        &[
            (Method::GET, |call| Box::pin(mappings::list(call))),
            (Method::POST, |call| Box::pin(mappings::add(call))),
            (Method::DELETE, |call| Box::pin(mappings::clear(call))),
        ],
    ),
    ("/__admin/mappings/reset", &[(Method::POST, |call| Box::pin(mappings::reset(call)))]),
    ("/__admin/mappings/import", &[(Method::POST, |call| Box::pin(mappings::import(call)))]),
    ("/__admin/mappings/remove", &[(Method::POST, |call| Box::pin(mappings::remove(call)))]),
    (
        "/__admin/mappings/{id}",
        &[
            (Method::GET, |call| Box::pin(mappings::get(call))),
            (Method::PUT, |call| Box::pin(mappings::put(call))),
            (Method::DELETE, |call| Box::pin(mappings::delete(call))),
        ],
    ),
    ("/__admin/scenarios", &[(Method::GET, |call| Box::pin(scenarios::list(call)))]),
    (
        "/__admin/scenarios/reset",
        &[
            // The path of the built-in scenario `reset` too.
            (Method::GET, |call| Box::pin(scenarios::get(named(call, "reset")))),
            (Method::PUT, |call| Box::pin(scenarios::put(named(call, "reset")))),
            (Method::DELETE, |call| Box::pin(scenarios::delete(named(call, "reset")))),
            (Method::POST, |call| Box::pin(scenarios::reset(call))),
        ],
    ),
    (
        "/__admin/scenarios/{name}",
        &[
            (Method::GET, |call| Box::pin(scenarios::get(call))),
            (Method::PUT, |call| Box::pin(scenarios::put(call))),
            (Method::DELETE, |call| Box::pin(scenarios::delete(call))),
        ],
    ),
    ("/__admin/scenarios/{name}/state", &[(Method::PUT, |call| Box::pin(scenarios::put_state(call)))]),
    ("/__admin/scenarios/{name}/run", &[(Method::POST, |call| Box::pin(scenarios::run(call)))]),
    ("/__admin/scenarios/{name}/stop", &[(Method::POST, |call| Box::pin(scenarios::stop(call)))]),
    ("/__admin/scenarios/{name}/step", &[(Method::POST, |call| Box::pin(scenarios::step(call)))]),
    ("/__admin/scenarios/{name}/advance", &[(Method::POST, |call| Box::pin(scenarios::advance(call)))]),
    ("/__admin/reset", &[(Method::POST, |call| Box::pin(lifecycle::reset(call)))]),
    ("/__admin/export", &[(Method::GET, |call| Box::pin(export::get(call)))]),
    ("/__admin/status", &[(Method::GET, |call| Box::pin(status::get(call)))]),
    (HEALTH, &[(Method::GET, |call| Box::pin(lifecycle::health(call)))]),
    ("/__admin/version", &[(Method::GET, |call| Box::pin(lifecycle::version(call)))]),
    ("/__admin/shutdown", &[(Method::POST, |call| Box::pin(lifecycle::shutdown(call)))]),
    ("/__admin/openapi.json", &[(Method::GET, |call| Box::pin(lifecycle::openapi(call)))]),
];

/// The call with this parameter, for a path that is also another path's with a parameter.
fn named(call: Call, parameter: &str) -> Call {
    Call { parameter: parameter.to_owned(), ..call }
}

/// The path that needs no token.
pub(super) const HEALTH: &str = "/__admin/health";

/// The path that may take longer than others.
const VERIFY: &str = "/__admin/requests/verify";

/// The limit on the time of an answer.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Finds the routes of paths.
#[derive(Debug, Clone)]
pub(super) struct Router(matchit::Router<usize>);

impl Router {
    #[expect(clippy::expect_used, reason = "the table is a constant")]
    pub(super) fn new() -> Self {
        let mut router = matchit::Router::new();
        for (index, (path, _)) in ROUTES.iter().enumerate() {
            router.insert(*path, index).expect("the paths of the table do not conflict");
        }
        Self(router)
    }

    /// The limit on the time of an answer from this path.
    pub(super) fn time_limit(path: &str) -> Duration {
        if path == VERIFY { Verification::MAX_TIMEOUT + TIME_LIMIT } else { TIME_LIMIT }
    }

    /// Answers a request.
    pub(super) async fn answer(&self, admin: Arc<Admin>, head: request::Parts, body: Bytes) -> Outcome {
        let path = head.uri.path();
        let found = self.0.at(path).map_err(|_| {
            Problem::not_found(format!("{path}: there is no such path; /__admin/openapi.json lists all of them"))
        })?;
        let (_, methods) = ROUTES[*found.value];
        // The answer to HEAD is that to GET; the connection omits the body.
        let method = if head.method == Method::HEAD { Method::GET } else { head.method };
        let Some((_, handler)) = methods.iter().find(|(known, _)| *known == method) else {
            let allowed: Vec<_> = methods.iter().map(|(method, _)| method.as_str()).collect();
            return Err(Problem::method_not_allowed(&allowed.join(", ")));
        };
        let parameter = found.params.iter().next().map_or("", |(_, value)| value);
        let parameter = percent_decode_str(parameter).decode_utf8();
        let parameter = parameter.map_err(|_| Problem::bad_request(format!("{path}: the path is not UTF-8")))?;
        let query = form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let parameter = parameter.into_owned();
        handler(Call { admin, parameter, query, headers: head.headers, body }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn the_paths_of_the_table_do_not_conflict() {
        Router::new();
    }

    #[test]
    fn openapi_describes_exactly_the_routes_of_the_table() {
        let openapi: Value = serde_json::from_str(lifecycle::OPENAPI).unwrap();
        let methods = |path: &Value| {
            let members = path.as_object().unwrap().keys().filter(|name| *name != "parameters");
            members.map(|method| method.to_uppercase()).collect::<BTreeSet<_>>()
        };
        let described = openapi["paths"].as_object().unwrap().iter();
        let described: BTreeMap<_, _> = described.map(|(path, item)| (path.clone(), methods(item))).collect();
        let names = |methods: &[(Method, Handler)]| methods.iter().map(|(method, _)| method.to_string()).collect();
        let routes = ROUTES.iter().map(|(path, methods)| (path.replace("{*", "{"), names(methods)));
        assert_eq!(described, routes.collect());
    }
}
