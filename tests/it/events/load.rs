//! Many connections while a client of the events does not read.

use super::EventStream;
use crate::support::program::Program;
use crate::support::{Client, repository};
use futures_util::future::join_all;
use tokio::net::{TcpSocket, TcpStream};

const CONNECTIONS: usize = 64;
/// The requests of each connection in one round. The events of a round are larger than all socket buffers.
const REQUESTS: usize = 100;
const ROUNDS: usize = 4;
/// The entries of the journal.
const ENTRIES: usize = 200;
/// A round has 6400 events of 1.2 kB. If the server kept them, it would grow by more than this in three rounds.
const MAX_GROWTH_KIB: u64 = 6 * 1024;

/// Sends requests on all connections; each must be answered with the value.
async fn round(clients: &mut [Client], number: usize) {
    join_all(clients.iter_mut().enumerate().map(|(client, connection)| async move {
        for request in 0..REQUESTS {
            let answer = connection.get(&format!("instance/id?round={number}&client={client}&request={request}")).await;
            assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "5775171277418378001"));
        }
    }))
    .await;
}

/// The resident memory of the program.
fn resident_kib(program: &Program) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn a_client_that_does_not_read_events_loses_events_and_costs_no_answer_and_no_memory() {
    let mut program = Program::start(|command| {
        command.args(["--admin", "0", "--journal-entries", &ENTRIES.to_string()]);
        command.arg("--config-file").arg(repository("config.json"));
    });
    let host = program.wait_for("export GCE_METADATA_HOST=");
    let admin = program.wait_for("export GCE_METADATA_ADMIN=http://");
    // A small buffer, so that the server's writes block soon.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(admin.parse().unwrap()).await.unwrap();
    let (status, mut events) = EventStream::over(stream, "", &[]).await;
    assert_eq!(status, 200);

    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::over(TcpStream::connect(&host).await.unwrap(), &host).await);
    }
    round(&mut clients, 0).await;
    let before = resident_kib(&program);
    for number in 1..ROUNDS {
        round(&mut clients, number).await;
    }
    let grown = resident_kib(&program).saturating_sub(before);
    assert!(grown < MAX_GROWTH_KIB, "grown by {grown} KiB");

    // The client reads on. It has each event once, or knows that it lost the event.
    let (mut last, mut received, mut lost) = (0, 0, 0);
    let total = CONNECTIONS * REQUESTS * ROUNDS;
    while last < total as u64 {
        let event = events.next().await.unwrap();
        match event.kind.as_str() {
            "gap" => lost += event.data["count"].as_u64().unwrap(),
            _ => received += 1,
        }
        assert_eq!(event.id, received + lost, "{event:?}");
        last = event.id;
    }
    assert!(lost > 0 && received >= ENTRIES as u64, "{received} received, {lost} lost");
    program.stop();
}
