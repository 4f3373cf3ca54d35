//! Inviting, reading, joining, repeating, re-keying.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_is_read_and_accepted() {
    let near = Node::start("near", true).await;
    let far = Node::start("far", false).await;
    let offered = near.offer(Kind::Private, false).await;
    let code = near.link.invite(&offered, HOUR).await.expect("a code");
    let seen = far.link.inspect(code.code.expose()).await.expect("reads");
    assert_eq!((seen.node.as_str(), seen.local_short_name.as_str()), ("near", "there"));
    assert_eq!(seen.key_fingerprint, near.link.fingerprint());
    assert_eq!(near.link.accept(code.code.expose(), "t", None, None).await.expect_err("own").code, "cannot_join");
    assert_eq!(far.link.accept(code.code.expose(), "x", None, None).await.expect_err("no tracker").code, "validation_failed");

    let accepted = far.link.accept(code.code.expose(), "t", Some("mine".to_owned()), None).await.expect("joined");
    assert_eq!((accepted.name.as_str(), accepted.side, accepted.prefer), ("mine", Side::Accepting, Prefer::Remote));
    let there = near.connection(offered.id).await;
    assert_eq!(there.status, Status::Active);
    let remote = there.remote.expect("known");
    assert_eq!((remote.node.as_str(), remote.url), ("far", None));
    assert_eq!(remote.key_fingerprint, far.link.fingerprint());

    // The same key may repeat; another never gets in.
    far.link.accept(code.code.expose(), "t", None, None).await.expect("repeated");
    let third = Node::start("third", false).await;
    assert_eq!(third.link.accept(code.code.expose(), "t", None, None).await.expect_err("late").code, "already_accepted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_that_cannot_be_used_say_why() {
    let near = Node::start("near", true).await;
    let far = Node::start("far", false).await;
    let offered = near.offer(Kind::Private, false).await;
    let first = near.link.invite(&offered, HOUR).await.expect("a code");
    let second = near.link.invite(&offered, HOUR).await.expect("a code");
    assert_eq!(far.link.accept(first.code.expose(), "t", None, None).await.expect_err("replaced").code, "invitation_revoked");
    near.link.revoke(offered.id).await.expect("revoked");
    assert_eq!(far.link.accept(second.code.expose(), "t", None, None).await.expect_err("revoked").code, "invitation_revoked");
    assert_eq!(far.link.invite(&offered, HOUR).await.expect_err("no address").code, "cannot_invite");
    assert!(far.link.check_destination(near.url.as_ref().expect("public")).await.expect("asked").is_node);
    let nobody = url::Url::parse("http://127.0.0.1:9").expect("a URL");
    assert!(!far.link.check_destination(&nobody).await.expect("asked").is_node);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmation_is_waited_for_and_travels() {
    let near = Node::start("near", true).await;
    let far = Node::start("far", false).await;
    let offered = near.offer(Kind::Private, true).await;
    let code = near.link.invite(&offered, HOUR).await.expect("a code");
    let accepted = far.link.accept(code.code.expose(), "t", None, None).await.expect("joined");
    assert_eq!((accepted.status, accepted.awaiting), (Status::Pending, Some(Awaiting::Confirmation)));
    far.hand_over(offered.id, "early").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(near.arrived(offered.id).await.is_empty());
    near.update(near.connection(offered.id).await.confirmed(SystemClock.now()).expect("waits")).await;
    assert_eq!(near.until_arrived(offered.id, 1).await, ["early"]);
    assert_eq!(far.connection(offered.id).await.status, Status::Active);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_node_takes_the_place_of_a_lost_one() {
    let (near, far, id) = joined(Kind::Private).await;
    far.hand_over(id, "before").await;
    near.until_arrived(id, 1).await;
    let code = near.link.invite(&near.connection(id).await, HOUR).await.expect("a code");
    let heir = Node::start("heir", false).await;
    heir.link.accept(code.code.expose(), "t", None, None).await.expect("joined");
    let there = near.connection(id).await;
    assert_eq!((there.status, there.awaiting), (Status::Pending, Some(Awaiting::Confirmation)));
    assert_eq!(there.remote.clone().expect("known").key_fingerprint, heir.link.fingerprint());
    near.update(there.confirmed(SystemClock.now()).expect("waits")).await;
    heir.hand_over(id, "after").await;
    assert_eq!(near.until_arrived(id, 1).await, ["after"]);
    assert_eq!((near.state(id).await.epoch, heir.state(id).await.epoch), (2, 2));
    assert!(near.state(id).await.resyncing && heir.state(id).await.resyncing);
}
