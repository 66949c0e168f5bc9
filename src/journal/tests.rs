//! Tests of the entries, their numbers and their followers.

use super::entry::tests::entry;
use super::*;
use crate::request_pattern::RequestView;
use gce_metadata_routes::{Metadata, Publisher};
use http::Request;
use std::thread::Builder;
use std::time::Duration;

fn journal(entries: usize) -> Journal {
    Journal::new(Log::new(entries), Publisher::new(Metadata::sample().tree()).reader())
}

fn add(journal: &Journal, path: &str) {
    journal.add(Box::new(entry(Request::get(path), 200)));
}

fn urls(entries: &[Arc<Entry>]) -> Vec<String> {
    entries.iter().map(|entry| entry.url().into_owned()).collect()
}

#[test]
fn a_journal_has_the_last_entries_in_the_order_of_their_answers() {
    let journal = journal(3);
    for path in ["/1", "/2", "/3", "/4"] {
        add(&journal, path);
    }
    assert_eq!(urls(&journal.entries()), ["/2", "/3", "/4"]);
    add(&journal, "/5");
    let entries = journal.entries();
    assert_eq!(urls(&entries), ["/3", "/4", "/5"]);
    assert!(entries.is_sorted_by_key(|entry| entry.number()));
    assert_eq!(journal.entry(entries[1].number()).unwrap().url(), "/4");
    journal.remove(&entries[1..2]);
    assert_eq!(urls(&journal.entries()), ["/3", "/5"]);
    assert!(journal.entry(entries[1].number()).is_none());
    journal.clear();
    assert!(journal.entries().is_empty());
    add(&journal, "/6");
    assert!(journal.entries()[0].number() > entries[2].number(), "numbers are not reused");
}

#[test]
fn a_request_whose_client_left_is_recorded_without_an_answer() {
    let journal = journal(3);
    let request = Request::get("/waiting").body(()).unwrap();
    let entry = Entry::new(request.method(), request.uri(), request.headers(), None, None);
    drop(Begun { journal: journal.clone(), entry: Some(Box::new(entry)) });
    assert!(journal.entries()[0].answer.is_none());
}

#[tokio::test]
async fn followers_wake_for_each_entry() {
    let journal = journal(3);
    let changes = journal.changes();
    let follower = changes.until(|| journal.entries().first().cloned());
    let (found, ()) = tokio::join!(biased; follower, async { add(&journal, "/1") });
    assert_eq!(found.url(), "/1");
    drop(changes);
    assert_eq!(journal.0.log.sizes().0, 0);
}

#[test]
fn no_entry_is_lost_while_threads_add_and_read() {
    let journal = journal(4000);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let journal = &journal;
            let work = move || (0..1000).for_each(|number| add(journal, &format!("/{thread}/{number}")));
            Builder::new().spawn_scoped(scope, work).unwrap();
        }
        while journal.entries().len() < 4000 {}
    });
    let mut urls = urls(&journal.entries());
    urls.sort_unstable();
    urls.dedup();
    assert_eq!(urls.len(), 4000);
    assert_eq!(journal.entries()[0].duration, Duration::from_millis(5));
}

#[test]
fn entries_dropped_to_make_room_are_counted_until_the_journal_is_cleared() {
    let journal = journal(2);
    for path in ["/1", "/2", "/3"] {
        add(&journal, path);
    }
    assert_eq!((journal.lost(), journal.entries().len()), (1, 2), "dropped from the list of the readers");
    journal.remove(&journal.entries());
    assert_eq!(journal.lost(), 1, "removed entries are not lost");
    for _ in 0..1000 {
        add(&journal, "/4");
    }
    assert_eq!((journal.lost(), journal.entries().len()), (999, 2), "dropped from the queue too");
    journal.clear();
    assert_eq!(journal.lost(), 0);
}
