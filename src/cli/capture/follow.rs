//! `--follow`: waits for changes of all metadata by long polls, until the time is over or a signal ends it.
//!
//! The VM may end with the change that is waited for, so the command reports each change at once, and ends by SIGTERM as by SIGINT.

use super::recording::Recording;
use super::walk::{self, Answer, Client};
use crate::cli::signals::Stop;
use anyhow::Context;
use gce_metadata_support::duration::to_text;
use http::StatusCode;
use http::header::ETAG;
use serde_json::Value;
use std::fmt::Display;
use std::io::Write;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long one request waits for a change. A connection that was lost without a notice is found out within this time.
const WAIT: Duration = Duration::from_secs(60);

/// The pause after a request that failed, or that a server answered without waiting.
const PAUSE: Duration = Duration::from_secs(1);

/// Records the changes after the first answer.
///
/// # Errors
/// If the first answer is not recursion over metadata with an entity tag, or the signals can't be listened to.
pub(super) async fn follow(client: &Client, first: &Answer, time: Duration) -> anyhow::Result<Recording> {
    let metadata = walk::metadata(client, first)?;
    let tag = entity_tag(first).with_context(|| {
        format!("http://{} can't be followed: its answer has no ETag, by which changes are noticed", client.target())
    })?;
    let mut stop = Stop::listen().context("can't listen to signals")?;
    let recording = Recording::new(metadata);
    let mut follower = Follower { client, tag, start: Instant::now(), recording, failing_since: None };
    say(format_args!("following http://{} for {}; Ctrl-C ends it", client.target(), to_text(time)));
    tokio::select! {
        () = follower.record() => say("note: a scenario can't have more states: later changes are missing"),
        () = sleep(time) => {}
        () = stop.requested() => {}
    }
    Ok(follower.recording)
}

struct Follower<'a> {
    client: &'a Client,
    /// The entity tag of the last answer.
    tag: String,
    start: Instant,
    recording: Recording,
    /// When the first of the requests failed that have failed since the last answer.
    failing_since: Option<Instant>,
}

impl Follower<'_> {
    /// Records changes until the recording is full.
    async fn record(&mut self) {
        while !self.recording.is_full() {
            let asked = Instant::now();
            let has_changed = match self.client.wait(&self.tag, WAIT).await {
                Ok(answer) => self.answered(&answer),
                Err(error) => self.failed(&error),
            };
            if !has_changed && asked.elapsed() < PAUSE {
                sleep(PAUSE).await;
            }
        }
    }

    /// Returns whether the metadata has changed.
    fn answered(&mut self, answer: &Answer) -> bool {
        if answer.status() != StatusCode::OK {
            return self.failed(&format_args!("answered {}", answer.status()));
        }
        let metadata = serde_json::from_slice(answer.body()).ok().filter(Value::is_object);
        let (Some(metadata), Some(tag)) = (metadata, entity_tag(answer)) else {
            return self.failed(&"answered without a JSON object and an ETag");
        };
        if let Some(since) = self.failing_since.take() {
            self.note(format_args!(
                "answered again, {} later; changes in between are one change",
                to_text(since.elapsed())
            ));
        }
        self.tag = tag;
        let at = self.start.elapsed();
        let paths = self.recording.add(at, metadata);
        if !paths.is_empty() {
            say(format_args!("{}: {}", to_text(at), paths.join(", ")));
        }
        !paths.is_empty()
    }

    /// Notes the first failure after an answer. The next request has the same entity tag, so no change is lost.
    fn failed(&mut self, error: &dyn Display) -> bool {
        if self.failing_since.is_none() {
            self.failing_since = Some(Instant::now());
            self.note(format_args!("{error}; asking again"));
        }
        false
    }

    fn note(&self, text: impl Display) {
        say(format_args!("note: {}: {text}", to_text(self.start.elapsed())));
    }
}

fn entity_tag(answer: &Answer) -> Option<String> {
    answer.headers().get(ETAG)?.to_str().ok().map(str::to_owned)
}

/// Writes a line to standard error.
fn say(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
