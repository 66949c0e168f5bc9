//! The page's files, and the routes that exist for it. Tests of the page in a browser are in `tests/it/page/`.

use super::{Admin, builder, problem};
use crate::support::{Client, request};
use gce_metadata_server::{AdminOptions, NotReady, Server};
use serde_json::{Value, json};
use tokio::net::TcpStream;

async fn client(server: &Server) -> Client {
    let address = server.admin_address().unwrap().socket_addr().unwrap();
    Client::over(TcpStream::connect(address).await.unwrap(), &address.to_string()).await
}

#[tokio::test]
async fn the_files_need_no_token_and_the_data_does() {
    let server = Server::builder().admin(AdminOptions::loopback().token("made-up")).start().await.unwrap();
    let mut client = client(&server).await;
    for (path, content_type) in [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")] {
        let file = client.send(request("GET", path, &[]), "").await;
        assert_eq!(file.status, 200, "{path}");
        assert!(file.header("content-type").unwrap().starts_with(content_type), "{path}");
        let policy = file.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
        for (name, value) in
            [("x-content-type-options", "nosniff"), ("cache-control", "no-cache"), ("referrer-policy", "no-referrer")]
        {
            assert_eq!(file.header(name), Some(value), "{path}");
        }
        let again = client.send(request("GET", path, &[("if-none-match", file.etag())]), "").await;
        assert_eq!((again.status.as_u16(), again.body.as_str()), (304, ""), "{path}");
    }
    for path in ["/__admin/tree", "/__admin/status", "/__admin/events"] {
        problem(&client.send(request("GET", path, &[]), "").await, 401);
    }
    problem(&client.send(request("GET", "/", &[("host", "rebound.example.com")]), "").await, 403);
}

#[tokio::test]
async fn the_tree_has_paths_values_and_changes() {
    let server = builder().start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    let node = async |admin: &mut Admin, path: &str| {
        let tree = admin.get("tree").await.json();
        tree["nodes"].as_array().unwrap().iter().find(|node| node["path"] == path).cloned().unwrap_or_default()
    };
    let path = "instance/maintenance-event";
    assert_eq!(node(&mut admin, path).await, json!({"path": path, "kind": "value", "value": "NONE"}));
    admin.expect(204, "PUT", &format!("metadata/{path}"), "MIGRATE").await;
    let changed = json!({"path": path, "kind": "value", "value": "MIGRATE", "changed": true, "config": "NONE"});
    assert_eq!(node(&mut admin, path).await, changed);
    let token = node(&mut admin, "instance/service-accounts/default/token").await;
    assert_eq!(token["kind"], "computed");
    admin.expect(204, "DELETE", &format!("metadata/{path}"), Value::Null).await;
    // GCE's default is served in place of the removed value.
    let removed = node(&mut admin, path).await;
    assert_eq!((&removed["default"], &removed["config"]), (&true.into(), &"NONE".into()), "{removed}");
}

#[tokio::test]
async fn the_status_names_the_machine_the_variables_and_why_it_is_not_ready() {
    let server = builder().start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    let status = admin.get("status").await.json();
    assert_eq!((&status["project"], &status["instance"]), (&"sample-project".into(), &"vm-1".into()));
    assert_eq!((&status["ready"], &status["reasons"]), (&true.into(), &json!([])));
    for (name, value) in server.env() {
        assert_eq!(status["environment"][name], value);
    }
    assert_eq!(status["environment"]["GCE_METADATA_ADMIN"], server.admin_url().unwrap());
    server.readiness().set_not_ready(NotReady::Unavailable).await.unwrap();
    let status = admin.get("status").await.json();
    assert_eq!((&status["ready"], &status["reasons"]), (&false.into(), &json!(["the server is set not ready"])));
}
