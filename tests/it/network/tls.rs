//! Private authorities, and far sides that want a certificate of the caller.

use super::*;
use crate::support::net::front::{Authority, Front};
use wicketgate::config::Role;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_authority_and_a_client_certificate_are_asked_for_by_name_and_then_flow() {
    let folder = tempfile::tempdir().expect("a folder");
    let (authority, callers) = (Authority::new(), Authority::new());
    let front = Front::start(&authority.issue(folder.path(), "front", &["127.0.0.1"]), Some(&callers)).await;
    let own = callers.issue(folder.path(), "relay", &["relay"]);
    let ca = format!("ca_file = {:?}\n", authority.file(folder.path()));
    let cert = format!("client_cert = {{ cert = {:?}, key = {:?} }}\n", own.cert, own.key);

    let settings = Settings { public_url: Some(front.url()), joined: false, ..Settings::default() };
    let mut world = World::with(settings).await;
    front.aim(address_of(&world.public.url));
    let made = world
        .public
        .post(
            "/connections",
            json!({"tracker": "support", "destination_url": null, "mode": "basic", "local_short_name": "support",
                "remote_short_name": "helpdesk"}),
        )
        .await;
    let asked = json!({"code": made["invitation"]["code"], "tracker": "helpdesk"});
    let plain = world.private.config.clone();
    // `[network]` names what is wrong, `[link]` sets it again.
    for (network, link, missing) in [
        (String::new(), String::new(), "ca_file"),
        (ca.clone(), String::new(), "client_cert"),
        (format!("client_cert = {{ cert = {:?}, key = {:?} }}\n", own.cert, own.key), String::new(), "ca_file"),
    ] {
        world.private.stop().await;
        world.private.config = plain.replacen("[link]\n", &format!("[network]\n{network}\n[link]\n{link}"), 1);
        world.private.start().await;
        let answer = world.private.call("POST", "/invitations/accept", Some(asked.clone())).await;
        assert_eq!(answer.code(), "peer_unreachable", "{answer:?}");
        assert!(answer.body["detail"].as_str().expect("words").contains(missing), "{missing}: {answer:?}");
    }
    world.private.stop().await;
    let other = Authority::new();
    std::fs::write(folder.path().join("other.pem"), &other.pem).expect("written");
    let wrong = format!("[network]\nca_file = {:?}\n\n[link]\n{ca}{cert}", folder.path().join("other.pem"));
    world.private.config = plain.replacen("[link]\n", &wrong, 1);
    world.private.start().await;
    let joined = world.private.post("/invitations/accept", asked).await;
    world.connection = joined["id"].as_str().expect("an id").to_owned();
    let path = format!("/connections/{}/triggers", world.connection);
    world.public.post(&path, json!({"entity_type": "Case", "filter": ""})).await;
    world.new_case(json!({"Subject": "over TLS"}));
    world.issue_with("over TLS").await;
    nothing_lost_or_doubled(&world, 1).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tracker_has_its_own_authority_and_certificate() {
    let world = World::with(Settings { joined: false, ..Settings::default() }).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (authority, callers) = (Authority::new(), Authority::new());
    let front = Front::start(&authority.issue(folder.path(), "front", &["127.0.0.1"]), Some(&callers)).await;
    front.aim(address_of(world.tracker.entities_url().trim_end_matches("/entities")));
    let own = callers.issue(folder.path(), "relay", &["relay"]);
    let direct = world.tracker.entities_url();
    let path = &direct[direct.find("/entities").expect("a path")..];
    let keys = format!(
        "ca_file = {:?}\nclient_cert = {{ cert = {:?}, key = {:?} }}\n",
        authority.file(folder.path()),
        own.cert,
        own.key
    );
    for (keys, ok) in [(keys.as_str(), true), ("", false)] {
        let rest = format!(
            "[trackers.helpdesk]\nkind = \"webhook\"\nurl = \"{0}{path}\"\nread_url = \"{0}{path}\"\nsecret = \"{1}\"\n{keys}",
            front.url(),
            crate::support::HOOK_SECRET
        );
        let clock = Arc::new(wicketgate::clock::SystemClock);
        let mut node = TestNode::new(&format!("tls-{ok}"), folder.path(), Role::Private, clock, &rest);
        node.start().await;
        let checked = node.post("/trackers/helpdesk/check", json!({})).await;
        assert_eq!(checked["ok"], ok, "{checked}");
        assert!(ok || checked.to_string().contains("ca_file"), "{checked}");
        node.stop().await;
    }
    world.stop().await;
}
