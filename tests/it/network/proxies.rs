//! Proxies with credentials between the private node and the world.

use std::path::Path;

use super::*;
use crate::support::{
    TOKEN,
    net::{
        front::{Authority, Front},
        proxy::{PASSWORD, PASSWORD_IN_URL, Proxy, USER},
    },
};
use wicketgate::config::Role;

/// An address where nobody answers.
const NOBODY: &str = "http://127.0.0.1:1";

fn in_url(scheme: &str, proxy: &Proxy) -> String {
    format!("proxy = \"{scheme}://{USER}:{PASSWORD_IN_URL}@{}\"\n", proxy.address())
}

fn in_table(scheme: &str, proxy: &Proxy, password: &str) -> String {
    format!("proxy = {{ url = \"{scheme}://{}\", username = \"{USER}\", password = \"{password}\" }}\n", proxy.address())
}

/// A pair whose public node is reached over TLS only, by this name; `link` are lines of the private `[link]`.
async fn behind_tls(folder: &Path, name: &str, link: &str) -> (World, Front) {
    let authority = Authority::new();
    let front = Front::start(&authority.issue(folder, "front", &[name]), None).await;
    let ca = format!("ca_file = {:?}\n{link}", authority.file(folder));
    let settings = Settings {
        public_url: Some(format!("https://{name}:{}", front.address().port())),
        private_link: ca,
        joined: false,
        ..Settings::default()
    };
    let world = World::with(settings).await;
    front.aim(address_of(&world.public.url));
    (world, front)
}

async fn there_and_back(world: &World) {
    world.new_case(json!({"Subject": "there"}));
    world.issue_with("there").await;
    world.tracker.handle.create(&json!({"summary": "and back"}));
    world.case_with("and back").await;
    nothing_lost_or_doubled(world, 2).await;
}

/// What the private node says when it cannot join.
async fn refusal(world: &World) -> String {
    let wanted = json!({"tracker": "support", "destination_url": null, "mode": "basic",
        "local_short_name": "support", "remote_short_name": "helpdesk"});
    let made = world.public.post("/connections", wanted).await;
    let code = made["invitation"]["code"].as_str().expect("a code");
    let answer = world.private.call("POST", "/invitations/accept", Some(json!({"code": code, "tracker": "helpdesk"}))).await;
    assert_eq!(answer.code(), "peer_unreachable", "{answer:?}");
    answer.body["detail"].as_str().expect("words").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_flow_through_an_http_proxy_with_credentials_in_its_url() {
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = Proxy::http().await;
    // The tracker is inside: it is reached directly.
    let link = format!("\n[network]\n{}no_proxy = [\"127.0.0.1\"]\n", in_url("http", &proxy));
    let name = "node.outside.invalid";
    let (mut world, front) = behind_tls(folder.path(), name, &link).await;
    // Only the proxy can resolve that name.
    proxy.knows(name, front.address());
    world.join(json!({})).await;
    there_and_back(&world).await;
    let asked = proxy.asked();
    assert!(!asked.is_empty() && asked.iter().all(|target| target.starts_with(name)), "{asked:?}");
    assert_eq!(proxy.refused(), 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_flow_through_a_forwarding_proxy_with_credentials_beside_its_url() {
    let proxy = Proxy::http().await;
    // `[network]` names a proxy that is dead; `[link]` sets it again, and the tracker goes past all.
    let settings = Settings {
        private_link: format!("{}\n[network]\nproxy = \"{NOBODY}\"\n", in_table("http", &proxy, PASSWORD)),
        helpdesk: "no_proxy = [\"*\"]\n".to_owned(),
        ..Settings::default()
    };
    let world = World::with(settings).await;
    there_and_back(&world).await;
    let public = address_of(&world.public.url).to_string();
    let asked = proxy.asked();
    assert!(!asked.is_empty() && asked.iter().all(|target| *target == public), "{asked:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_flow_through_a_socks_proxy_and_a_tracker_has_its_own() {
    let (proxy, inner) = (Proxy::socks().await, Proxy::socks().await);
    let settings = Settings {
        private_link: in_url("socks5h", &proxy),
        helpdesk: in_table("socks5", &inner, PASSWORD),
        ..Settings::default()
    };
    let world = World::with(settings).await;
    there_and_back(&world).await;
    let (public, tracker) = (address_of(&world.public.url).to_string(), world.tracker.entities_url());
    assert!(proxy.asked().iter().all(|target| *target == public) && !proxy.asked().is_empty(), "{:?}", proxy.asked());
    assert!(inner.asked().iter().all(|target| tracker.contains(target)) && !inner.asked().is_empty(), "{:?}", inner.asked());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_are_told_as_that() {
    let folder = tempfile::tempdir().expect("a folder");
    let (http, socks) = (Proxy::http().await, Proxy::socks().await);
    for (scheme, proxy) in [("http", &http), ("socks5h", &socks)] {
        for tls in [false, true] {
            let link = in_table(scheme, proxy, "wrong-password");
            let (world, _front) = if tls {
                let (world, front) = behind_tls(folder.path(), "127.0.0.1", &link).await;
                (world, Some(front))
            } else {
                (World::with(Settings { private_link: link, joined: false, ..Settings::default() }).await, None)
            };
            let before = proxy.refused();
            let detail = refusal(&world).await;
            assert!(detail.contains("proxy") && detail.contains("user name") && detail.contains("password"), "{detail}");
            assert!(!detail.contains("wrong-password") && !detail.contains(PASSWORD), "{detail}");
            assert!(proxy.refused() > before && proxy.asked().is_empty());
            world.stop().await;
        }
    }
    // A proxy that is not there at all.
    let world =
        World::with(Settings { private_link: format!("proxy = \"{NOBODY}\"\n"), joined: false, ..Settings::default() }).await;
    let detail = refusal(&world).await;
    assert!(detail.contains("refused"), "{detail}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_are_reached_directly_go_past_the_proxy() {
    for no_proxy in ["\"127.0.0.0/8\"", "\"redmine.internal\", \"127.0.0.1\"", "\"*\""] {
        let settings = Settings {
            private_link: format!("\n[network]\nproxy = \"{NOBODY}\"\nno_proxy = [{no_proxy}]\n"),
            ..Settings::default()
        };
        let world = World::with(settings).await;
        there_and_back(&world).await;
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_is_no_way_inside() {
    let folder = tempfile::tempdir().expect("a folder");
    for (scheme, proxy) in [("http", Proxy::http().await), ("socks5h", Proxy::socks().await), ("socks5", Proxy::socks().await)] {
        let rest = format!("[network]\n{}", in_url(scheme, &proxy));
        let clock = Arc::new(wicketgate::clock::SystemClock);
        let mut node = TestNode::new(&format!("through-{scheme}"), folder.path(), Role::Private, clock, &rest);
        node.start().await;
        for url in
            ["https://localhost:8443", "https://10.0.0.1", "https://[::1]", "https://169.254.169.254", "https://2130706433"]
        {
            let answer = node.call_as(TOKEN, "POST", "/destinations/check", Some(json!({"url": url}))).await;
            assert_eq!(answer.code(), "address_not_allowed", "{url}: {answer:?}");
        }
        assert_eq!(proxy.asked(), [""; 0]);
        node.stop().await;
    }
}
