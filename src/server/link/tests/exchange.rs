//! What flows between two nodes of ours.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_flow_both_ways_over_one_private_dialler() {
    let (near, far, id) = joined(Kind::Private).await;
    far.hand_over(id, "from far").await;
    assert_eq!(near.until_arrived(id, 1).await, ["from far"]);
    near.hand_over(id, "from near").await;
    assert_eq!(far.until_arrived(id, 1).await, ["from near"]);
    until("acknowledgement", async || (near.state(id).await.acked == 1 && far.state(id).await.acked == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_public_nodes_post_to_each_other() {
    let (near, far, id) = joined(Kind::Public).await;
    near.hand_over(id, "a").await;
    far.hand_over(id, "b").await;
    assert_eq!(far.until_arrived(id, 1).await, ["a"]);
    assert_eq!(near.until_arrived(id, 1).await, ["b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_arrives_once_and_in_order() {
    let (near, far, id) = joined(Kind::Private).await;
    let keys = |side: &str| (0..1000).map(|n| format!("{side}{n:04}")).collect::<Vec<_>>();
    near.hand_over_many(id, keys("n")).await;
    far.hand_over_many(id, keys("f")).await;
    assert_eq!(far.until_arrived(id, 1000).await, keys("n"));
    assert_eq!(near.until_arrived(id, 1000).await, keys("f"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_switches_must_be_on_and_what_waits_is_kept() {
    let (near, far, id) = joined(Kind::Private).await;
    far.hand_over(id, "one").await;
    near.until_arrived(id, 1).await;
    near.update(near.connection(id).await.deactivate().expect("joined")).await;
    until("switch", async || (far.connection(id).await.remote.expect("known").state == Switch::Deactivated).then_some(())).await;
    far.hand_over(id, "two").await;
    near.hand_over(id, "three").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(far.arrived(id).await.is_empty());
    near.update(near.connection(id).await.activate(SystemClock.now()).expect("joined")).await;
    assert_eq!(far.until_arrived(id, 1).await, ["three"]);
    assert_eq!(near.until_arrived(id, 2).await, ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_node_goes_on_at_once() {
    let (near, far, id) = joined(Kind::Private).await;
    far.hand_over(id, "one").await;
    near.until_arrived(id, 1).await;
    let far = far.restart("far").await;
    let began = std::time::Instant::now();
    far.hand_over(id, "two").await;
    assert_eq!(near.until_arrived(id, 2).await, ["one", "two"]);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// Copies a store's file while it is closed.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_is_noticed_and_a_new_epoch_begins() {
    let (near, mut far, id) = joined(Kind::Private).await;
    far.hand_over(id, "one").await;
    near.until_arrived(id, 1).await;
    far.stop().await;
    let backup = tempfile::tempdir().expect("a folder");
    copy(far.dir.as_ref().expect("a folder").path(), backup.path());
    let mut far = far.restart("far").await;
    far.hand_over(id, "two").await;
    near.until_arrived(id, 2).await;
    far.stop().await;
    let far = Node::start_in("far", false, backup, Duration::from_secs(20)).await;
    until("new epoch", async || (near.state(id).await.epoch == 2 && far.state(id).await.epoch == 2).then_some(())).await;
    assert!(far.state(id).await.set_back_here && !near.state(id).await.set_back_here);
    far.hand_over(id, "three").await;
    near.hand_over(id, "four").await;
    assert_eq!(near.until_arrived(id, 1).await, ["three"]);
    assert_eq!(far.until_arrived(id, 1).await, ["four"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_connection_is_told() {
    let (near, far, id) = joined(Kind::Private).await;
    near.link.say_goodbye(&near.connection(id).await).await;
    near.store
        .write("test", move |tx| {
            Box::pin(async move {
                tx.delete_connection(id).await?;
                tx.wake(crate::store::Topic::Outbox(id));
                Ok(())
            })
        })
        .await
        .expect("deleted");
    let there = until("goodbye", async || {
        let there = far.connection(id).await;
        (there.remote.as_ref().expect("known").state == Switch::Gone).then_some(there)
    })
    .await;
    assert!(there.paused.is_some() && there.status == Status::Active);
}
