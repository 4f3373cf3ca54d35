//! Who may open which page, and that no form passes that a page of ours did not send.

use serde_json::json;

use super::visitor::{PASSWORD, Visitor};
use crate::support::{Settings, World};

const ROLES: [&str; 4] = ["read", "operate", "configure", "admin"];
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// Every page and form of the console, read from its sources, so that none is forgotten here: method and path.
fn routes() -> Vec<(String, String)> {
    fn walk(folder: &std::path::Path, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).expect("text");
                for (begin, leads) in [("resource(\"/", false), ("form(\"/", true)] {
                    for part in text.split(begin).skip(1) {
                        let (path, rest) = part.split_once('"').expect("a literal");
                        let rest = rest.split(".service(").next().expect("a part").split(';').next().expect("a part");
                        for method in ["get", "post"] {
                            // Whoever gets the address of a form is led to its page.
                            if rest.contains(&format!("{method}()")) || (leads && method == "get") {
                                found.push((method.to_owned(), format!("/{path}")));
                            }
                        }
                    }
                }
            }
        }
    }
    let mut found = Vec::new();
    walk(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/server/console"), &mut found);
    assert!(found.len() > 80, "the routes were found: {found:?}");
    found
}

/// Open to everybody.
const OPEN: [&str; 3] = ["/sign-in", "/setup", "/assets/{hash}/{name}"];

fn filled(path: &str) -> String {
    path.replace("{version}", "1")
        .replace("{name}", "nobody")
        .replace("{id}", NOBODY)
        .replace("{trigger}", NOBODY)
        .replace("{session}", "none")
        .replace("{user}", NOBODY)
        .replace("{token}", NOBODY)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_a_page_and_no_forged_form_passes() {
    let world = World::with(Settings { joined: false, ..Settings::default() }).await;
    let nobody = Visitor::nobody(&world.public);
    let admin = Visitor::with_role(&world.public, "admin").await;
    for (method, path) in routes() {
        if OPEN.contains(&path.as_str()) {
            continue;
        }
        let at = filled(&path);
        if method == "get" {
            let page = nobody.get(&at).await;
            assert_eq!(page.status, 303, "{path}");
            assert!(page.location.starts_with("/sign-in?next=%2F"), "{path}: {}", page.location);
            continue;
        }
        let ours = ("sec-fetch-site", "same-origin");
        assert_eq!(nobody.forge(&at, &[ours], &[]).await.status, 303, "{path} without a session");
        let token = ("_token", admin.token.as_str());
        for (what, headers, fields) in [
            ("without a token", vec![ours], vec![]),
            ("from elsewhere", vec![("sec-fetch-site", "cross-site")], vec![token]),
            ("from a neighbour", vec![("sec-fetch-site", "same-site")], vec![token]),
            ("from a foreign page of an old browser", vec![("origin", "https://evil.example")], vec![token]),
            ("that does not say from where", vec![], vec![token]),
        ] {
            let page = admin.forge(&at, &headers, &fields).await;
            assert_eq!(page.status, 403, "{path} {what}: {}", page.html);
        }
        // One of another session of the same browser: nothing is done, and the page is shown anew.
        let page = admin.forge(&at, &[ours], &[("_token", "A234567890123456789012345678901234567890123")]).await;
        assert!(page.status == 303 && page.location.ends_with("#anew"), "{path}: {} {}", page.status, page.location);
    }
    // Nobody makes the node read much before it knows them.
    let big = "a&".repeat(10_000);
    assert_eq!(nobody.forge("/sign-in", &[("sec-fetch-site", "same-origin")], &[("name", &big)]).await.status, 413);
    // The sign-in itself has no session yet; a foreign page cannot sign somebody in, either.
    let fields = [("name", "admin person"), ("password", PASSWORD)];
    assert_eq!(nobody.forge("/sign-in", &[("sec-fetch-site", "cross-site")], &fields).await.status, 403);
    world.stop().await;
}

/// The lowest role that a form wants.
fn lowest(path: &str) -> usize {
    let operate = [
        "/twins/sync",
        "/sync",
        "/stop",
        "/link",
        "/many",
        "/act",
        "/activate",
        "/deactivate",
        "/run",
        "/triggers/count",
        "/rules/preview",
        "/rules/reapply",
        "/reconcile",
    ];
    match path {
        "/sign-out" | "/invitation-file" | "/settings/password" | "/settings/sessions/{session}" | "/settings/sessions" => 0,
        path if path.starts_with("/settings/") || path.ends_with("/rotate-token") || path.ends_with("/sign-in") => 3,
        path if path.starts_with("/trackers/") => 1,
        path if operate.iter().any(|end| path.ends_with(end)) => 1,
        _ => 2,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_may_what_its_scope_may() {
    let world = World::start().await;
    let case = world.new_case(json!({"Subject": "Seen"}));
    world.issue_with("Seen").await;
    let id = world.connection.clone();
    let twin = world.public.twin_of(&case).await.expect("a twin")["id"].as_str().expect("an id").to_owned();
    let body = json!({"name": "somebody", "role": "read", "password": PASSWORD});
    let user = world.public.post("/users", body).await["id"].as_str().expect("an id").to_owned();
    let body = json!({"name": "something", "scopes": ["read"], "connections": null, "expires_at": null});
    let token = world.public.post("/tokens", body).await["id"].as_str().expect("an id").to_owned();
    for (role, rank) in ROLES.into_iter().zip(0..) {
        let person = Visitor::with_role(&world.public, role).await;
        for (method, path) in routes() {
            if OPEN.contains(&path.as_str()) || matches!(path.as_str(), "/live" | "/sign-out") {
                continue;
            }
            if method == "get" {
                let at = path.replace("{name}", "support");
                let at = if at.starts_with("/twins/") { at.replace("{id}", &twin) } else { at.replace("{id}", &id) };
                let at = at.replace("{user}", &user).replace("{token}", &token);
                let mut at = at.replace("{version}", "0");
                let mut page = person.get(&at).await;
                // The address of a form leads to its page.
                if page.status == 303 {
                    at.clone_from(&page.location);
                    page = person.get(&at).await;
                }
                let missing = page.status == 404
                    && (path.contains("{trigger}") || path.starts_with("/errors/") || path.starts_with("/jobs/"));
                if rank < 3 && at.starts_with("/settings/") {
                    assert_eq!(page.status, 403, "{role} at {path}: {}", page.html);
                    continue;
                }
                // A page that is nothing but a form is for those who may send it.
                let form_alone = ["/new", "/accept", "/delete", "/link", "/stop"].iter().any(|end| at.ends_with(end));
                if form_alone && rank < lowest(&path) {
                    assert_eq!(page.status, 403, "{role} at {path}: {}", page.html);
                    continue;
                }
                assert!(page.status == 200 || missing, "{role} at {path}: {} {}", page.status, page.html);
                continue;
            }
            // What is meant is not there, so nothing is done; whoever may not is told first.
            let page = person.post(&filled(&path), &[]).await;
            assert_eq!(page.status == 403, rank < lowest(&path), "{role} at {path}: {} {}", page.status, page.html);
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_hold_no_script_and_no_style_of_their_own() {
    let world = World::start().await;
    let admin = Visitor::with_role(&world.public, "admin").await;
    let id = world.connection.clone();
    for path in [
        "/sign-in".to_owned(),
        "/setup".to_owned(),
        "/".to_owned(),
        "/?span=week".to_owned(),
        "/trackers".to_owned(),
        "/trackers/support".to_owned(),
        "/connections".to_owned(),
        "/connections/new".to_owned(),
        "/connections/accept".to_owned(),
        format!("/connections/{id}"),
        format!("/connections/{id}/rules"),
        format!("/connections/{id}/triggers"),
        format!("/connections/{id}/delete"),
        "/twins".to_owned(),
        "/errors".to_owned(),
        "/queue".to_owned(),
        "/jobs".to_owned(),
        "/triggers".to_owned(),
        "/settings".to_owned(),
        "/settings/users".to_owned(),
        "/settings/tokens".to_owned(),
        "/settings/audit".to_owned(),
        format!("/connections/{NOBODY}"),
    ] {
        let page = admin.get(&path).await;
        assert!(page.policy.starts_with("default-src 'none'") && !page.policy.contains("unsafe"), "{path}: {}", page.policy);
        let html = page.html.to_lowercase();
        assert_eq!(html.matches("<script").count(), html.matches("<script type=\"module\" src=\"/assets/").count(), "{path}");
        for forbidden in [" style=", "<style", "javascript:", " onclick=", " onload=", " onsubmit="] {
            assert!(!html.contains(forbidden), "{path} holds {forbidden}");
        }
    }
    let style = admin.get("/connections").await.html;
    let asset = style
        .split("href=\"")
        .find(|part| part.contains("console.css"))
        .and_then(|part| part.split('"').next())
        .expect("a path")
        .to_owned();
    let answer = admin.request(reqwest::Method::GET, &asset).send().await.expect("an answer");
    assert_eq!(answer.headers()["cache-control"], "public, max-age=31536000, immutable");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ended_leads_back_to_where_it_was() {
    let world = World::with(Settings { joined: false, ..Settings::default() }).await;
    let mut person = Visitor::with_role(&world.public, "operate").await;
    let page = person.post("/sign-out", &[]).await;
    assert_eq!((page.status, page.location.as_str()), (303, "/sign-in"));
    let page = person.get("/twins?key=5005i000000010AAAQ").await;
    assert_eq!((page.status, page.location.as_str()), (303, "/sign-in?next=%2Ftwins%3Fkey%3D5005i000000010AAAQ"));
    // Only within this console.
    for next in ["https://evil.example/", "//evil.example", "/\\evil.example", "evil"] {
        let fields = [("name", "operate person"), ("password", PASSWORD), ("next", next)];
        let page = person.forge("/sign-in", &[("sec-fetch-site", "same-origin")], &fields).await;
        assert_eq!((page.status, page.location.as_str()), (303, "/"), "{next}");
    }
    let page = person.sign_in("operate person", "wrong").await;
    assert!(matches!(page.status, 401 | 422) && page.says("value=\"operate person\""), "what was typed stays: {}", page.html);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_refused_in_words_for_people() {
    let world = World::with(Settings { joined: false, ..Settings::default() }).await;
    let person = Visitor::with_role(&world.public, "read").await;
    let page = person.get("/connections/new").await;
    assert!(page.status == 403 && page.says("You may not do this") && page.says("the role"), "{}", page.html);
    let page = person.get(&format!("/connections/{NOBODY}")).await;
    assert!(page.status == 404 && page.says("There is no such connection, or you may not see it."), "{}", page.html);
    assert!(!page.says("token may"), "{}", page.html);
    // Addresses that lead nowhere, and parts of one that cannot be meant: a page for browsers only.
    for path in ["/nowhere", "/connections/nonsense", "/settings/users/nonsense/"] {
        let page = person.go_to(path).await;
        assert!(page.status == 404 && page.says("<h1>There is nothing here</h1>"), "{path}: {}", page.html);
        assert!(page.policy.contains("script-src 'self'"), "{path}: {}", page.policy);
        assert!(person.get(path).await.says("\"code\":\"not_found\""), "{path} for programs");
    }
    for path in ["/api/v1/nowhere", "/link/nowhere", "/hooks/nowhere"] {
        let page = person.go_to(path).await;
        assert!(page.status >= 400 && !page.says("<html"), "{path}: {}", page.html);
    }
    world.stop().await;
}
