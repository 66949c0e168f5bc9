//! Many connections while the journal is read.

use super::start;
use crate::support::Client;
use std::sync::atomic::{AtomicBool, Ordering};

const CONNECTIONS: usize = 64;
const REQUESTS: usize = 50;

#[tokio::test]
async fn no_answer_is_lost_under_a_load_of_64_connections() {
    let (server, mut admin) = start().await;
    let ended = AtomicBool::new(false);
    let expected = Client::connect(&server).await.get("instance/id").await.body;
    let load = async {
        let clients = (0..CONNECTIONS).map(|number| {
            let (server, expected) = (&server, &expected);
            async move {
                let mut client = Client::connect(server).await;
                for request in 0..REQUESTS {
                    let answer = client.get(&format!("instance/id?client={number}&request={request}")).await;
                    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, expected.as_str()));
                }
            }
        });
        futures_util::future::join_all(clients).await;
        ended.store(true, Ordering::SeqCst);
    };
    let reading = async {
        while !ended.load(Ordering::SeqCst) {
            assert_eq!(admin.get("requests?limit=10").await.status, 200);
        }
    };
    tokio::join!(load, reading);
    let listed = admin.get("requests").await.json();
    let mut urls: Vec<_> =
        listed["requests"].as_array().unwrap().iter().map(|it| it["request"]["url"].to_string()).collect();
    urls.sort_unstable();
    urls.dedup();
    assert_eq!(urls.len(), 1000, "the journal has the last requests, each once");
}
