//! The option of the program.

use crate::support::program::Program;
use crate::support::{Client, get_at, request};
use tokio::net::TcpStream;

#[tokio::test]
async fn the_option_sets_the_number_of_entries() {
    for (entries, expected) in [("2", 2), ("0", 0)] {
        let mut server = Program::start(|command| _ = command.args(["--admin", "0", "--journal-entries", entries]));
        let host = server.wait_for("export GCE_METADATA_HOST=");
        let admin = server.wait_for("export GCE_METADATA_ADMIN=http://");
        for _ in 0..3 {
            get_at(&host, "instance/id").await;
        }
        let mut client = Client::over(TcpStream::connect(&admin).await.unwrap(), &admin).await;
        let listed = client.send(request("GET", "/__admin/requests", &[]), "").await.json();
        assert_eq!(listed["requests"].as_array().unwrap().len(), expected);
        server.stop();
    }
}
