//! Every page in light and dark, on a phone and at twice the size, held against axe; nothing runs over the edge or jumps.

use serde_json::json;
use thirtyfour::{By, Key, TypingData};

use super::chromium::Chromium;
use crate::support::{World, until_said};

const PASSWORD: &str = "correct horse battery";

/// Pages that want no id.
const PLAIN: [&str; 16] = [
    "/",
    "/connections",
    "/connections/new",
    "/connections/accept",
    "/twins",
    "/queue",
    "/jobs",
    "/errors",
    "/triggers",
    "/trackers",
    "/trackers/support",
    "/settings",
    "/settings/users",
    "/settings/tokens",
    "/settings/audit",
    "/?span=week",
];

/// A world with something on every page, and all addresses.
async fn addresses(world: &World) -> Vec<String> {
    let id = world.connection.clone();
    let long = "a name that somebody made so long that no table was ever meant for it_".repeat(2);
    world.public.patch(&format!("/connections/{id}"), json!({"name": long[..99], "mode": "script"})).await;
    let case = world.new_case(json!({"Subject": "Unbreakable".repeat(12), "Description": "d"}));
    world.issue_with(&"Unbreakable".repeat(12)).await;
    let outgoing = "if (entity.Subject === 'bad') throw new Error('this one is bad');\nreplica.summary = entity.Subject;\n";
    let rules = json!({"outgoing": outgoing, "base": 0, "note": "checks"});
    world.public.post(&format!("/connections/{id}/rules/publish"), rules).await;
    let trigger = world.public.get(&format!("/connections/{id}/triggers")).await["items"][0]["id"].clone();
    let trigger = trigger.as_str().expect("a trigger").to_owned();
    let job = world.public.post(&format!("/connections/{id}/triggers/{trigger}/run"), json!({})).await;
    world.edit_case(&case, json!({"Subject": "bad"}));
    let errors = async || world.public.get("/errors").await["items"].as_array().expect("a list").clone();
    until_said("an error", async || !errors().await.is_empty()).await;
    let twin = world.public.twin_of(&case).await.expect("a twin")["id"].as_str().expect("an id").to_owned();
    let mut all: Vec<String> = PLAIN.iter().map(|path| (*path).to_owned()).collect();
    let error = errors().await[0]["id"].as_str().expect("an id").to_owned();
    all.extend([
        format!("/connections/{id}"),
        format!("/connections/{id}/delete"),
        format!("/connections/{id}/link"),
        format!("/connections/{id}/rules"),
        format!("/connections/{id}/rules/publish"),
        format!("/connections/{id}/rules/versions"),
        format!("/connections/{id}/rules/versions/0"),
        format!("/connections/{id}/triggers"),
        format!("/connections/{id}/triggers/{trigger}"),
        format!("/twins/{twin}"),
        format!("/twins/{twin}/stop"),
        format!("/errors/{error}"),
        format!("/jobs/{}", job["id"].as_str().expect("an id")),
        "/twins?key=nothing".to_owned(),
        "/connections/00000000-0000-0000-0000-000000000000".to_owned(),
    ]);
    all
}

/// Sums what moved while the page was built and for a moment after.
const SHIFT: &str = "return new Promise((done) => {
    let sum = 0;
    new PerformanceObserver((list) => { for (const one of list.getEntries()) sum += one.value; }).observe({ type: 'layout-shift', buffered: true });
    setTimeout(() => done(sum), 60);
});";

/// What makes the page wider than its window.
const OVER: &str = "const edge = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= edge) return [];
    return [...document.querySelectorAll('main *, header *')].filter((one) => one.getBoundingClientRect().right > edge + 0.5)
        .map((one) => one.outerHTML.slice(0, 120));";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_fit_for_everybody() {
    let world = World::start().await;
    world.public.post("/users", json!({"name": "Ada", "role": "admin", "password": PASSWORD})).await;
    let browser = Chromium::open("pages").await;
    let (base, mut wrong) = (world.public.url.clone(), Vec::new());
    browser.go(&format!("{base}/setup")).await;
    browser.run("document.querySelector('main').append(document.createElement('input'))").await;
    assert!(!browser.complaints().await.is_empty(), "a field without a name is found");
    browser.go(&format!("{base}/setup")).await;
    wrong.extend(browser.complaints().await);
    browser.go(&format!("{base}/sign-in")).await;
    wrong.extend(browser.complaints().await);
    browser.sign_in(&base, "Ada", PASSWORD).await;
    let addresses = addresses(&world).await;
    // A phone, a wide screen by night, and 200 % of a small one.
    for (device, width, scheme) in
        [("phone", 390, "light"), ("wide", 1280, "dark"), ("double", 640, "light"), ("light", 1280, "light")]
    {
        browser.device(width, scheme).await;
        for (n, path) in addresses.iter().enumerate() {
            browser.go(&format!("{base}{path}")).await;
            let shift = browser.run(SHIFT).await.as_f64().unwrap_or(1.0);
            if shift > 0.01 {
                wrong.push(format!("{device} {path}: the page jumps by {shift}"));
            }
            let over = browser.run(OVER).await;
            if over != json!([]) {
                wrong.push(format!("{device} {path}: runs over the edge: {over}"));
            }
            browser.picture(&format!("{device}-{n:02}")).await;
            if device != "double" {
                wrong.extend(browser.complaints().await.into_iter().map(|it| format!("{device} {path}: {it}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    browser.close().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keyboard_is_enough_and_typing_is_never_lost() {
    let world = World::start().await;
    world.public.post("/users", json!({"name": "Ada", "role": "admin", "password": PASSWORD})).await;
    let browser = Chromium::open("keyboard").await;
    let (base, id) = (world.public.url.clone(), world.connection.clone());
    browser.go(&format!("{base}/sign-in?next=/connections/new")).await;
    let typed =
        async |keys: TypingData| browser.driver.active_element().await.expect("focus").send_keys(keys).await.expect("typed");
    typed("Ada".into()).await;
    typed(Key::Tab + "").await;
    typed(PASSWORD.into()).await;
    typed(Key::Enter + "").await;
    browser.says("Destination URL").await;
    // The first stop is the way past the navigation.
    browser.go(&format!("{base}/connections/{id}")).await;
    browser.driver.find(By::Tag("body")).await.expect("a body").send_keys(Key::Tab + "").await.expect("typed");
    let first = browser.driver.active_element().await.expect("focus").text().await.expect("text");
    assert_eq!(first, "Skip to the content");
    // What is typed stays while the page around it changes.
    browser.fill("#description", "half a sentence").await;
    world.public.post(&format!("/connections/{id}/deactivate"), json!({})).await;
    browser.says("Deactivated").await;
    let typed = browser.find("#description").await.prop("value").await.expect("a value");
    assert_eq!(typed.as_deref(), Some("half a sentence"));
    let focused = browser.driver.active_element().await.expect("focus").id().await.expect("an id");
    assert_eq!(focused.as_deref(), Some("description"));
    // Nor is it lost where the session ends before it is sent.
    let user = world.public.get("/users").await["items"][0]["id"].as_str().expect("an id").to_owned();
    world.public.delete(&format!("/users/{user}/sessions")).await;
    browser.press("Save").await;
    browser.find("#password").await;
    browser.fill("#name", "Ada").await;
    browser.fill("#password", PASSWORD).await;
    browser.press("Sign in").await;
    browser.says("What you typed is back").await;
    let typed = browser.find("#description").await.prop("value").await.expect("a value");
    assert_eq!(typed.as_deref(), Some("half a sentence"));
    browser.press("Save").await;
    until_said("the description", async || {
        world.public.get(&format!("/connections/{id}")).await["description"] == "half a sentence"
    })
    .await;
    browser.close().await;
    world.stop().await;
}
