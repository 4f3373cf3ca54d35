//! The two wizards, step by step, as a browser without scripts walks through them.

use serde_json::json;

use super::visitor::Visitor;
use crate::support::{Settings, World, until_said};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_join_their_nodes_by_pages_alone() {
    let world = World::with(Settings { joined: false, ..Settings::default() }).await;
    let here = Visitor::with_role(&world.public, "configure").await;
    let there = Visitor::with_role(&world.private, "configure").await;
    let first = here.get("/connections/new").await;
    let key = first.hidden("_key");
    assert!(!key.is_empty() && first.says("Destination URL"));
    let steps = [("_key", key.as_str()), ("mode", "script")];
    let kind = here.post("/connections/new", &[&steps[..], &[("step", "destination"), ("private", "1")]].concat()).await;
    assert!(kind.status == 200 && kind.says("Choose the configuration type") && kind.says("private connection"), "{}", kind.html);
    let no_url = [&steps[..], &[("no_url", "on")]].concat();
    let information = here.post("/connections/new", &[&no_url[..], &[("step", "type")]].concat()).await;
    assert!(information.says("Connection information"), "{}", information.html);
    // A field that is empty is told at the field, and what was typed stays.
    let typed = [
        &no_url[..],
        &[("step", "information"), ("tracker", "support"), ("local_short_name", "acme"), ("description", "with <care>")],
    ]
    .concat();
    let refused = here.post("/connections/new", &typed).await;
    assert!(
        refused.status == 422 && refused.says("remote_short_name-wrong") && refused.says("value=\"acme\""),
        "{}",
        refused.html
    );
    assert!(refused.says("with &#60;care&#62;"), "{}", refused.html);
    let before = here.post("/connections/new", &[&typed[..], &[("previous", "1")]].concat()).await;
    assert!(before.says("Choose the configuration type") && before.says("value=\"acme\""), "Previous keeps it: {}", before.html);
    assert_eq!(world.public.get("/connections").await["items"], json!([]), "nothing is kept before the last step");
    let whole = [&typed[..], &[("remote_short_name", "globex")]].concat();
    let made = here.post("/connections/new", &whole).await;
    assert!(made.status == 200 && made.says("Copy invitation code") && made.says("has no trigger"), "{}", made.html);
    let code = made
        .html
        .split("id=\"code\"")
        .nth(1)
        .and_then(|part| part.split('>').nth(1))
        .and_then(|part| part.split('<').next())
        .expect("a code")
        .to_owned();
    // The page loaded again makes no second one.
    let again = here.post("/connections/new", &whole).await;
    assert_eq!((again.status, again.location.as_str()), (303, "/connections"));
    let list = here.get("/connections").await;
    assert!(list.says("acme_to_globex") && list.says("Waiting for your partner") && list.says("unknown"), "{}", list.html);
    let file = here.post("/invitation-file", &[("name", "acme_to_globex"), ("code", &code)]).await;
    assert_eq!(file.html.trim(), code);

    let wrong = there.post("/connections/accept", &[("code", "wg1.nonsense")]).await;
    assert!(wrong.status == 422 && wrong.says("code-wrong") && wrong.says("wg1.nonsense"), "{}", wrong.html);
    let seen = there.post("/connections/accept", &[("code", &code)]).await;
    let fingerprint = world.public.get("/status").await["key_fingerprint"].as_str().expect("text").to_owned();
    assert!(seen.says("All traffic will start from here") && seen.says(&fingerprint), "{}", seen.html);
    assert!(seen.says("The inviting node answers from here."), "the way was tried: {}", seen.html);
    let accepted =
        there.post("/connections/accept", &[("code", &code), ("accept", "1"), ("tracker", "helpdesk"), ("name", "ours")]).await;
    assert!(accepted.status == 303 && accepted.location.starts_with("/connections/"), "{}", accepted.html);
    until_said("the row to turn active", || async { here.get("/connections").await.says(">Active<") }).await;
    assert!(there.get(&accepted.location).await.says("ours"));
    // The same code by the same node joins nothing anew.
    let fields = [("code", code.as_str()), ("accept", "1"), ("tracker", "helpdesk")];
    assert_eq!(there.post("/connections/accept", &fields).await.location, accepted.location);
    assert_eq!(world.private.get("/connections").await["items"].as_array().map(Vec::len), Some(1));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_is_asked_before_one_goes_on() {
    let world = World::with(Settings { joined: false, ..Settings::default() }).await;
    let here = Visitor::with_role(&world.public, "configure").await;
    let step = |url: &'static str| [("step", "destination"), ("_key", "k"), ("destination_url", url)];
    for wrong in ["", "nonsense", "http://127.0.0.1:1/"] {
        let page = here.post("/connections/new", &step(wrong)).await;
        assert!(page.status == 422 && page.says("destination_url-wrong"), "{wrong}: {}", page.html);
    }
    let fragment = here.post("/connections/new/check", &[("destination_url", "http://127.0.0.1:1/")]).await;
    assert!(fragment.status == 200 && fragment.says("state bad"), "{}", fragment.html);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_deleted_by_its_name_alone() {
    let world = World::start().await;
    let here = Visitor::with_role(&world.public, "configure").await;
    let path = format!("/connections/{}/delete", world.connection);
    assert!(here.get(&path).await.says("No record is deleted"));
    let page = here.post(&path, &[("name", "something else")]).await;
    assert!(page.status == 422 && page.says("name-wrong"), "{}", page.html);
    let name = world.public.get(&format!("/connections/{}", world.connection)).await["name"].as_str().expect("a name").to_owned();
    let page = here.post(&path, &[("name", &name)]).await;
    assert_eq!((page.status, page.location.as_str()), (303, "/connections"));
    assert_eq!(world.public.get("/connections").await["items"], json!([]));
    world.stop().await;
}
