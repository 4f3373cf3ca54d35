//! The dashboard and the trackers: what needs a person comes first, curves tell what happened, and a tracker's page checks
//! it, signs in to it and draws its token anew.

use std::time::Duration;

use serde_json::json;
use wicketgate::sandbox::tracker::{TrackerFault, TrackerFaultKind};

use super::visitor::Visitor;
use crate::support::{Settings, World, clock::MovableClock, http, until_said};

const EVIL: &str = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'>";
/// A little more than lies between two sums.
const ROUND: Duration = Duration::from_secs(61);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_node_says_what_to_do_first() {
    let world = World::with(Settings { joined: false, ..Settings::default() }).await;
    let nobody = Visitor::nobody(&world.public);
    assert!(nobody.get("/sign-in").await.says("Nobody has an account on this node yet"));
    assert!(nobody.get("/setup").await.says("name=\"password\""));
    let admin = Visitor::with_role(&world.public, "admin").await;
    // However the account was made: here by the API.
    assert!(!nobody.get("/sign-in").await.says("Nobody has an account"));
    assert!(!nobody.get("/setup").await.says("name=\"password\""));
    let page = admin.get("/").await;
    assert!(page.says("No connection yet") && page.says("href=\"/connections/new\""), "{}", page.html);
    assert!(page.says("<a href=\"/\" aria-current=\"page\">Dashboard</a>"), "{}", page.html);
    let reader = Visitor::with_role(&world.private, "read").await.get("/").await;
    assert!(reader.says("This node is private") && !reader.says("class=\"button primary\""), "{}", reader.html);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dashboard_tells_what_needs_a_person_and_what_happened() {
    let clock = MovableClock::default();
    let world = World::with(Settings { private_clock: std::sync::Arc::new(clock.clone()), ..Settings::default() }).await;
    let admin = Visitor::with_role(&world.private, "admin").await;
    let page = admin.get("/").await;
    assert!(page.says("Nothing.</span> No record is parked") && page.says("No change ended in this day"), "{}", page.html);
    let kind = TrackerFaultKind::Refuse("no".to_owned());
    world.tracker.handle.fail(TrackerFault { kind, times: 1_000, reads: false, body: Some("Stuck".to_owned()) });
    world.private.patch(&format!("/connections/{}", world.connection), json!({"name": EVIL})).await;
    world.new_case(json!({"Subject": "Stuck"}));
    world.new_case(json!({"Subject": "Good"}));
    world.issue_with("Good").await;
    until_said("the error", || async { world.private.get("/errors").await["items"].as_array().map(Vec::len) == Some(1) }).await;
    until_said("the sums", || async {
        clock.advance(ROUND);
        let figures = world.private.get("/figures").await;
        figures["ended"]["applied"].as_u64() >= Some(1) && figures["ended"]["parked"] == 1
    })
    .await;
    let href = format!("href=\"/errors?connection={}\"", world.connection);
    for path in ["/", "/?span=week"] {
        let page = admin.get(path).await;
        assert!(page.says(&href) && page.says("holds 1 record that waits"), "{path}: {}", page.html);
        assert!(!page.says("<script>") && !page.says("<img") && page.says("&#60;script&#62;alert(1)"), "{path}: {}", page.html);
        assert!(page.says("1 now, 1 at most") && page.says(" synced, ") && page.says("1 parked"), "{path}: {}", page.html);
        assert!(page.html.matches("<svg class=\"chart\"").count() >= 3 && page.says("class=\"stroke\""), "{path}: {}", page.html);
        assert!(page.says("role=\"img\" aria-label=\"Median "), "{path}: {}", page.html);
        assert!(!page.says("No change ended"), "{path}");
    }
    let week = admin.get("/?span=week").await;
    assert!(week.says("7 days ago") && week.says("href=\"/?span=week\" aria-current=\"true\""), "{}", week.html);
    // A word that nobody knows is no reason to show nothing.
    assert!(admin.get("/?span=%3Cscript%3E").await.says("24 h ago"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tracker_that_rests_comes_first_and_says_it_once() {
    let world = World::start().await;
    let admin = Visitor::with_role(&world.private, "admin").await;
    world.tracker.handle.fail(TrackerFault::on_writes(1_000, TrackerFaultKind::Unavailable(None)));
    world.new_case(json!({"Subject": "Waits"}));
    until_said("the pause", || async { !world.private.get("/trackers/helpdesk").await["paused"].is_null() }).await;
    let page = admin.get("/").await;
    assert!(page.says("<a href=\"/trackers/helpdesk\">helpdesk</a> rests, and with it all that needs it"), "{}", page.html);
    assert!(!page.says("does not go on"), "the connection's rest is the tracker's: {}", page.html);
    let page = admin.get(&format!("/connections/{}", world.connection)).await;
    assert!(page.says("<a href=\"/trackers/helpdesk\">What to do</a>"), "its own errors say nothing of it: {}", page.html);
    let page = admin.get(&format!("/errors?connection={}", world.connection)).await;
    assert!(page.says("This connection has no open error") && !page.says("Every change has found"), "{}", page.html);
    let list = admin.get("/trackers").await;
    assert!(list.says("<span class=\"state bad\">Paused</span>") && list.says("no allowance"), "{}", list.html);
    let one = admin.get("/trackers/helpdesk").await;
    assert!(one.says("Paused since") && one.says("nothing is lost"), "{}", one.html);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_partner_deleted_is_told_once_and_as_deleted() {
    let world = World::start().await;
    let admin = Visitor::with_role(&world.private, "admin").await;
    let path = format!("/connections/{}", world.connection);
    world.public.call("DELETE", &path, None).await.good();
    until_said("the end there", || async { world.private.get(&path).await["remote"]["state"] == "gone" }).await;
    let page = admin.get("/").await;
    assert!(page.says("was deleted by your partner") && !page.says("does not go on"), "{}", page.html);
    assert_eq!(page.html.matches(&format!("href=\"{path}\"")).count(), 1, "{}", page.html);
    let page = admin.get(&path).await;
    assert!(page.says("none: the connection was deleted there") && !page.says("changes are kept there"), "{}", page.html);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_waits_for_a_confirmation_is_told() {
    let settings = Settings { joined: false, connection: json!({"confirm": true}), ..Settings::default() };
    let world = World::with(settings).await;
    let admin = Visitor::with_role(&world.public, "admin").await;
    let body = json!({"tracker": "support", "destination_url": null, "mode": "basic", "local_short_name": "a",
        "remote_short_name": "b", "confirm": true});
    let made = world.public.post("/connections", body).await;
    assert!(!admin.get("/").await.says("compare the fingerprints"), "it waits for the partner");
    world.private.post("/invitations/accept", json!({"code": made["invitation"]["code"], "tracker": "helpdesk"})).await;
    let path =
        format!("<a href=\"/connections/{}\">a_to_b</a> was accepted by your partner", made["id"].as_str().expect("an id"));
    until_said("the sentence", || async { admin.get("/").await.says(&path) }).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tracker_is_checked_step_by_step_and_its_allowance_shown() {
    let clock = MovableClock::default();
    let world = World::with(Settings { public_clock: std::sync::Arc::new(clock.clone()), ..Settings::default() }).await;
    let admin = Visitor::with_role(&world.public, "admin").await;
    let page = admin.post("/trackers/support/check", &[]).await;
    assert!(page.status == 200 && page.says("The check found nothing wrong"), "{}", page.html);
    assert!(page.says("<span class=\"state good\">Well</span>") && page.says("<b>last message</b>"), "{}", page.html);
    assert!(page.says("data-address=\"/trackers/support\""), "a reload shows the tracker: {}", page.html);
    until_said("the curve", || async {
        clock.advance(ROUND);
        admin.get("/trackers/support").await.says("<svg class=\"chart\"")
    })
    .await;
    let list = admin.get("/trackers").await;
    assert!(list.says("<meter min=\"0\" max=\"") && list.says("API calls of support in 24 hours"), "{}", list.html);
    assert!(admin.get("/").await.says("API calls of support"));
    world.org.stop().await;
    let page = admin.post("/trackers/support/check", &[]).await;
    assert!(page.status == 200 && page.says("The check found what is wrong") && page.says("What to do:"), "{}", page.html);
    world.stop().await;
}

/// The address that a tracker's page shows.
fn address(html: &str) -> String {
    let after = html.split("aria-label=\"Address\">").nth(1).unwrap_or_default();
    after.split('<').next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_gets_a_new_token_and_the_old_one_dies_when_told() {
    let world = World::with(Settings { joined: false, ..Settings::default() }).await;
    let admin = Visitor::with_role(&world.private, "admin").await;
    let reader = Visitor::with_role(&world.private, "read").await.get("/trackers/helpdesk").await;
    assert!(reader.status == 200 && reader.says("shown to accounts with the role configure"), "{}", reader.html);
    assert!(!reader.says("/hooks/") && !reader.says("<form method=\"post\" action=\"/trackers"), "{}", reader.html);
    let first = address(&admin.get("/trackers/helpdesk").await.html);
    assert!(first.contains("/hooks/helpdesk/"), "{first}");
    let knock = async |url: &str| http().post(url).body("{}").send().await.expect("an answer").status().as_u16();
    let known = knock(&first).await;
    assert_ne!(known, 404, "an unsigned message is refused as such");
    let page = admin.post("/trackers/helpdesk/rotate-token", &[]).await;
    assert_eq!((page.status, page.location.as_str()), (303, "/trackers/helpdesk"));
    let second = address(&admin.get("/trackers/helpdesk").await.html);
    assert_ne!(first, second);
    assert_eq!((knock(&first).await, knock(&second).await), (known, known), "the old one lives on for a day");
    admin.post("/trackers/helpdesk/rotate-token", &[("at_once", "1")]).await;
    let third = address(&admin.get("/trackers/helpdesk").await.html);
    assert_ne!(knock(&second).await, known, "it died at once");
    assert_eq!(knock(&third).await, known);
    for path in ["/trackers/nobody", "/trackers/..%2Fusers"] {
        assert_eq!(admin.get(path).await.status, 404, "{path}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_to_salesforce_by_a_link() {
    let desk = "[trackers.desk]\nkind = \"salesforce\"\nlogin_url = \"http://127.0.0.1:9\"\nflow = \"authorization-code\"\n\
        client_id = \"app\"\nclient_secret = \"secret\"\nlook = \"off\"\n";
    let world = World::with(Settings { joined: false, public: desk.to_owned(), ..Settings::default() }).await;
    let admin = Visitor::with_role(&world.public, "admin").await;
    assert!(admin.get("/trackers/desk").await.says("Sign in to Salesforce"));
    let page = admin.post("/trackers/desk/sign-in", &[]).await;
    assert_eq!(page.status, 200, "{}", page.html);
    let link = "<a class=\"button primary\" href=\"http://127.0.0.1:9/services/oauth2/authorize?response_type=code";
    assert!(page.says(link) && page.says("rel=\"noreferrer\">Go on to Salesforce</a>"), "{}", page.html);
    // The other logs in by itself: no button, and a form that is sent all the same is told why.
    assert!(!admin.get("/trackers/support").await.says("Sign in to Salesforce"));
    let page = admin.post("/trackers/support/sign-in", &[]).await;
    assert!(page.status == 409 && page.says("logs in by itself"), "{}", page.html);
    world.stop().await;
}
