//! What the rooms do beside showing: two editors of one rule, equal errors as one, a pair stopped and started, a record that is
//! not under sync.

use serde_json::json;

use super::visitor::Visitor;
use crate::support::{Settings, World, http, until_said};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_editors_the_second_is_told_and_loses_nothing() {
    let world = World::with(Settings { connection: json!({"mode": "script"}), ..Settings::default() }).await;
    let person = Visitor::with_role(&world.private, "configure").await;
    let path = format!("/connections/{}/rules", world.connection);
    let (one, two) = (person.get(&path).await, person.get(&path).await);
    assert_eq!((one.hidden("over"), two.hidden("base")), (String::new(), "0".to_owned()));
    let save = async |over: &str, incoming: &str| {
        let fields = [("base", "0"), ("over", over), ("outgoing", "replica.summary = entity.summary;"), ("incoming", incoming)];
        person.post(&path, &fields).await
    };
    let saved = save("", "// the first\r\nentity.summary = replica.summary;").await;
    assert!(saved.status == 200 && saved.says("The draft is saved"), "{}", saved.html);
    let late = save(&two.hidden("over"), "// the second").await;
    assert!(late.status == 409 && late.says("Somebody else was faster") && late.says("// the second"), "{}", late.html);
    let draft = world.private.get(&path).await["draft"].clone();
    assert_eq!(draft["incoming"], "// the first\nentity.summary = replica.summary;", "nothing was overwritten");
    // From the present draft on it goes.
    let over = person.get(&path).await.hidden("over");
    assert_eq!(save(&over, "// merged").await.status, 200);
    let broken = save(&person.get(&path).await.hidden("over"), "entity.summary = );").await;
    assert!(broken.says("incoming, line 1"), "a draft that does not parse is kept, and told: {}", broken.html);
    // Nor does a text run that its publisher did not see.
    let seen = person.get(&format!("{path}/publish")).await.hidden("over");
    save(&person.get(&path).await.hidden("over"), "entity.summary = ;").await;
    let unseen = person.post(&format!("{path}/publish"), &[("base", "0"), ("over", &seen)]).await;
    assert!(unseen.status == 409 && unseen.says("saved another draft"), "{}", unseen.html);
    let published = person.post(&format!("{path}/publish"), &[("base", "0"), ("note", "why <not>")]).await;
    assert!(
        published.status == 422 && published.says("does not parse") && published.says("why &#60;not&#62;"),
        "{}",
        published.html
    );
    // What runs already is no draft.
    let runs = world.private.get(&path).await["published"].clone();
    let over = person.get(&path).await.hidden("over");
    let texts = [("outgoing", runs["outgoing"].as_str()), ("incoming", runs["incoming"].as_str())];
    let texts = texts.map(|(name, text)| (name, text.expect("a text")));
    let same = person.post(&path, &[&texts[..], &[("base", "0"), ("over", &over)]].concat()).await;
    assert!(same.says("This is what runs already; there is no draft.") && !same.says("The draft is saved"), "{}", same.html);
    assert!(world.private.get(&path).await["draft"].is_null());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_errors_are_one_row_and_are_worked_on_together() {
    let world = World::with(Settings { connection: json!({"mode": "script"}), ..Settings::default() }).await;
    let person = Visitor::with_role(&world.private, "operate").await;
    let rule = "if (replica.description === 'blue') throw new Error('must not be blue');\nentity.summary = replica.summary;";
    let rules = json!({"incoming": rule, "base": 0});
    world.private.post(&format!("/connections/{}/rules/publish", world.connection), rules).await;
    for n in 0..3 {
        world.new_case(json!({"Subject": format!("Case {n}"), "Description": "blue"}));
    }
    let open = async || world.private.get("/errors").await["items"].as_array().expect("a list").clone();
    until_said("three errors", async || open().await.len() == 3).await;
    let page = person.get("/errors").await;
    assert!(page.says("3 × The incoming rule failed") && page.html.matches("<li class=\"card\"").count() == 1, "{}", page.html);
    assert_eq!(page.hidden("code"), open().await[0]["code"].as_str().expect("a code"));
    let group =
        [("connection", world.connection.as_str()), ("code", &page.hidden("code")), ("title", "The incoming rule failed")];
    let done = person.post("/errors/many", &[&group[..], &[("skip", "1")]].concat()).await;
    assert_eq!((done.status, done.location.as_str()), (303, "/errors?done=3"), "{}", done.html);
    until_said("no error", async || open().await.is_empty()).await;
    assert!(person.get(&done.location).await.says("3 errors were worked on."));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_tracker_is_told_of_its_door_is_its_own_and_is_read_not_retried() {
    let desk = "[trackers.desk]\nkind = \"salesforce\"\nlogin_url = \"http://127.0.0.1:9\"\nflow = \"authorization-code\"\n\
        client_id = \"app\"\nclient_secret = \"secret\"\nlook = \"off\"\n";
    let world = World::with(Settings { public: desk.to_owned(), ..Settings::default() }).await;
    let person = Visitor::with_role(&world.public, "operate").await;
    for tracker in ["desk", "support"] {
        let door = world.public.get(&format!("/trackers/{tracker}")).await["outbound_message_url"].clone();
        let sent = http().post(door.as_str().expect("an address")).header("content-type", "text/xml").body("<no");
        sent.send().await.expect("an answer");
    }
    let open = async || {
        let all = world.public.get("/errors?code=door_malformed").await["items"].as_array().expect("a list").clone();
        all.iter().map(|error| error["tracker"].as_str().expect("whose").to_owned()).collect::<std::collections::BTreeSet<_>>()
    };
    until_said("both errors", async || open().await.len() == 2).await;
    let error = world.public.get("/errors?code=door_malformed&tracker=desk").await["items"][0].clone();
    let (id, title) = (error["id"].as_str().expect("an id"), error["title"].as_str().expect("a title"));
    let page = person.get("/errors").await;
    assert!(page.says("desk · newest") && page.says("support · newest") && !page.says("this node ·"), "{}", page.html);
    assert!(!page.says("name=\"retry\"") && page.says("name=\"skip\""), "{}", page.html);
    assert!(!person.get(&format!("/errors/{id}")).await.says("name=\"retry\""));
    let retried = world.public.call("POST", &format!("/errors/{id}/retry"), Some(json!({}))).await;
    assert_eq!((retried.status, retried.code()), (409, "invalid_state"));
    let group = |tracker| [("tracker", tracker), ("scope", "tracker"), ("code", "door_malformed"), ("title", title)];
    // A form that somebody had open before.
    let done = person.post("/errors/many", &[&group("desk")[..], &[("retry", "1")]].concat()).await;
    assert_eq!((done.status, done.location.as_str()), (303, "/errors?done=0&failed=1"), "{}", done.html);
    assert!(person.get(&done.location).await.says("1 could not be and stays open"));
    let done = person.post("/errors/many", &[&group("desk")[..], &[("skip", "1")]].concat()).await;
    assert_eq!((done.status, done.location.as_str()), (303, "/errors?done=1"), "{}", done.html);
    assert_eq!(open().await, ["support".to_owned()].into(), "the other's stays");
    // Without a tracker the node's own are meant, and nobody else's.
    person.post("/errors/many", &[("code", "door_malformed"), ("title", title), ("skip", "1")]).await;
    assert_eq!(open().await, ["support".to_owned()].into());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_is_stopped_and_started_again_and_found_by_either_key() {
    let world = World::start().await;
    let person = Visitor::with_role(&world.public, "operate").await;
    let case = world.new_case(json!({"Subject": "Pump"}));
    let issue = world.issue_with("Pump").await;
    world.quiet().await;
    let twin = world.public.twin_of(&case).await.expect("a twin")["id"].as_str().expect("an id").to_owned();
    for key in [case.as_str(), &case[..15], &issue] {
        assert!(person.get(&format!("/twins?key={key}")).await.says(&format!("/twins/{twin}\"")), "{key}");
    }
    assert!(person.get(&format!("/twins/{twin}/stop")).await.says("Both records stay as they are"));
    assert_eq!(person.post(&format!("/twins/{twin}/stop"), &[]).await.status, 303);
    assert!(person.get(&format!("/twins/{twin}")).await.says("Start again"));
    assert_eq!(person.post(&format!("/twins/{twin}/sync"), &[]).await.status, 303);
    until_said("it to go on", async || person.get(&format!("/twins/{twin}")).await.says(">In sync<")).await;
    // One that no trigger matches has its story, too.
    world.public.call("DELETE", &format!("/connections/{}", world.connection), None).await.good();
    let lonely = world.new_case(json!({"Subject": "Lonely"}));
    until_said("its story", async || {
        let page = person.get(&format!("/twins?key={lonely}")).await;
        page.says("This record is not under sync") && page.says("Skipped.")
    })
    .await;
    assert!(person.get("/twins?key=nothing").await.says("Nothing found"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_answers_a_form_is_found_again_without_it() {
    let world = World::start().await;
    let person = Visitor::with_role(&world.public, "configure").await;
    let own = format!("/connections/{}", world.connection);
    let page = person.post(&format!("{own}/change"), &[("name", ""), ("links", "ask")]).await;
    let main = format!("<main id=\"main\" tabindex=\"-1\" data-address=\"{own}\">");
    assert!(page.status == 422 && page.says(&main), "{}", page.html);
    let page = person.get(&format!("{own}/change")).await;
    assert_eq!((page.status, page.location.as_str()), (303, own.as_str()));
    assert!(!person.get(&own).await.says("data-address"), "it stands where it belongs");
    // The rolled-back version's own page, and what was typed there.
    let note = "x".repeat(2_001);
    let page = person.post(&format!("{own}/rules/rollback"), &[("version", "0"), ("note", &note)]).await;
    let at = format!("data-address=\"{own}/rules/versions/0\"");
    assert!(page.status >= 400 && page.says(&at) && page.says("Version 0"), "{}", page.html);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_form_keeps_what_was_typed() {
    let world = World::start().await;
    let person = Visitor::with_role(&world.public, "configure").await;
    let own = format!("/connections/{}", world.connection);
    let long = "y".repeat(101);
    let fields = [("name", long.as_str()), ("description", "new words"), ("links", "ask"), ("share_internal_comments", "on")];
    let page = person.post(&format!("{own}/change"), &[&fields[..], &[("mode", "script")]].concat()).await;
    assert!(page.status == 422 && page.says("name-wrong") && page.says(&format!("value=\"{long}\"")), "{}", page.html);
    for kept in [
        ">new words</textarea>",
        "<option value=\"ask\" selected>",
        "name=\"share_internal_comments\" checked",
        "name=\"mode\" value=\"script\" checked",
    ] {
        assert!(page.says(kept), "{kept}: {}", page.html);
    }
    let fields = [("connection", world.connection.as_str()), ("entity_type", "Nonsense"), ("key", "no <key>")];
    let page = person.post("/twins/sync", &fields).await;
    assert!(page.status >= 400 && page.says("data-address=\"/twins\""), "{}", page.html);
    let chosen = format!("<option value=\"{}\" selected>", world.connection);
    for kept in ["name=\"entity_type\" value=\"Nonsense\"", "value=\"no &#60;key&#62;\"", &chosen] {
        assert!(page.says(kept), "{kept}: {}", page.html);
    }
    world.stop().await;
}
