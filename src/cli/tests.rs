//! Help texts as they read, and the API client against a small server.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use clap::CommandFactory as _;
use serde_json::{Value, json};

use super::*;

fn help(command: &mut clap::Command, path: &str, into: &mut String) {
    into.push_str(&format!("===== {path}\n{}\n", command.render_long_help()));
    let names: Vec<String> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    for name in names.iter().filter(|name| *name != "help") {
        let inner = command.find_subcommand_mut(name).expect("listed");
        help(inner, &format!("{path} {name}"), into);
    }
}

#[test]
fn help_reads_as_it_did() {
    let mut command = Cli::command();
    command.build();
    let mut text = String::new();
    help(&mut command, "wicketgate", &mut text);
    let text: String = text.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    insta::assert_snapshot!(text);
}

#[test]
fn the_commands_fit_together() {
    Cli::command().debug_assert();
}

#[test]
fn wrong_usage_is_two_and_help_is_none() {
    let code = |arguments: &[&str]| format!("{:?}", main(arguments.iter().map(OsString::from)));
    assert_eq!(code(&["wicketgate", "serve"]), format!("{:?}", ExitCode::from(2)));
    assert_eq!(code(&["wicketgate", "error", "retry", "nonsense"]), format!("{:?}", ExitCode::from(2)));
    assert_eq!(code(&["wicketgate", "config", "check", "--config", "/nowhere"]), format!("{:?}", ExitCode::FAILURE));
    assert_eq!(code(&["wicketgate", "--version"]), format!("{:?}", ExitCode::SUCCESS));
}

/// Keeps what was written.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("one writer").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts a server that answers as a node would, and gives its address.
fn node() -> String {
    async fn connections(request: HttpRequest) -> HttpResponse {
        let page = |items: Value, next: Value| HttpResponse::Ok().json(json!({ "items": items, "next": next }));
        if request.query_string().contains("cursor=one") {
            page(json!([{ "id": ID, "name": "second\u{1b}[31m", "status": "active" }]), Value::Null)
        } else {
            page(json!([{ "id": "1", "name": "first", "status": "pending" }]), json!("one"))
        }
    }
    async fn refusal() -> HttpResponse {
        HttpResponse::UnprocessableEntity().content_type("application/problem+json").json(json!({
            "type": "urn:wicketgate:problem:invalid", "title": "The request is not valid", "status": 422, "code": "invalid",
            "detail": "filter: no such field", "errors": [{ "field": "filter", "message": "no such field" }],
        }))
    }
    let server = HttpServer::new(|| {
        App::new()
            .route("/api/v1/connections", web::get().to(connections))
            .route("/api/v1/connections/{id}/triggers", web::post().to(refusal))
            .route("/api/v1/errors/{id}/retry", web::post().to(|| async { HttpResponse::NoContent().finish() }))
            .default_service(web::to(|| async { HttpResponse::Unauthorized().body("who are you?") }))
    })
    .workers(1)
    .disable_signals()
    .bind("127.0.0.1:0")
    .expect("a free port");
    let address = format!("http://{}", server.addrs()[0]);
    actix_web::rt::spawn(server.run());
    address
}

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

async fn told(arguments: &[&str]) -> (anyhow::Result<bool>, String) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = Cli::try_parse_from([&["wicketgate"], arguments].concat()).expect("parses");
    let kept = Kept::default();
    let outcome = run(cli.command, &mut Output::to(Box::new(kept.clone()))).await;
    let text = String::from_utf8(kept.0.lock().expect("one writer").clone()).expect("text");
    (outcome, text)
}

#[actix_web::test]
async fn lists_are_walked_and_shown_without_control_characters() {
    let node = node();
    let (outcome, text) = told(&["connection", "list", "--node", &node]).await;
    assert!(outcome.expect("listed"));
    assert!(text.starts_with("NAME"), "{text}");
    assert!(text.contains("first") && text.contains("second·[31m") && !text.contains('\u{1b}'), "{text}");
    let (_, text) = told(&["connection", "list", "--json", "--node", &node]).await;
    let printed: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((printed["items"].as_array().map(Vec::len), &printed["next"]), (Some(2), &Value::Null), "as the API's lists");
}

#[actix_web::test]
async fn refusals_are_told_with_their_fields() {
    let node = node();
    let (outcome, _) = told(&["trigger", "add", ID, "--type", "Case", "--filter", "x", "--node", &node]).await;
    let refused = outcome.expect_err("refused").to_string();
    assert_eq!(refused, "The request is not valid (422)\n  filter: no such field");
    let (outcome, _) = told(&["status", "--node", &node]).await;
    assert!(outcome.expect_err("refused").to_string().contains("WICKETGATE_TOKEN"));
    let (outcome, _) = told(&["trigger", "list", "nobody", "--node", &node]).await;
    assert!(outcome.expect_err("unknown").to_string().contains("no connection `nobody`"));
    let (outcome, _) = told(&["status", "--node", "http://127.0.0.1:9"]).await;
    assert!(outcome.expect_err("nobody there").to_string().contains("Is the node running?"));
}

#[actix_web::test]
async fn errors_are_retried_by_id() {
    let (outcome, text) = told(&["error", "retry", ID, "--node", &node()]).await;
    assert!(outcome.expect("retried"));
    assert_eq!(text, "retry: 1 done, 0 failed\n");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let closed = io::Error::from(io::ErrorKind::BrokenPipe);
    assert_eq!(format!("{:?}", exit(Err(closed.into()))), format!("{:?}", ExitCode::SUCCESS));
}
