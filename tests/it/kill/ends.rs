//! How a node ends and begins: orderly on SIGTERM, once per data folder.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wicketgate::sandbox::tracker::{TrackerFault, TrackerFaultKind};

use super::stage::Stage;
use crate::support::{Settings, process::Process, until, until_said};

/// An orderly stop takes no longer.
const STOP: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_a_data_folder_is_refused() {
    let mut stage = Stage::with(Settings::default()).await;
    let elsewhere = stage.world.public.config.replace("listen = \"127.0.0.1:", "listen = \"127.0.0.2:");
    let folder = stage.world.dir.path().join("second");
    std::fs::create_dir(&folder).expect("made");
    let second = Process::new("serve", "http://127.0.0.2", &folder, &elsewhere);
    let (code, said) = second.refused();
    assert_eq!(code, Some(1), "{said}");
    let data = stage.world.public.dir.display().to_string();
    assert!(said.contains("another process uses the data folder") && said.contains(&data), "{said}");
    let case = stage.world.new_case(json!({"Subject": "Not disturbed"}));
    stage.world.issue_with("Not disturbed").await;
    // A process that was killed holds nothing.
    stage.public.kill();
    stage.public.start().await;
    stage.world.edit_case(&case, json!({"Subject": "Goes on"}));
    stage.world.issue_with("Goes on").await;
}

/// Passes bytes on, and keeps what each side said.
struct Tap {
    url: String,
    said: Arc<Mutex<(Vec<u8>, Vec<u8>)>>,
}

impl Tap {
    async fn start(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let said: Arc<Mutex<(Vec<u8>, Vec<u8>)>> = Arc::default();
        let (to, kept) = (to.trim_start_matches("http://").to_owned(), said.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&to).await else { continue };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let (asked, answered) = (kept.clone(), kept.clone());
                tokio::spawn(pass(from_client, to_server, move |bytes| lock(&asked).0.extend(bytes)));
                tokio::spawn(pass(from_server, to_client, move |bytes| lock(&answered).1.extend(bytes)));
            }
        });
        Self { url, said }
    }

    /// Requests, and answers to them.
    fn counts(&self) -> (usize, usize) {
        let said = lock(&self.said);
        let count = |bytes: &[u8], what: &str| String::from_utf8_lossy(bytes).matches(what).count();
        (count(&said.0, " HTTP/1.1\r\n"), count(&said.1, "HTTP/1.1 "))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pass(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, keep: impl Fn(&[u8])) {
    let mut bytes = vec![0; 65_536];
    while let Ok(count) = from.read(&mut bytes).await {
        if count == 0 || to.write_all(&bytes[..count]).await.is_err() {
            break;
        }
        keep(&bytes[..count]);
    }
    // The other end may have gone first.
    let _ = to.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_poll_is_answered_when_its_node_stops() {
    let mut stage = Stage::with(Settings::default()).await;
    let tap = Tap::start(&stage.world.public.url).await;
    let path = format!("/connections/{}", stage.world.connection);
    stage.world.private.patch(&path, json!({"remote": {"url": tap.url}})).await;
    stage.private.kill();
    stage.private.start().await;
    stage.world.new_case(json!({"Subject": "Before"}));
    stage.world.issue_with("Before").await;
    stage.quiet().await;
    until("a poll that is held", || tap.counts().0 == tap.counts().1 + 1).await;
    let (status, took) = stage.public.terminate();
    assert!(status.success() && took < STOP, "{status} after {took:?}\n{}", stage.public.log());
    until("the poll's answer", || tap.counts().0 == tap.counts().1).await;
    stage.public.start().await;
    stage.world.new_case(json!({"Subject": "After"}));
    stage.world.issue_with("After").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_in_hand_is_given_back_and_goes_on_at_the_next_start() {
    let mut stage = Stage::with(Settings::default()).await;
    let tracker = stage.world.tracker.handle.clone();
    tracker.fail(TrackerFault::on_writes(1, TrackerFaultKind::HangAfterWork(60_000)));
    let case = stage.world.new_case(json!({"Subject": "In hand"}));
    until("the write", || !tracker.log().is_empty()).await;
    let (status, took) = stage.private.terminate();
    assert!(status.success() && took < STOP, "{status} after {took:?}\n{}", stage.private.log());
    stage.private.start().await;
    until_said("the twin in sync", || async {
        stage.world.public.twin_of(&case).await.is_some_and(|twin| twin["status"] == "in_sync")
    })
    .await;
    let writes = tracker.log();
    assert!(writes.len() == 2 && writes[0].webhook_id == writes[1].webhook_id, "{writes:?}");
    assert_eq!(tracker.count(), 1);
    // A goodbye was said: the next start need not wait until the former run is forgotten.
    let (status, _) = stage.private.terminate();
    assert!(status.success());
    let begun = std::time::Instant::now();
    stage.private.start().await;
    stage.world.edit_case(&case, json!({"Subject": "At once"}));
    stage.world.issue_with("At once").await;
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
}
