//! `oslogin/authenticate/sessions/…`: sessions in which a user answers the challenges of a second factor.

use super::json_answer;
use crate::endpoint::{Call, Endpoint, Reply, RequestBody};
use crate::os_login::{Challenge, OsLogin, Profile};
use crate::paths::v1_path;
use crate::snapshot::Reader;
use gce_metadata_layers::Rejection;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// The size limit of a request body, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// The limit on concurrent sessions. A new session above it evicts the oldest one.
const MAX_SESSIONS: usize = 1000;
const LIFETIME: Duration = Duration::from_secs(600);
/// The number of wrong answers that ends a session.
const MAX_FAILURES: u8 = 5;

/// The active sessions. Clones share them.
#[derive(Clone)]
pub(crate) struct Sessions {
    reader: Reader,
    active: Arc<Mutex<VecDeque<Session>>>,
}

struct Session {
    id: String,
    email: String,
    started: Instant,
    /// The ids of the challenges that the user may answer.
    ready: BTreeSet<usize>,
    failures: u8,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    email: String,
    supported_challenge_types: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Continue {
    email: String,
    challenge_id: usize,
    action: Action,
    proposal_response: Option<ProposalResponse>,
}

#[derive(Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Action {
    Respond,
    StartAlternate,
}

#[derive(Deserialize)]
struct ProposalResponse {
    credential: Option<String>,
}

impl Sessions {
    pub(crate) fn new(reader: Reader) -> Self {
        Self { reader, active: Arc::default() }
    }

    fn start(&self, os_login: &OsLogin, body: &[u8]) -> Result<Value, Rejection> {
        let Start { email, supported_challenge_types: supported } = read(body)?;
        let profile = os_login.by_email(&email).ok_or(Rejection::NotFound)?;
        let is_supported = |kind: &str| supported.as_ref().is_none_or(|kinds| kinds.iter().any(|it| it == kind));
        let Some(first) = numbered(profile).find(|(_, challenge)| is_supported(&challenge.kind)) else {
            return Ok(json!({"status": "NO_AVAILABLE_CHALLENGES"}));
        };
        let session =
            Session { id: new_id()?, email, started: Instant::now(), ready: BTreeSet::from([first.0]), failures: 0 };
        let proposed = numbered(profile).filter(|(_, challenge)| is_supported(&challenge.kind));
        let answer = session.challenges(proposed);
        let mut active = self.lock();
        if active.len() == MAX_SESSIONS {
            active.pop_front();
        }
        active.push_back(session);
        Ok(answer)
    }

    fn proceed(&self, os_login: &OsLogin, id: &str, body: &[u8]) -> Result<Value, Rejection> {
        let Continue { email, challenge_id, action, proposal_response } = read(body)?;
        let mut active = self.lock();
        active.retain(|session| session.started.elapsed() < LIFETIME);
        let place = active.iter().position(|session| session.id == id).ok_or(Rejection::NotFound)?;
        let session = active.get_mut(place).filter(|session| session.email == email).ok_or(Rejection::NotFound)?;
        let profile = os_login.by_email(&email).ok_or(Rejection::NotFound)?;
        let (_, challenge) = numbered(profile).find(|(id, _)| *id == challenge_id).ok_or(Rejection::BadRequest)?;
        if matches!(action, Action::StartAlternate) {
            session.ready.insert(challenge_id);
            return Ok(session.challenges([(challenge_id, challenge)].into_iter()));
        }
        if !session.ready.contains(&challenge_id) {
            return Err(Rejection::BadRequest);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let credential = proposal_response.and_then(|response| response.credential);
        let is_met = challenge.is_met(credential.as_deref(), now);
        tracing::info!(email, kind = challenge.kind, is_met, "second factor checked");
        if is_met {
            active.remove(place);
            return Ok(json!({"sessionId": id, "status": "AUTHENTICATED"}));
        }
        session.failures += 1;
        let mut answer = session.challenges([(challenge_id, challenge)].into_iter());
        answer["rejectionReason"] = "The second factor was not accepted.".into();
        if session.failures == MAX_FAILURES {
            active.remove(place);
        }
        Ok(answer)
    }

    /// Locks the sessions. A poisoned lock is fine: each change is atomic.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Session>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(
        self,
        body: RequestBody,
        answer: impl FnOnce(&Self, &OsLogin, &[u8]) -> Result<Value, Rejection> + Send + 'static,
    ) -> Reply {
        Reply::later(async move {
            let body = body.read(MAX_BODY_BYTES).await?;
            // Read after the body has arrived: OS Login may have been disabled meanwhile.
            let snapshot = self.reader.snapshot();
            let os_login = snapshot.tree().enabled_os_login().ok_or(Rejection::NotFound)?;
            answer(&self, os_login, &body).map(json_answer)
        })
    }
}

impl Session {
    fn challenges<'a>(&self, challenges: impl Iterator<Item = (usize, &'a Challenge)>) -> Value {
        let status = |id| if self.ready.contains(&id) { "READY" } else { "PROPOSED" };
        let shown = challenges
            .map(|(id, challenge)| json!({"challengeId": id, "challengeType": challenge.kind, "status": status(id)}));
        json!({"challenges": shown.collect::<Vec<_>>(), "sessionId": self.id, "status": "CHALLENGE_REQUIRED"})
    }
}

fn numbered(profile: &Profile) -> impl Iterator<Item = (usize, &Challenge)> {
    (1..).zip(profile.challenges())
}

/// Parses a body as JSON. The guest sends JSON with the media type of a form, so the media type is ignored.
fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Rejection> {
    serde_json::from_slice(body).map_err(|_| Rejection::BadRequest)
}

fn new_id() -> Result<String, Rejection> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| {
        tracing::error!("no random bytes for a session: {error}");
        Rejection::Internal
    })?;
    Ok(format!("{:032x}", u128::from_ne_bytes(id)))
}

/// `…/sessions/start`: starts a session and proposes challenges.
pub(crate) struct StartSession(pub(crate) Sessions);

/// `…/sessions/{session}/continue`: checks an answer, or selects another challenge.
pub(crate) struct ContinueSession(pub(crate) Sessions);

impl Endpoint for StartSession {
    fn allows(&self, method: &Method) -> bool {
        method == Method::POST
    }

    fn call(&self, call: Call<'_>) -> Reply {
        self.0.clone().answer(call.body, Sessions::start)
    }
}

impl Endpoint for ContinueSession {
    fn allows(&self, method: &Method) -> bool {
        method == Method::POST
    }

    fn call(&self, call: Call<'_>) -> Reply {
        let id = call.own_placeholder("session").to_owned();
        let proceed = move |sessions: &Sessions, os_login: &OsLogin, body: &[u8]| sessions.proceed(os_login, &id, body);
        // Session ids must not become labels.
        self.0.clone().answer(call.body, proceed).counted_as(v1_path!("oslogin/authenticate/sessions/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Metadata, Publisher};
    use bytes::Bytes;
    use tokio::time::advance;

    fn os_login() -> OsLogin {
        OsLogin::from_json(json!({
            "loginProfiles": [{"name": "ada@example.com", "posixAccounts": [{"username": "ada", "uid": 2001}]}],
            "challenges": {"ada@example.com": [
                {"type": "SECURITY_KEY_OTP", "code": "111111"}, {"type": "AUTHZEN", "approves": true},
            ]},
        }))
        .unwrap()
    }

    fn sessions() -> Sessions {
        Sessions::new(Publisher::new(Metadata::empty().tree()).reader())
    }

    fn start(sessions: &Sessions) -> (String, Value) {
        let answer = sessions.start(&os_login(), br#"{"email": "ada@example.com"}"#).unwrap();
        (answer["sessionId"].as_str().unwrap().to_owned(), answer)
    }

    fn proceed(sessions: &Sessions, id: &str, challenge: usize, action: &str, code: &str) -> Result<Value, Rejection> {
        let body = json!({"email": "ada@example.com", "challengeId": challenge, "action": action,
            "proposalResponse": {"credential": code}});
        sessions.proceed(&os_login(), id, body.to_string().as_bytes())
    }

    #[test]
    fn a_session_ends_with_a_correct_answer() {
        let sessions = sessions();
        let (id, started) = start(&sessions);
        assert_eq!(
            started["challenges"],
            json!([
                {"challengeId": 1, "challengeType": "SECURITY_KEY_OTP", "status": "READY"},
                {"challengeId": 2, "challengeType": "AUTHZEN", "status": "PROPOSED"},
            ])
        );
        let wrong = proceed(&sessions, &id, 1, "RESPOND", "222222").unwrap();
        assert_eq!(
            (wrong["status"].as_str(), wrong["rejectionReason"].is_string()),
            (Some("CHALLENGE_REQUIRED"), true)
        );
        assert_eq!(proceed(&sessions, &id, 1, "RESPOND", "111111").unwrap()["status"], "AUTHENTICATED");
        assert_eq!(proceed(&sessions, &id, 1, "RESPOND", "111111"), Err(Rejection::NotFound), "the session has ended");
    }

    #[tokio::test]
    async fn a_session_is_refused_if_os_login_is_disabled_while_the_body_arrives() {
        let vm = Metadata::empty().with_os_login(os_login()).with_attribute("enable-oslogin", "TRUE").tree();
        let publisher = Publisher::new(vm);
        let sessions = Sessions::new(publisher.reader());
        let start = |body| sessions.clone().answer(body, Sessions::start);
        let body = || Bytes::from_static(br#"{"email": "ada@example.com"}"#);
        assert!(start(RequestBody::made(body)).await.is_ok());
        let late = start(RequestBody::made(move || {
            publisher.set("instance/attributes/enable-oslogin", "FALSE").unwrap();
            body()
        }));
        assert_eq!(late.await.unwrap_err(), Rejection::NotFound);
    }

    #[test]
    fn another_challenge_must_be_selected_before_its_answer() {
        let sessions = sessions();
        let (id, _) = start(&sessions);
        assert_eq!(proceed(&sessions, &id, 2, "RESPOND", ""), Err(Rejection::BadRequest));
        let alternate = proceed(&sessions, &id, 2, "START_ALTERNATE", "").unwrap();
        assert_eq!(alternate["challenges"], json!([{"challengeId": 2, "challengeType": "AUTHZEN", "status": "READY"}]));
        assert_eq!(proceed(&sessions, &id, 2, "RESPOND", "").unwrap()["status"], "AUTHENTICATED");
    }

    #[test]
    fn a_session_ends_after_too_many_wrong_answers() {
        let sessions = sessions();
        let (id, _) = start(&sessions);
        for _ in 0..MAX_FAILURES {
            assert_eq!(proceed(&sessions, &id, 1, "RESPOND", "0").unwrap()["status"], "CHALLENGE_REQUIRED");
        }
        assert_eq!(proceed(&sessions, &id, 1, "RESPOND", "111111"), Err(Rejection::NotFound));
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_expires_after_its_lifetime() {
        let sessions = sessions();
        let (id, _) = start(&sessions);
        let second = Duration::from_secs(1);
        advance(LIFETIME - second).await;
        assert_eq!(proceed(&sessions, &id, 1, "RESPOND", "222222").unwrap()["status"], "CHALLENGE_REQUIRED");
        advance(second).await;
        assert_eq!(proceed(&sessions, &id, 1, "RESPOND", "111111"), Err(Rejection::NotFound));
    }

    #[test]
    fn the_oldest_session_is_evicted_at_the_limit() {
        let sessions = sessions();
        let (first, _) = start(&sessions);
        (0..MAX_SESSIONS).for_each(|_| _ = start(&sessions));
        assert_eq!(sessions.lock().len(), MAX_SESSIONS);
        assert_eq!(proceed(&sessions, &first, 1, "RESPOND", "111111"), Err(Rejection::NotFound));
    }

    #[test]
    fn only_challenges_that_the_guest_supports_are_proposed() {
        let asked = |kinds: &str| {
            let body = format!(r#"{{"email": "ada@example.com", "supportedChallengeTypes": [{kinds}]}}"#);
            sessions().start(&os_login(), body.as_bytes()).unwrap()
        };
        assert_eq!(asked("\"TOTP\""), json!({"status": "NO_AVAILABLE_CHALLENGES"}));
        assert_eq!(asked("\"AUTHZEN\"")["challenges"][0]["challengeId"], 2);
        assert_eq!(sessions().start(&os_login(), br#"{"email": "bob@example.com"}"#), Err(Rejection::NotFound));
        assert_eq!(sessions().start(&os_login(), b"email=ada"), Err(Rejection::BadRequest));
    }
}
