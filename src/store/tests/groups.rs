//! Commits in groups, failures, and the lock.

use super::*;

#[tokio::test]
async fn one_that_fails_undoes_only_itself() {
    let f = fresh().await;
    let mut listen = f.store.wakes().listen();
    let jobs = (0..40u128).map(|n| {
        let store = f.store.clone();
        tokio::spawn(async move {
            store
                .write("test", move |tx| {
                    Box::pin(async move {
                        tx.put_twin(&twin(1, n, &n.to_string())).await?;
                        match n % 3 {
                            0 => Ok(()),
                            1 => Err(StoreError::Taken("on purpose".to_owned())),
                            _ => panic!("on purpose"),
                        }
                    })
                })
                .await
        })
    });
    for (n, job) in jobs.collect::<Vec<_>>().into_iter().enumerate() {
        let result = job.await.expect("the caller does not panic");
        assert_eq!(result.is_ok(), n % 3 == 0, "{n}: {result:?}");
    }
    let ids = r!(f.store, tx => tx.twin_ids(con(1)));
    assert_eq!(ids, (0..40).step_by(3).map(tw).collect::<Vec<_>>());
    for n in ids {
        assert_eq!(listen.try_recv().expect("told"), Notice::Twin(n), "only what was stored is told");
    }
    assert!(listen.try_recv().is_err());
}

#[tokio::test]
async fn a_read_cannot_write() {
    let f = fresh().await;
    let result = f.store.read("test", |tx| Box::pin(async move { tx.put_twin(&twin(1, 1, "1")).await })).await;
    assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
    assert!(r!(f.store, tx => tx.twin_by_id(tw(1))).is_none());
}

#[tokio::test]
async fn the_folder_belongs_to_one_process_at_a_time() {
    let f = fresh().await;
    let second = open(&f.dir, &f.clock).await;
    assert!(matches!(&second, Err(StoreError::InUse(folder)) if *folder == f.dir.path().display().to_string()));
    w!(f.store, tx => async { tx.put_twin(&twin(1, 1, "1")).await }).expect("stored");
    f.store.close().await;
    f.store.close().await;
    assert!(matches!(w!(f.store, tx => tx.clear_inbox(con(1))), Err(StoreError::Closed)));
    assert!(matches!(f.store.probe().await, Err(StoreError::Closed)));
    let again = open(&f.dir, &f.clock).await.expect("free again");
    assert!(r!(again, tx => tx.twin_by_id(tw(1))).is_some());
}

#[tokio::test]
async fn a_probe_writes() {
    let f = fresh().await;
    f.store.probe().await.expect("the disk takes it");
}

#[tokio::test]
async fn a_wrong_url_is_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(START));
    for url in ["mysql:x", "sqlite:"] {
        let result = Store::open(url, dir.path(), Arc::new(Sealer::new(&[[7; 32]])), clock.clone()).await;
        assert!(matches!(result, Err(StoreError::Broken(_))), "{url}");
    }
}

#[tokio::test]
async fn the_key_file_is_made_once_and_read_again() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("data");
    let clock = ManualClock::new(START);
    let key = keyfile::load_or_create(&folder, &clock).expect("made");
    assert_eq!(keyfile::load_or_create(&folder, &clock).expect("read"), key);
    let file = folder.join(keyfile::NAME);
    assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    std::fs::write(&file, "short").expect("written");
    assert!(matches!(keyfile::load_or_create(&folder, &clock), Err(StoreError::Broken(_))));
}
