//! Tests of the numbering, the limits and the streams of the log.

use super::*;
use crate::journal::test_entry;
use crate::request_pattern::RequestView;
use futures_util::FutureExt;
use http::Request;
use serde_json::json;
use std::thread::Builder;

const REQUESTS: usize = 10;

fn log() -> (Log, Events) {
    let log = Log::new(REQUESTS);
    (log.clone(), Events::new(Some(log)))
}

fn request(log: &Log, path: &str) {
    log.add_request(Box::new(test_entry(Request::get(path), 200)));
}

fn emit(events: &Events, count: usize) {
    for number in 0..count {
        events.emit(EventKind::Token, || json!({"number": number}));
    }
}

/// Reads all records: `NUMBER TEXT`.
fn read(stream: &mut LogStream) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(items) = stream.next(7).now_or_never() {
        stream.read(items[items.len() - 1].number);
        lines.extend(items.iter().map(|item| match &item.record {
            Record::Request(entry) => format!("{} {}", item.number, entry.url()),
            Record::Event(event) => format!("{} {}", item.number, event.data),
            Record::Gap(count) => format!("{} gap of {count}", item.number),
        }));
    }
    lines
}

#[test]
fn requests_and_events_have_one_numbering_in_the_order_in_which_they_happened() {
    let (log, events) = log();
    request(&log, "/1");
    let mut stream = LogStream::new(&log, None).unwrap();
    request(&log, "/2");
    emit(&events, 1);
    request(&log, "/4");
    assert_eq!(read(&mut stream), ["2 /2", r#"3 {"number":0}"#, "4 /4"]);
    assert_eq!(log.requests().iter().map(|entry| entry.number()).collect::<Vec<_>>(), [1, 2, 4]);
    let mut resumed = LogStream::new(&log, Some(2)).unwrap();
    assert_eq!(read(&mut resumed), [r#"3 {"number":0}"#, "4 /4"]);
    let mut of_an_earlier_server = LogStream::new(&log, Some(500)).unwrap();
    assert_eq!(read(&mut of_an_earlier_server).len(), 4);
}

#[tokio::test]
async fn a_stream_waits_for_the_next_record() {
    let (log, events) = log();
    let stream = LogStream::new(&log, None).unwrap();
    let (items, ()) = tokio::join!(biased; stream.next(7), async { emit(&events, 1) });
    assert_eq!(items.len(), 1);
}

#[test]
fn a_slow_stream_loses_the_oldest_records_and_learns_how_many() {
    let (log, events) = log();
    let mut stream = LogStream::new(&log, None).unwrap();
    for number in 1..=1000 {
        request(&log, &format!("/{number}"));
    }
    emit(&events, 1);
    let lines = read(&mut stream);
    assert_eq!((lines[0].as_str(), lines[1].as_str()), ("990 gap of 990", "991 /991"));
    assert_eq!(lines.len(), 1 + REQUESTS + 1);
    assert_eq!(lines[lines.len() - 1], r#"1001 {"number":0}"#);
}

/// Nothing reads the log meanwhile.
#[test]
fn events_displace_no_requests_and_are_limited() {
    let (log, events) = log();
    let mut stream = LogStream::new(&log, None).unwrap();
    (0..REQUESTS).for_each(|number| request(&log, &format!("/{number}")));
    emit(&events, 100_000);
    let (_, requests, kept) = log.sizes();
    assert!(requests + kept <= REQUESTS + 1000 + 256, "{requests} {kept}");
    let lines = read(&mut stream);
    assert_eq!(lines[..2], ["1 /0", "2 /1"]);
    assert_eq!(lines[REQUESTS], format!("{} gap of 99000", REQUESTS + 99_000));
    assert_eq!(lines.len(), REQUESTS + 1 + 1000);
}

#[test]
fn events_are_recorded_only_while_a_stream_exists_and_for_a_client_that_reconnects() {
    let (log, events) = log();
    let unused = || events.emit(EventKind::Token, || panic!("nothing is recorded"));
    unused();
    Events::default().emit(EventKind::Token, || panic!("nothing is recorded"));
    drop(LogStream::new(&log, None).unwrap());
    emit(&events, 200);
    let mut stream = LogStream::new(&log, Some(0)).unwrap();
    assert_eq!(read(&mut stream).len(), 200, "none is lost between two streams");
    drop(stream);
    emit(&events, 300);
    unused();
    let mut stream = LogStream::new(&log, Some(200)).unwrap();
    let lines = read(&mut stream);
    assert_eq!(lines.len(), 256);
    emit(&events, 1);
    assert_eq!(read(&mut stream), ["457 gap of 1", r#"458 {"number":0}"#]);
}

#[test]
fn a_log_has_at_most_16_streams() {
    let (log, _) = log();
    let mut streams: Vec<_> = (0..LogStream::MAX).map(|_| LogStream::new(&log, None).unwrap()).collect();
    assert_eq!(log.sizes().0, 16);
    assert!(LogStream::new(&log, None).is_none());
    assert_eq!(log.sizes().0, 16);
    streams.pop();
    assert!(LogStream::new(&log, None).is_some());
}

/// The queue is bounded, so a writer that is interrupted while it drains the queue may let others drop events.
#[test]
fn each_event_is_read_or_counted_in_a_gap_while_threads_emit_and_read() {
    let (log, events) = log();
    let mut stream = LogStream::new(&log, None).unwrap();
    let mut lines = std::thread::scope(|scope| {
        let emit = || Builder::new().spawn_scoped(scope, || emit(&events, 200)).unwrap();
        let writers: Vec<_> = std::iter::repeat_with(emit).take(4).collect();
        let mut lines = Vec::new();
        while !writers.iter().all(|writer| writer.is_finished()) {
            lines.extend(read(&mut stream));
        }
        lines
    });
    // A gap is before a record, so one more record shows whether the last ones were dropped.
    emit(&events, 1);
    lines.extend(read(&mut stream));
    let mut last = 0;
    for line in &lines {
        let (number, text) = line.split_once(' ').unwrap();
        let records: u64 = text.strip_prefix("gap of ").map_or(1, |count| count.parse().unwrap());
        last += records;
        assert_eq!(last, number.parse::<u64>().unwrap(), "{lines:?}");
    }
    assert_eq!(last, 801);
}
