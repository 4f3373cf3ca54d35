//! How long each page of the console takes on a node with 100,000 twins, and how much the first view weighs. Prints numbers,
//! asserts nothing.
//!
//! `cargo bench --bench console`.

#[path = "support/node.rs"]
mod node;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use node::{Node, SERVER, folder, pin_load};
use serde_json::{Map, Value, json};
use uuid::Uuid;
use wicketgate::{
    clock::{Clock, SystemClock, Time},
    domain::{
        connection::{self, Connection},
        error::{ErrorRecord, Scope},
        history::{Direction, FieldChange, HistoryLine, Outcome},
        ids::{ConnectionId, EntityRef, ErrorId, Side, TwinId},
        twin::{Memory, Status, Twin},
    },
    secret::Sealer,
    store::{Store, keyfile},
};

const CONNECTION: ConnectionId = ConnectionId(Uuid::from_u128(1));
const TWINS: u64 = 100_000;
/// Twins that are parked, all by the same error.
const PARKED: u64 = 1_000;
/// Steps of each twin's story.
const STEPS: i64 = 3;
const ROUNDS: usize = 200;
const PASSWORD: &str = "correct horse battery";

fn main() {
    pin_load();
    let folder = folder();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let began = Instant::now();
    runtime.block_on(fill(&folder.path().join("serve")));
    println!("{TWINS} twins with {STEPS} steps each, {PARKED} parked: filled in {:.0} s", began.elapsed().as_secs_f64());
    let trackers = "[trackers.support]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:9/entities\"\n\
                    secret = \"whsec_ZGVtby10cmFja2VyLXNlY3JldC0wMDAwMDAwMQ==\"";
    let node = Node::start("serve", SERVER, folder.path(), trackers);
    let (pages, micros) = node.server.busy(|| runtime.block_on(measure(&node)));
    println!("core of the node: {:.1} ms a page", micros / 1e3 / pages as f64);
}

/// Tells each page's time; answers how many were asked for.
async fn measure(node: &Node) -> usize {
    node.api("POST", "/users", Some(json!({"name": "bench", "role": "admin", "password": PASSWORD}))).await;
    let visitor = Visitor::sign_in(node).await;
    let (twin, error) = (TwinId(Uuid::from_u128(77)), node.api("GET", "/errors?limit=1", None).await);
    let connection = format!("/connections/{CONNECTION}");
    let pages = [
        "/".to_owned(),
        "/connections".to_owned(),
        connection.clone(),
        format!("{connection}/triggers"),
        format!("{connection}/rules"),
        "/twins".to_owned(),
        "/twins?key=K-77".to_owned(),
        "/twins?status=parked".to_owned(),
        format!("/twins/{twin}"),
        "/errors".to_owned(),
        format!("/errors/{}", error["items"][0]["id"].as_str().expect("an id")),
        "/queue".to_owned(),
        "/jobs".to_owned(),
        "/trackers".to_owned(),
        "/settings".to_owned(),
    ];
    let asked = pages.len() * ROUNDS;
    for page in pages {
        let (mut took, mut bytes) = (Vec::new(), 0);
        for _ in 0..ROUNDS {
            let began = Instant::now();
            bytes = visitor.get(&page).await.len();
            took.push(began.elapsed());
        }
        took.sort();
        let at = |share: usize| took[took.len() * share / 100].as_secs_f64() * 1e3;
        println!(
            "{:60} p50 {:>6.1} ms, p95 {:>6.1} ms (under 20)   {:>6.1} kB",
            shown(&page),
            at(50),
            at(95),
            bytes as f64 / 1e3
        );
    }
    println!("first view, uncompressed: {:.1} kB (under 60 compressed)", visitor.first_view("/connections").await as f64 / 1e3);
    asked
}

/// Ids say nothing to a reader of figures.
fn shown(page: &str) -> String {
    page.split('/').map(|part| if part.len() == 36 { "{id}" } else { part }).collect::<Vec<_>>().join("/")
}

struct Visitor {
    http: reqwest::Client,
    base: String,
    cookie: String,
}

impl Visitor {
    async fn sign_in(node: &Node) -> Self {
        let http = wicketgate::http_client::client(&Default::default(), &wicketgate::http_client::Guard::Operator);
        let (http, base) = (http.expect("a client"), format!("http://{}", node.address));
        let form = [("name", "bench"), ("password", PASSWORD), ("next", "/")];
        let request = http.post(format!("{base}/sign-in")).header("sec-fetch-site", "same-origin").form(&form);
        let answer = request.send().await.expect("an answer");
        let cookie = answer.headers().get("set-cookie").and_then(|value| value.to_str().ok()).expect("a cookie");
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        Self { http, base, cookie }
    }

    async fn get(&self, path: &str) -> String {
        let request = self.http.get(format!("{}{path}", self.base)).header("cookie", &self.cookie);
        let answer = request.timeout(Duration::from_secs(30)).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.text().await.expect("a page")
    }

    /// Bytes of a page with all that it loads.
    async fn first_view(&self, path: &str) -> usize {
        let page = self.get(path).await;
        let mut bytes = page.len();
        for asset in page.split('"').filter(|part| part.starts_with("/assets/")) {
            bytes += self.get(asset).await.len();
        }
        bytes
    }
}

async fn fill(data: &Path) {
    std::fs::create_dir_all(data).expect("a folder");
    // The node that starts on it finds the key that it would have made.
    let key = keyfile::load_or_create(data, &SystemClock).expect("a key");
    let store = Store::open("sqlite:wicketgate.db", data, Arc::new(Sealer::new(&[key])), Arc::new(SystemClock)).await;
    let store = store.expect("opens");
    store.write("connection", |tx| Box::pin(async move { tx.insert_connection(&connection()).await })).await.expect("stored");
    for part in 0..TWINS / 1_000 {
        let numbers: Vec<u64> = (part * 1_000..(part + 1) * 1_000).collect();
        let stored = store.write("twins", move |tx| {
            Box::pin(async move {
                for number in numbers {
                    tx.put_twin(&twin(number)).await?;
                    let lines: Vec<HistoryLine> = (0..STEPS).map(|step| line(number, step)).collect();
                    tx.add_history(&lines).await?;
                    if number < PARKED {
                        tx.put_error(&error(number)).await?;
                    }
                }
                Ok(())
            })
        });
        stored.await.expect("stored");
    }
    store.close().await;
}

fn now() -> Time {
    SystemClock.now()
}

fn fields() -> Map<String, Value> {
    let fields = json!({"key": "K", "summary": "Pump stops under load", "description": "Told by the customer. ".repeat(10),
        "status": "New", "priority": "Medium"});
    fields.as_object().expect("an object").clone()
}

fn entity(entity_type: &str, key: String) -> Option<EntityRef> {
    Some(EntityRef { entity_type: entity_type.to_owned(), url: Some(format!("https://acme.example/{key}")), key })
}

fn twin(number: u64) -> Twin {
    let memory = Memory { base: fields(), sent: Some(fields()), received: Some(fields()), ..Memory::default() };
    Twin {
        id: TwinId(Uuid::from_u128(u128::from(number))),
        connection_id: CONNECTION,
        tracker: "support".to_owned(),
        status: if number < PARKED { Status::Parked } else { Status::InSync },
        started_by: Side::Inviting,
        local: entity("issue", format!("K-{number}")),
        remote: entity("Case", format!("C-{number}")),
        peer_seen: 0,
        remote_outcome: None,
        created_at: Time(now().0 - number as i64 * 1_000),
        last_synced_at: Some(now()),
        memory,
    }
}

fn line(number: u64, step: i64) -> HistoryLine {
    HistoryLine {
        at: Time(now().0 - (step * 60_000) - (number as i64 % 600) * 1_000),
        tracker: "support".to_owned(),
        entity_type: "issue".to_owned(),
        key: format!("K-{number}"),
        connection_id: Some(CONNECTION),
        twin_id: Some(TwinId(Uuid::from_u128(u128::from(number)))),
        direction: if step % 2 == 0 { Direction::Out } else { Direction::In },
        outcome: Outcome::Sent,
        reason: None,
        changes: vec![FieldChange { field: "summary".to_owned(), from: json!("a"), to: json!("b"), conflict: false }],
        took_ms: 7 + step,
        correlation: None,
    }
}

fn error(number: u64) -> ErrorRecord {
    ErrorRecord {
        id: ErrorId(SystemClock.id()),
        scope: Scope::Twin,
        connection_id: Some(CONNECTION),
        twin_id: Some(TwinId(Uuid::from_u128(u128::from(number)))),
        tracker: Some("support".to_owned()),
        code: "rule_failed".to_owned(),
        title: "The incoming rule failed".to_owned(),
        detail: format!("Error: must not be blue (line 3, column 47), record {number}"),
        advice: "Mend the rule, or the value it stumbles over, then retry.".to_owned(),
        retryable: false,
        attempts: 1,
        occurred_at: now(),
        next_attempt_at: None,
    }
}

fn connection() -> Connection {
    Connection {
        id: CONNECTION,
        name: "acme_to_globex".to_owned(),
        status: connection::Status::Active,
        kind: connection::Kind::Private,
        mode: connection::Mode::Script,
        tracker: "support".to_owned(),
        side: Side::Inviting,
        local_short_name: "acme".to_owned(),
        remote_short_name: "globex".to_owned(),
        description: String::new(),
        created_at: now(),
        activated_at: Some(now()),
        prefer: connection::Prefer::Local,
        links: connection::Links::Matching,
        share_internal_comments: false,
        awaiting: None,
        confirm: false,
        destination_url: None,
        remote: None,
        paused: None,
    }
}
