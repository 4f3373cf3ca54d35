//! People: the first account, sign-in and what slows it down, sessions and how they end, and the API as a person.

use std::{net::IpAddr, time::Duration};

use actix_web::{App, HttpMessage as _, dev::Service as _, test, web};
use serde_json::{Value, json};

use super::*;
use crate::{
    clock::ManualClock,
    domain::{
        token::Scope,
        user::{IDLE, LONGEST_SESSION, Session, User},
    },
    server::{
        api,
        kit::{
            Caller, Code, Problem,
            accounts::{self, SessionSecret, Visitor},
            query,
        },
    },
};

const PASSWORD: &str = "correct horse battery";

/// A node whose clock is moved by hand.
struct House {
    node: Arc<Node>,
    clock: ManualClock,
    _folder: tempfile::TempDir,
}

fn from(last: u8) -> Visitor {
    Visitor { address: IpAddr::from([203, 0, 113, last]), browser: "a browser\n".to_owned() }
}

impl House {
    async fn open(admin_token: Option<&str>) -> Self {
        let clock = ManualClock::new(Time::from_seconds(1_800_000_000));
        let folder = tempfile::tempdir().expect("a folder");
        let settings = NodeSettings::default();
        let node = super::open(&settings, folder.path(), Arc::new(clock.clone()), admin_token).await;
        Self { node, clock, _folder: folder }
    }

    async fn user(&self, name: &str, role: Scope) -> User {
        let (user, hash) = accounts::new_user(&self.node, name, &Secret::new(PASSWORD), role).await.expect("good");
        let kept = user.clone();
        let write = self.node.store.write("test.user", move |tx| Box::pin(async move { tx.insert_user(&kept, &hash).await }));
        write.await.expect("new");
        user
    }

    async fn sign_in(&self, name: &str, password: &str, from: &Visitor) -> Result<SessionSecret, Problem> {
        accounts::sign_in(&self.node, name, Secret::new(password), from).await.map(|(cookie, _)| cookie)
    }

    async fn session(&self, cookie: &SessionSecret) -> Option<(Session, User)> {
        accounts::session(&self.node, cookie, accounts::Used::ByHand).await.expect("looked up")
    }

    async fn caller(&self, cookie: &SessionSecret) -> Caller {
        let (session, user) = self.session(cookie).await.expect("signed in");
        Caller::of_user(&user, &session)
    }

    /// Asks the API as a person.
    async fn ask(&self, caller: &Caller, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let caller = caller.clone();
        let app = App::new()
            .app_data(web::Data::from(self.node.clone()))
            .app_data(query::path_config())
            .app_data(query::query_config())
            .wrap_fn(move |request, inner| {
                request.extensions_mut().insert(caller.clone());
                inner.call(request)
            })
            .configure(api::within);
        let app = test::init_service(app).await;
        let mut request = test::TestRequest::with_uri(&format!("/api/v1{path}")).method(method.parse().expect("a method"));
        if let Some(body) = body {
            request = request.set_json(body);
        }
        let (status, body) = match test::try_call_service(&app, request.to_request()).await {
            Ok(answer) => (answer.status(), test::read_body(answer).await),
            Err(error) => {
                let answer = error.error_response();
                let status = answer.status();
                (status, actix_web::body::to_bytes(answer.into_body()).await.unwrap_or_default())
            }
        };
        (status.as_u16(), serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Actions and details of the audit log, newest first.
    async fn audit(&self) -> Vec<(String, String, String)> {
        let page = crate::store::rows::Page { after: None, limit: 100 };
        let read = self.node.store.read("test.audit", move |tx| Box::pin(async move { tx.list_audit(&page).await }));
        read.await.expect("read").items.into_iter().map(|line| (line.by, line.action, line.detail)).collect()
    }
}

#[actix_web::test]
async fn the_set_up_link_makes_the_first_account_and_no_other() {
    let house = House::open(None).await;
    let link = accounts::set_up_link(&house.node).expect("nobody has an account");
    let secret = link.split_once("/setup#").expect("behind the sharp").1.to_owned();
    let set_up = async |secret: &str, name: &str, password: &str| {
        accounts::set_up(&house.node, secret, name, Secret::new(password), &from(1)).await
    };
    let other = "A".repeat(43);
    for wrong in ["", "x", &other] {
        assert_eq!(set_up(wrong, "Ada", PASSWORD).await.expect_err("wrong").code, Code::SignInRefused);
    }
    let weak = set_up(&secret, "", "short").await.expect_err("weak");
    assert_eq!(weak.errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(), ["name", "password"]);
    let (cookie, ada) = set_up(&secret, "Ada", PASSWORD).await.expect("made");
    assert_eq!((ada.role, ada.last_sign_in_at), (Scope::Admin, Some(house.node.now())));
    assert_eq!(house.session(&cookie).await.expect("signed in").1, ada);
    assert_eq!(accounts::set_up_link(&house.node), None);
    assert_eq!(set_up(&secret, "Eve", PASSWORD).await.expect_err("used").code, Code::State);
    let audit = house.audit().await;
    assert_eq!(audit, [("Ada".to_owned(), "user.set_up".to_owned(), "Ada".to_owned())]);
}

#[actix_web::test]
async fn the_set_up_link_is_void_once_an_account_was_made_otherwise_and_its_secret_is_not_tried_for_ever() {
    let house = House::open(None).await;
    let link = accounts::set_up_link(&house.node).expect("nobody has an account");
    let secret = link.split_once('#').expect("behind the sharp").1;
    let set_up =
        async |secret: &str, last: u8| accounts::set_up(&house.node, secret, "Eve", Secret::new(PASSWORD), &from(last)).await;
    let mut codes = Vec::new();
    for _ in 0..25 {
        codes.push(set_up("guess", 1).await.expect_err("wrong").code);
    }
    assert_eq!((codes[0], codes[24]), (Code::SignInRefused, Code::RateLimited));
    house.user("Ada", Scope::Read).await;
    assert_eq!(set_up(secret, 2).await.expect_err("void").code, Code::State);
    assert_eq!(accounts::set_up_link(&house.node), None);
}

#[actix_web::test]
async fn a_person_signs_in_and_out() {
    let house = House::open(None).await;
    let ada = house.user("Ada", Scope::Operate).await;
    house.clock.advance(Duration::from_secs(5));
    let cookie = house.sign_in(" aDA", PASSWORD, &from(1)).await.expect("right");
    let other = house.sign_in("Ada", PASSWORD, &from(2)).await.expect("right");
    assert_ne!(cookie.expose(), other.expose());
    let (session, user) = house.session(&cookie).await.expect("signed in");
    assert_eq!((user.id, user.last_sign_in_at, session.made_at), (ada.id, Some(house.node.now()), house.node.now()));
    assert_eq!((session.address.as_str(), session.browser.as_str()), ("203.0.113.1", "a browser"));
    // What the browser holds is nowhere in the store, and the form's token is neither of the two.
    assert_eq!(session.id, cookie.id());
    let token = cookie.form_token();
    assert!(cookie.is_form_token(&token) && !other.is_form_token(&token) && !cookie.is_form_token(""));
    assert!(token != session.id.to_string() && token != cookie.expose());
    assert_eq!(SessionSecret::read(cookie.expose()).expect("its own value").id(), session.id);
    for wrong in ["", "x", &"=".repeat(43), &"A".repeat(44)] {
        assert!(SessionSecret::read(wrong).is_none(), "{wrong}");
    }
    let caller = house.caller(&cookie).await;
    accounts::sign_out(&house.node, &cookie).await.expect("out");
    accounts::sign_out(&house.node, &cookie).await.expect("twice is no harm");
    assert!(house.session(&cookie).await.is_none());
    assert!(house.session(&other).await.is_some(), "another browser");
    assert!(!accounts::is_still_good(&house.node, &caller).await.expect("looked up"), "a stream of it ends");
    let actions: Vec<String> = house.audit().await.into_iter().map(|(by, action, _)| format!("{by} {action}")).collect();
    assert_eq!(actions, ["Ada user.sign_out", "Ada user.sign_in", "Ada user.sign_in"]);
}

/// How a try ends, as far as a stranger sees it.
fn seen(problem: Problem) -> (Code, String, Option<Duration>) {
    (problem.code, problem.detail, problem.retry_after)
}

#[actix_web::test]
async fn wrong_passwords_are_slowed_alike_whether_or_not_there_is_such_an_account() {
    let house = House::open(None).await;
    house.user("Ada", Scope::Operate).await;
    let mut courses = Vec::new();
    for (name, first) in [("Ada", 0), ("Nobody", 100)] {
        let mut course = Vec::new();
        for n in 0..12 {
            // From another address each time: the account alone is counted.
            course.push(seen(house.sign_in(name, "wrong horse battery", &from(first + n)).await.expect_err("wrong")));
            if n > 7 {
                house.clock.advance(Duration::from_secs(4));
            }
        }
        courses.push(course);
    }
    assert_eq!(courses[0], courses[1]);
    let codes: Vec<bool> = courses[0].iter().map(|(code, ..)| *code == Code::RateLimited).collect();
    assert_eq!(codes, [false, false, false, false, false, true, true, true, true, false, false, false], "{:?}", courses[0]);
    // While it pauses, the right password is not looked at either.
    for _ in 0..2 {
        let _ = house.sign_in("Ada", "wrong horse battery", &from(50)).await;
    }
    assert_eq!(house.sign_in("Ada", PASSWORD, &from(51)).await.expect_err("pauses").code, Code::RateLimited);
    house.clock.advance(Duration::from_secs(60));
    house.sign_in("ada", PASSWORD, &from(51)).await.expect("right");
    house.sign_in("Ada", "wrong horse battery", &from(52)).await.expect_err("wrong");
    house.sign_in("Ada", PASSWORD, &from(53)).await.expect("it began anew");
    let told: Vec<String> =
        house.audit().await.into_iter().map(|(by, action, detail)| format!("{by} {action}: {detail}")).collect();
    let streaks: Vec<&String> = told.iter().filter(|line| line.contains("in a row")).collect();
    assert_eq!(streaks.len(), 2, "one for each name: {told:#?}");
    assert!(streaks[1].starts_with("unknown user.sign_in_failed: Ada: 5 wrong passwords in a row"), "{streaks:?}");
    assert!(streaks[0].contains("without an account") && !streaks[0].contains("Nobody"), "{streaks:?}");
    assert!(told[1].contains("wrong passwords before: 9"), "the sign-in says what came before it: {told:#?}");
}

#[actix_web::test]
async fn an_address_is_slowed_whoever_it_tries() {
    let house = House::open(None).await;
    house.user("Ada", Scope::Operate).await;
    for n in 0..10 {
        let refused = house.sign_in(&format!("guess {n}"), "wrong horse battery", &from(1)).await.expect_err("wrong");
        assert_eq!(refused.code, Code::SignInRefused);
    }
    let paused = house.sign_in("Ada", PASSWORD, &from(1)).await.expect_err("pauses");
    assert_eq!((paused.code, paused.retry_after), (Code::RateLimited, Some(Duration::from_secs(1))));
    house.sign_in("Ada", PASSWORD, &from(2)).await.expect("another address");
    house.clock.advance(Duration::from_secs(1));
    house.sign_in("Ada", PASSWORD, &from(1)).await.expect("the pause is over");
    assert!(house.sign_in("more", "wrong horse battery", &from(1)).await.is_err());
    let paused = house.sign_in("Ada", PASSWORD, &from(1)).await.expect_err("a right one in between pardons nothing");
    assert_eq!(paused.retry_after, Some(Duration::from_secs(2)));
}

#[actix_web::test]
async fn a_session_ends_idle_or_after_a_week_and_is_noted_once_a_minute() {
    let house = House::open(None).await;
    house.user("Ada", Scope::Operate).await;
    let began = house.node.now();
    let cookie = house.sign_in("Ada", PASSWORD, &from(1)).await.expect("right");
    let seen_at = async || house.session(&cookie).await.map(|(session, _)| session.seen_at.since(began).as_secs());
    for (after, kept) in [(59, 0), (1, 0), (30, 60), (30, 60), (0, 120)] {
        house.clock.advance(Duration::from_secs(after));
        assert_eq!(seen_at().await, Some(kept), "as it was before this use");
    }
    house.clock.advance(IDLE - Duration::from_millis(1));
    assert!(seen_at().await.is_some());
    while house.node.now().since(began) < LONGEST_SESSION - IDLE {
        house.clock.advance(IDLE / 2);
        assert!(seen_at().await.is_some(), "in use");
    }
    house.clock.advance(LONGEST_SESSION);
    assert!(seen_at().await.is_none());
    let idle = house.sign_in("Ada", PASSWORD, &from(1)).await.expect("right");
    house.clock.advance(IDLE / 2);
    // A page that nobody touches keeps itself up to date, not its session.
    let by_itself = accounts::session(&house.node, &idle, accounts::Used::ByItself).await;
    assert!(by_itself.expect("looked up").is_some());
    house.clock.advance(IDLE / 2);
    assert!(house.session(&idle).await.is_none());
    let (id, now) = (idle.id(), house.node.now());
    let forget = house.node.store.write("test", move |tx| {
        Box::pin(async move {
            let gone = tx.forget_sessions(now.minus(IDLE), now.minus(LONGEST_SESSION)).await?;
            Ok((gone, tx.session(id).await?.is_none()))
        })
    });
    assert_eq!(forget.await.expect("forgotten"), (2, true));
}

#[actix_web::test]
async fn a_new_password_and_a_deleted_account_end_sessions_at_once() {
    let house = House::open(None).await;
    let root = house.user("root", Scope::Admin).await;
    let ada = house.user("Ada", Scope::Operate).await;
    let admin = house.caller(&house.sign_in("root", PASSWORD, &from(1)).await.expect("right")).await;
    let own = format!("/users/{}", ada.id);
    let (one, two) = (
        house.sign_in("Ada", PASSWORD, &from(2)).await.expect("right"),
        house.sign_in("Ada", PASSWORD, &from(3)).await.expect("right"),
    );
    let caller = house.caller(&one).await;
    // One's own: with the present one, and the session that asks goes on.
    let (status, told) =
        house.ask(&caller, "POST", &format!("{own}/password"), Some(json!({"password": "battery staple horse"}))).await;
    assert_eq!((status, &told["errors"][0]["field"]), (422, &json!("old_password")), "{told}");
    let change = |old: &str, new: &str| Some(json!({"password": new, "old_password": old}));
    let (status, told) =
        house.ask(&caller, "POST", &format!("{own}/password"), change("wrong horse", "battery staple horse")).await;
    assert_eq!((status, &told["errors"][0]["field"]), (422, &json!("old_password")), "{told}");
    let (status, told) = house.ask(&caller, "POST", &format!("{own}/password"), change(PASSWORD, "short")).await;
    assert_eq!((status, &told["errors"][0]["field"]), (422, &json!("password")), "{told}");
    assert!(house.session(&two).await.is_some());
    let (status, told) = house.ask(&caller, "POST", &format!("{own}/password"), change(PASSWORD, "battery staple horse")).await;
    assert_eq!(status, 204, "{told}");
    assert!(house.session(&one).await.is_some() && house.session(&two).await.is_none());
    assert!(house.sign_in("Ada", PASSWORD, &from(2)).await.is_err(), "the old one is gone");
    house.sign_in("Ada", "battery staple horse", &from(2)).await.expect("the new one");
    // An admin's: all of them end.
    let given = Some(json!({"password": PASSWORD}));
    assert_eq!(house.ask(&admin, "POST", &format!("{own}/password"), given).await.0, 204);
    assert!(house.session(&one).await.is_none());
    // A role that changes holds at once, and a stream that began with the old one ends.
    let three = house.sign_in("Ada", PASSWORD, &from(2)).await.expect("right");
    let stale = house.caller(&three).await;
    assert!(accounts::is_still_good(&house.node, &stale).await.expect("looked up"));
    assert_eq!(house.ask(&admin, "PATCH", &own, Some(json!({"role": "read"}))).await.0, 200);
    assert!(!accounts::is_still_good(&house.node, &stale).await.expect("looked up"));
    assert!(!house.caller(&three).await.may(Scope::Operate));
    assert_eq!(house.ask(&admin, "DELETE", &own, None).await.0, 204);
    assert!(house.session(&three).await.is_none());
    assert!(house.sign_in("Ada", PASSWORD, &from(9)).await.is_err());
    // The last admin stays: no token is there to make another.
    let last = format!("/users/{}", root.id);
    for (method, body) in [("DELETE", None), ("PATCH", Some(json!({"role": "configure"})))] {
        let (status, told) = house.ask(&admin, method, &last, body).await;
        assert_eq!((status, &told["code"]), (409, &json!("invalid_state")), "{told}");
        assert!(told["detail"].as_str().is_some_and(|text| text.contains("admin_token")), "{told}");
    }
    assert_eq!(house.ask(&admin, "PATCH", &last, Some(json!({"name": "Root"}))).await.0, 200);
}

#[actix_web::test]
async fn guesses_at_the_present_password_are_slowed_too() {
    let house = House::open(None).await;
    let ada = house.user("Ada", Scope::Operate).await;
    let caller = house.caller(&house.sign_in("Ada", PASSWORD, &from(2)).await.expect("right")).await;
    let mut codes = Vec::new();
    for _ in 0..6 {
        let guess = json!({"password": "battery staple horse", "old_password": "wrong"});
        codes.push(house.ask(&caller, "POST", &format!("/users/{}/password", ada.id), Some(guess)).await.0);
    }
    assert_eq!(codes, [422, 422, 422, 422, 422, 429]);
}

#[actix_web::test]
async fn a_person_governs_the_own_account_and_nobody_elses() {
    let house = House::open(None).await;
    let (ada, bob) = (house.user("Ada", Scope::Configure).await, house.user("Bob", Scope::Read).await);
    let here = house.sign_in("Ada", PASSWORD, &from(1)).await.expect("right");
    let there = house.sign_in("Ada", PASSWORD, &from(2)).await.expect("right");
    let third = house.sign_in("Ada", PASSWORD, &from(3)).await.expect("right");
    let of_bob = house.sign_in("Bob", PASSWORD, &from(4)).await.expect("right");
    let caller = house.caller(&here).await;
    let own = format!("/users/{}", ada.id);
    assert_eq!(house.ask(&caller, "GET", &own, None).await.1["name"], "Ada");
    let (_, listed) = house.ask(&caller, "GET", &format!("{own}/sessions"), None).await;
    let sessions: Vec<(&Value, &Value)> =
        listed["items"].as_array().expect("a list").iter().map(|one| (&one["address"], &one["own"])).collect();
    assert_eq!(sessions.len(), 3, "{listed}");
    assert_eq!(sessions.iter().filter(|(address, own)| **own == json!(true) && **address == json!("203.0.113.1")).count(), 1);
    assert_eq!(house.ask(&caller, "DELETE", &format!("{own}/sessions/{}", there.id()), None).await.0, 204);
    assert!(house.session(&there).await.is_none());
    assert_eq!(
        house.ask(&caller, "DELETE", &format!("{own}/sessions/{}", of_bob.id()), None).await.0,
        404,
        "not of this account"
    );
    assert_eq!(house.ask(&caller, "DELETE", &format!("{own}/sessions"), None).await.0, 204);
    assert!(
        house.session(&third).await.is_none() && house.session(&here).await.is_some() && house.session(&of_bob).await.is_some()
    );
    let theirs = format!("/users/{}", bob.id);
    let password = Some(json!({"password": "battery staple horse"}));
    for (method, path, body) in [
        ("GET", "/users".to_owned(), None),
        ("POST", "/users".to_owned(), Some(json!({}))),
        ("GET", theirs.clone(), None),
        ("PATCH", theirs.clone(), Some(json!({"role": "admin"}))),
        ("PATCH", own.clone(), Some(json!({"role": "admin"}))),
        ("DELETE", own.clone(), None),
        ("POST", format!("{theirs}/password"), password),
        ("GET", format!("{theirs}/sessions"), None),
        ("DELETE", format!("{theirs}/sessions"), None),
        ("DELETE", format!("{theirs}/sessions/{}", of_bob.id()), None),
        ("GET", "/audit".to_owned(), None),
    ] {
        let (status, told) = house.ask(&caller, method, &path, body).await;
        assert_eq!((status, &told["code"]), (403, &json!("forbidden")), "{method} {path}: {told}");
        assert!(told["detail"].as_str().is_some_and(|text| text.contains("role `admin`")), "{told}");
    }
    let (by, action, detail) = house.audit().await.swap_remove(0);
    assert_eq!((by.as_str(), action.as_str(), detail.as_str()), ("Ada", "user.sign_out", "Ada; sessions ended: 1"));
}
