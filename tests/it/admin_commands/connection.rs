//! How the commands find the admin API: URL, Unix socket, token, and errors.

use super::{builder, error, ok, program, without_server};
use gce_metadata_server::{AdminOptions, Server};
use std::net::TcpListener;

const GET: [&str; 2] = ["get", "instance/preempted"];

#[tokio::test]
async fn the_option_overrides_the_variable() {
    let server = builder().start().await.unwrap();
    let url = server.admin_url().unwrap();
    let mut command = without_server(&GET);
    command.args(["--admin-url", &url]).env("GCE_METADATA_ADMIN", "http://127.0.0.1:1");
    assert_eq!(ok(command), "FALSE\n");
}

#[test]
fn a_missing_or_wrong_url_is_a_usage_error_with_the_remedy() {
    for args in [&GET[..], &["reset"], &["token", "status"]] {
        let missing = error(without_server(args), 2);
        for remedy in ["--admin 0", "GCE_METADATA_ADMIN", "exec", "--admin-url"] {
            assert!(missing.contains(remedy), "{missing}");
        }
    }
    let mut wrong = without_server(&GET);
    wrong.env("GCE_METADATA_ADMIN", "127.0.0.1:9001");
    let expected = "environment variable GCE_METADATA_ADMIN: `127.0.0.1:9001`: the URL of an admin API is http://HOST:PORT or unix:PATH";
    assert_eq!(error(wrong, 2), expected);
    let mut wrong = without_server(&GET);
    wrong.args(["--admin-url", "https://127.0.0.1:1"]);
    assert!(error(wrong, 2).contains("http://HOST:PORT or unix:PATH"));
    assert!(error(without_server(&["get", "--prot"]), 2).contains("--prot"));
}

#[test]
fn a_server_that_does_not_answer_is_an_error() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = without_server(&GET);
    command.args(["--admin-url", &format!("http://{address}")]);
    let refused = error(command, 1);
    assert!(refused.starts_with(&format!("the admin API does not answer: {address}: can't connect: ")), "{refused}");
    let mut command = without_server(&GET);
    command.args(["--admin-url", "unix:/no/such/socket"]);
    let missing = error(command, 1);
    assert!(missing.starts_with("the admin API does not answer: unix:/no/such/socket: can't connect: "), "{missing}");
}

#[tokio::test]
async fn the_address_of_the_metadata_is_not_that_of_the_admin_api() {
    let server = builder().start().await.unwrap();
    for args in [&GET[..], &["set", "instance/preempted", "TRUE"], &["reset"], &["unset", "instance/id"]] {
        let mut command = without_server(args);
        command.args(["--admin-url", &server.url().unwrap()]);
        let other = error(command, 1);
        assert!(other.contains("this is not an admin API") && other.contains("--admin"), "{other}");
    }
}

#[tokio::test]
async fn a_unix_socket_is_named_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let server = Server::builder().admin(AdminOptions::unix_socket(&socket)).start().await.unwrap();
    assert_eq!(server.admin_url().unwrap(), format!("unix:{}", socket.display()));
    ok(program(&server, &["set", "instance/preempted", "TRUE"]));
    assert_eq!(ok(program(&server, &GET)), "TRUE\n");
}

#[tokio::test]
async fn the_token_comes_from_a_file_or_the_environment_and_is_not_printed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "made-up-admin-token\n").unwrap();
    let options = AdminOptions::loopback().token("made-up-admin-token");
    let server = Server::builder().admin(options).start().await.unwrap();

    let mut from_file = program(&server, &GET);
    from_file.args(["--admin-token-file", file.to_str().unwrap()]).env("GCE_METADATA_ADMIN_TOKEN", "other");
    assert_eq!(ok(from_file), "FALSE\n");
    let with_token = |token: &str| {
        let mut command = program(&server, &GET);
        command.env("GCE_METADATA_ADMIN_TOKEN", token);
        command
    };
    assert_eq!(ok(with_token("made-up-admin-token")), "FALSE\n");

    for wrong in ["", "another-made-up-token", "made-up\ntoken"] {
        let refused = error(with_token(wrong), 1);
        assert!(!refused.contains("made-up"), "{refused}");
    }
    let refused = error(program(&server, &GET), 1);
    assert!(refused.contains("--admin-token-file or GCE_METADATA_ADMIN_TOKEN"), "{refused}");
    let mut missing = program(&server, &GET);
    missing.args(["--admin-token-file", "/no/such/file"]);
    assert!(error(missing, 1).starts_with("--admin-token-file /no/such/file: No such file"));
}
