//! Settings by pages: accounts, one's own password and sessions, tokens, the audit log.

use serde_json::{Value, json};
use wicketgate::config::Role;

use super::visitor::{PASSWORD, Page, Visitor};
use crate::support::{Settings, TestNode, World, clock::MovableClock};

const NEW: &str = "battery staple horse";

async fn world() -> World {
    World::with(Settings { joined: false, ..Settings::default() }).await
}

async fn id_of(node: &TestNode, name: &str) -> String {
    let all = node.get("/users").await;
    let known = all["items"].as_array().expect("a list").iter().find(|one| one["name"] == name).expect("the account");
    known["id"].as_str().expect("an id").to_owned()
}

async fn sessions(node: &TestNode, name: &str) -> usize {
    let path = format!("/users/{}/sessions", id_of(node, name).await);
    node.get(&path).await["items"].as_array().map(Vec::len).expect("a list")
}

/// Somebody who signed in with another browser.
async fn beside(node: &TestNode, name: &str) -> Visitor {
    let mut visitor = Visitor::nobody(node);
    assert_eq!(visitor.sign_in(name, PASSWORD).await.status, 303);
    visitor
}

/// The text of the element with this id.
fn shown(page: &Page, id: &str) -> String {
    let after = page.html.split(&format!("id=\"{id}\"")).nth(1).and_then(|rest| rest.split_once('>')).expect("the element").1;
    after.split('<').next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_account_signs_in_with_its_role() {
    let world = world().await;
    let admin = Visitor::with_role(&world.public, "admin").await;
    let typed = [("name", "Grace"), ("role", "operate"), ("password", PASSWORD)];
    let page = admin.post("/settings/users", &[&typed[..], &[("again", "something else")]].concat()).await;
    assert!(page.status == 422 && page.says("again-wrong") && page.says("value=\"Grace\""), "{}", page.html);
    assert!(page.says("value=\"operate\" required checked") && !page.says(PASSWORD), "{}", page.html);
    let made = admin.post("/settings/users", &[&typed[..], &[("again", PASSWORD)]].concat()).await;
    assert!(made.status == 303 && made.location.starts_with("/settings/users/"), "{}", made.html);
    assert!(admin.get("/settings/users").await.says(">Grace<"));

    let grace = beside(&world.public, "grace").await;
    let own = grace.get("/settings").await;
    assert!(own.says("Your role is operate.") && own.says(">this one<") && own.says("Copy fingerprint"), "{}", own.html);
    let fingerprint = world.public.get("/status").await["key_fingerprint"].as_str().expect("text").to_owned();
    assert_eq!(shown(&own, "fingerprint"), fingerprint);
    assert!(!own.says("/settings/users") && !own.says("/settings/audit"), "no way to what the role may not see: {}", own.html);
    assert_eq!(grace.get("/settings/users").await.status, 403);

    let taken = [("name", "GRACE"), ("role", "read"), ("password", PASSWORD), ("again", PASSWORD)];
    let page = admin.post("/settings/users", &taken).await;
    assert!(page.status == 409 && page.says("name-wrong") && page.says("value=\"GRACE\""), "{}", page.html);
    for (role, password, field) in [("root", PASSWORD, "role"), ("", PASSWORD, "role"), ("read", "short", "password")] {
        let typed = [("name", "Bob"), ("role", role), ("password", password), ("again", password)];
        let page = admin.post("/settings/users", &typed).await;
        assert!(page.status == 422 && page.says(&format!("{field}-wrong")) && page.says("value=\"Bob\""), "{}", page.html);
        assert!(!page.says(&format!("value=\"{password}\"")) || password.is_empty(), "{}", page.html);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_ends_the_other_sessions() {
    let world = world().await;
    let here = Visitor::with_role(&world.public, "read").await;
    let elsewhere = beside(&world.public, "read person").await;
    for (old, new, again, field) in [
        ("wrong horse battery", NEW, NEW, "old_password"),
        ("", NEW, NEW, "old_password"),
        (PASSWORD, "short", "short", "password"),
        (PASSWORD, NEW, PASSWORD, "again"),
    ] {
        let page = here.post("/settings/password", &[("old_password", old), ("password", new), ("again", again)]).await;
        assert!(page.status == 422 && page.says(&format!("{field}-wrong")), "{field}: {}", page.html);
        assert!(!page.says(NEW) && !page.says(PASSWORD), "{field}: {}", page.html);
    }
    assert_eq!(elsewhere.get("/settings").await.status, 200, "nothing happened yet");
    let done = here.post("/settings/password", &[("old_password", PASSWORD), ("password", NEW), ("again", NEW)]).await;
    assert_eq!((done.status, done.location.as_str()), (303, "/settings?done=password"), "{}", done.html);
    assert!(here.get(&done.location).await.says("The password is changed."), "the session in which it was done goes on");
    assert_eq!(elsewhere.get("/settings").await.status, 303);
    let mut again = Visitor::nobody(&world.public);
    assert_ne!(again.sign_in("read person", PASSWORD).await.status, 303);
    assert_eq!(again.sign_in("read person", NEW).await.status, 303);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_ended_one_by_one_and_all_others_at_once() {
    let world = world().await;
    let here = Visitor::with_role(&world.public, "read").await;
    let name = "read person";
    let (first, second, third) =
        (beside(&world.public, name).await, beside(&world.public, name).await, beside(&world.public, name).await);
    let page = here.get("/settings").await;
    assert_eq!(
        (page.html.matches(">this one<").count(), page.html.matches("/settings/sessions/").count()),
        (1, 3),
        "{}",
        page.html
    );
    let one = page.html.split("action=\"/settings/sessions/").nth(1).and_then(|rest| rest.split('"').next()).expect("an id");
    let one = format!("/settings/sessions/{one}");
    let ended = here.post(&one, &[]).await;
    assert_eq!((ended.status, ended.location.as_str()), (303, "/settings?done=sessions"));
    assert_eq!(here.post(&one, &[]).await.status, 404, "it is over");
    assert_eq!(sessions(&world.public, name).await, 3);
    here.post("/settings/sessions", &[]).await;
    for other in [&first, &second, &third] {
        assert_eq!(other.get("/settings").await.status, 303);
    }
    assert!(!here.get("/settings").await.says("End all others"), "there is none");
    // Another's session is not one's own, whoever knows its id.
    let path = format!("/users/{}/sessions", id_of(&world.public, name).await);
    let session = world.public.get(&path).await["items"][0]["id"].as_str().expect("an id").to_owned();
    let other = Visitor::with_role(&world.public, "operate").await;
    assert_eq!(other.post(&format!("/settings/sessions/{session}"), &[]).await.status, 404);
    assert_eq!(here.get("/settings").await.status, 200);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_changes_signs_out_and_deletes_an_account() {
    let world = world().await;
    let admin = Visitor::with_role(&world.public, "admin").await;
    let person = Visitor::with_role(&world.public, "read").await;
    let at = format!("/settings/users/{}", id_of(&world.public, "read person").await);
    let page = admin.get(&at).await;
    assert!(page.says("value=\"read\" required checked") && page.says("End all sessions"), "{}", page.html);
    let page = admin.post(&at, &[("name", "admin PERSON"), ("role", "configure")]).await;
    assert!(page.status == 409 && page.says("name-wrong") && page.says("value=\"admin PERSON\""), "{}", page.html);
    assert!(page.says("value=\"configure\" required checked") && page.says("<h1>read person</h1>"), "{}", page.html);
    let page = admin.post(&at, &[("name", "Reader"), ("role", "operate")]).await;
    assert_eq!(page.location, format!("{at}?done=saved"), "{}", page.html);
    assert!(person.get("/settings").await.says("Your role is operate."), "at once");

    let wrong = admin.post(&format!("{at}/password"), &[("password", NEW), ("again", PASSWORD)]).await;
    assert!(wrong.status == 422 && wrong.says("again-wrong") && !wrong.says(NEW), "{}", wrong.html);
    let wrong = admin.post(&format!("{at}/password"), &[("password", "short"), ("again", "short")]).await;
    assert!(wrong.status == 422 && wrong.says("password-wrong"), "{}", wrong.html);
    admin.post(&format!("{at}/password"), &[("password", NEW), ("again", NEW)]).await;
    assert_eq!(person.get("/settings").await.status, 303, "signed out");
    let mut person = Visitor::nobody(&world.public);
    assert_eq!(person.sign_in("reader", NEW).await.status, 303);
    admin.post(&format!("{at}/sessions"), &[]).await;
    assert_eq!(person.get("/settings").await.status, 303, "signed out again");

    // One's own password wants the present one, which this page does not ask for.
    let own = format!("/settings/users/{}", id_of(&world.public, "admin person").await);
    assert!(admin.get(&own).await.says("This is your own account"));
    assert_eq!(admin.post(&format!("{own}/password"), &[("password", NEW), ("again", NEW)]).await.status, 422);

    person.sign_in("reader", NEW).await;
    assert!(admin.get(&format!("{at}/delete")).await.says("signed out everywhere at once"));
    assert_eq!(admin.post(&format!("{at}/delete"), &[]).await.location, "/settings/users");
    assert_eq!(person.get("/settings").await.status, 303);
    assert_eq!(admin.get(&at).await.status, 404);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_admin_is_told_why_it_stays() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut node = TestNode::new("alone", dir.path(), Role::Private, std::sync::Arc::new(MovableClock::default()), "");
    node.start().await;
    let mut admin = Visitor::with_role(&node, "admin").await;
    let at = format!("/settings/users/{}", id_of(&node, "admin person").await);
    node.stop().await;
    node.config = node.config.replace("admin_token", "# admin_token");
    node.start().await;
    admin.base.clone_from(&node.url);
    let why = "This is the last account with the role `admin`";
    let page = admin.post(&at, &[("name", "admin person"), ("role", "read")]).await;
    assert!(page.status == 409 && page.says(why) && page.says("value=\"read\" required checked"), "{}", page.html);
    let page = admin.post(&format!("{at}/delete"), &[]).await;
    assert!(page.status == 409 && page.says(why), "{}", page.html);
    // With another, it may step down; then the page is no more for it.
    let other = [("name", "Grace"), ("role", "admin"), ("password", PASSWORD), ("again", PASSWORD)];
    admin.post("/settings/users", &other).await;
    let page = admin.post(&at, &[("name", "admin person"), ("role", "read")]).await;
    assert_eq!((page.status, page.location.as_str()), (303, "/settings?done=saved"), "{}", page.html);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_made_by_a_page_works_and_is_shown_once() {
    let world = World::start().await;
    let admin = Visitor::with_role(&world.public, "admin").await;
    let page = admin.get("/settings/tokens").await;
    let (key, id) = (page.hidden("key"), world.connection.as_str());
    let typed = [("key", key.as_str()), ("name", "nightly report"), ("scopes", "read"), ("reach", "some"), ("days", "30")];
    let unnamed = [("key", "another"), ("scopes", "operate"), ("reach", "all"), ("days", "90")];
    for (fields, field) in [
        (unnamed.to_vec(), "name"),
        ([&unnamed[..], &[("name", "x"), ("connections", id)]].concat(), "connections"),
        (typed.to_vec(), "connections"),
        ([&unnamed[..1], &[("name", "x"), ("scopes", "root"), ("reach", "all"), ("days", "never")]].concat(), "scopes"),
        (vec![("name", "x"), ("scopes", "read"), ("reach", "all")], "days"),
        ([&unnamed[..], &[("name", "x"), ("from", "2020-01-01T00:00:00Z")]].concat(), "days"),
    ] {
        let page = admin.post("/settings/tokens", &fields).await;
        assert!(page.status == 422 && page.says(&format!("{field}-wrong")), "{field}: {}", page.html);
        let name = fields.iter().find(|(name, _)| *name == "name").map_or("", |(_, value)| *value);
        assert!(page.says(&format!("name=\"name\" value=\"{name}\"")), "what was typed stays: {}", page.html);
    }
    let tokens = async || world.public.get("/tokens").await["items"].as_array().expect("a list").clone();
    let before = tokens().await.len();
    let page = admin.get("/settings/tokens").await;
    let (key, from) = (page.hidden("key"), page.hidden("from"));
    let whole = [&[("key", key.as_str()), ("from", &from)], &typed[1..], &[("connections", id)]].concat();
    let made = admin.post("/settings/tokens", &whole).await;
    assert!(made.status == 200 && made.says("data-address=\"/settings/tokens\"") && made.says("Copy secret"), "{}", made.html);
    let secret = shown(&made, "secret");
    let again = admin.post("/settings/tokens", &whole).await;
    assert_eq!((again.status, again.location.as_str()), (303, "/settings/tokens"), "a reload makes no second");
    let all = tokens().await;
    let token = all.iter().find(|one| one["name"] == "nightly report").expect("it is there");
    assert_eq!((all.len(), &token["scopes"], &token["connections"]), (before + 1, &json!(["read"]), &json!([id])));
    assert!(token["expires_at"].is_string(), "{token}");
    assert_eq!(world.public.call_as(&secret, "GET", &format!("/connections/{id}"), None).await.status, 200);
    let sync = format!("/connections/{id}/deactivate");
    assert_eq!(world.public.call_as(&secret, "POST", &sync, Some(json!({}))).await.status, 403);
    let list = admin.get("/settings/tokens").await;
    assert!(list.says("nightly report") && !list.says(&secret), "{}", list.html);
    assert!(!admin.get("/settings/audit").await.says(&secret));

    let delete = format!("/settings/tokens/{}/delete", token["id"].as_str().expect("an id"));
    assert!(admin.get(&delete).await.says("is refused from now on"));
    assert_eq!(admin.post(&delete, &[]).await.location, "/settings/tokens");
    assert_eq!(world.public.call_as(&secret, "GET", "/connections", None).await.status, 401);
    assert_eq!(admin.get(&delete).await.status, 404);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_is_read_part_by_part() {
    let world = world().await;
    let admin = Visitor::with_role(&world.public, "admin").await;
    for number in 0..60 {
        world.public.post("/tokens", json!({"name": format!("number {number}."), "scopes": ["read"]})).await;
    }
    let newest = admin.get("/settings/audit").await;
    assert!(newest.says("number 59.") && !newest.says("number 5.") && newest.says("data-live"), "{}", newest.html);
    let older = newest.html.split("href=\"/settings/audit?").nth(1).and_then(|rest| rest.split('"').next()).expect("a way on");
    let older = admin.get(&format!("/settings/audit?{older}")).await;
    assert!(older.says("number 5.") && !older.says("number 59.") && older.says(">Newest<"), "{}", older.html);
    assert!(older.says("user.sign_in") && older.says("admin person"), "{}", older.html);
    assert_eq!(admin.get("/settings/audit?cursor=%26limit%3D1").await.status, 422);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_wrote_is_text() {
    const EVIL: &str = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'>";
    let world = world().await;
    let admin = Visitor::with_role(&world.public, "admin").await;
    let body = json!({"name": EVIL, "role": "read", "password": PASSWORD});
    let user = world.public.post("/users", body).await["id"].as_str().expect("an id").to_owned();
    let token: Value = world.public.post("/tokens", json!({"name": EVIL, "scopes": ["read"]})).await;
    let token = token["id"].as_str().expect("an id");
    let visitor = Visitor::nobody(&world.public);
    let signed_in = visitor
        .request(reqwest::Method::POST, "/sign-in")
        .header("sec-fetch-site", "same-origin")
        .header("user-agent", EVIL)
        .form(&[("name", EVIL), ("password", PASSWORD), ("next", "/")])
        .send()
        .await
        .expect("an answer");
    let mut visitor = visitor;
    visitor.keep(&signed_in);
    for (who, path) in [
        (&visitor, "/settings".to_owned()),
        (&admin, "/settings/users".to_owned()),
        (&admin, format!("/settings/users/{user}")),
        (&admin, format!("/settings/users/{user}/delete")),
        (&admin, "/settings/tokens".to_owned()),
        (&admin, format!("/settings/tokens/{token}/delete")),
        (&admin, "/settings/audit".to_owned()),
    ] {
        let page = who.get(&path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.html);
        assert!(!page.says("<script>") && !page.says("<img"), "{path}: {}", page.html);
        assert!(page.says("&#60;script&#62;alert(1)"), "{path} shows it, though: {}", page.html);
    }
    world.stop().await;
}
