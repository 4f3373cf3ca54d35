//! `docs/RULES.md` is held to what it says: every example runs, and leaves what stands below it.
//!
//! A block ```` ```js outgoing ```` (or `incoming`, `incoming first`, `incoming deleted`) is an example; the blocks until the
//! next one say what it leaves: `json` the replica or what was assigned, `json wishes`, `text log`, `text skip`, `text error`.
//! What examples ask is answered by the block `json answers`.

use async_trait::async_trait;

use super::*;
use crate::domain::ask::{Ask, Host, MOST_ANSWER, Moment, Request, Unanswered};

const PAGE: &str = include_str!("../../../docs/RULES.md");

struct Block {
    kind: String,
    text: String,
    line: usize,
}

fn blocks() -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (at, line) in PAGE.lines().enumerate() {
        if let Some(kind) = line.strip_prefix("```") {
            open = !open;
            if open {
                blocks.push(Block { kind: kind.to_owned(), text: String::new(), line: at + 1 });
            }
        } else if open && let Some(block) = blocks.last_mut() {
            block.text.push_str(line);
            block.text.push('\n');
        }
    }
    blocks
}

fn json_of(block: &Block) -> Value {
    serde_json::from_str(&block.text).unwrap_or_else(|error| panic!("RULES.md:{}: {error}", block.line))
}

fn stage(kind: &str, samples: &BTreeMap<&str, Value>) -> RuleInput {
    let view = EntityView {
        entity_type: "Case".to_owned(),
        key: "5005g00000ABCDEAA2".to_owned(),
        fields: fields(samples["entity"].clone()),
        ..EntityView::default()
    };
    let connection = ConnectionView {
        id: "c1".to_owned(),
        name: "support_to_helpdesk".to_owned(),
        mode: Mode::Script,
        local_short_name: "support".to_owned(),
        remote_short_name: "helpdesk".to_owned(),
    };
    let described = Described::from([("Case".to_owned(), view.fields.keys().cloned().collect())]);
    let first = kind.ends_with("first");
    if kind == "js outgoing" {
        let changed = vec!["Status".to_owned()];
        return RuleInput::Outgoing { entity: view, previous: None, changed, first_sync: false, connection, described };
    }
    RuleInput::Incoming {
        entity: if first { EntityView { entity_type: "Case".to_owned(), ..EntityView::default() } } else { view },
        replica: fields(samples["replica"].clone()),
        previous: (!first).then(|| fields(samples["previous"].clone())),
        first_sync: first,
        deleted: kind.ends_with("deleted"),
        connection,
        listed: Listed::from([("Priority".to_owned(), vec!["High".to_owned(), "Low".to_owned()])]),
        described,
    }
}

/// Answers as the page says.
struct Clerk(Value);

#[async_trait]
impl Host for Clerk {
    fn moment(&self) -> Moment {
        Nobody.moment()
    }

    async fn ask(&self, ask: Ask) -> Result<Value, Unanswered> {
        let name = match &ask {
            Ask::Request(Request { method, path, .. }) => {
                format!("{} {}", method.as_str(), path.split('?').next().unwrap_or_default())
            }
            Ask::User { email } => format!("user {email}"),
            Ask::Twin { key, .. } => format!("twin {key}"),
            Ask::Store { .. } => "STORE".to_owned(),
        };
        match &self.0[&name]["refused"] {
            Value::Null => Ok(self.0[&name].clone()),
            refused => {
                let word = |name: &str| refused[name].as_str().expect("a word");
                Err(Unanswered::refused(word("code"), word("message")))
            }
        }
    }
}

/// What the run left, in the form of a block of this kind.
fn left(kind: &str, result: &Result<RuleOutput, RuleError>, outgoing: bool) -> Value {
    let output = match result {
        Err(error) if kind == "text error" => return Value::String(error.to_string() + "\n"),
        Err(error) => panic!("{error}"),
        Ok(output) => output,
    };
    match kind {
        "json" => Value::Object(if outgoing { output.replica.clone() } else { output.assigned.clone() }),
        "json wishes" => {
            let mut wishes = serde_json::to_value(&output.wishes).expect("JSON");
            let empty = [Value::Null, json!(false), json!([])];
            wishes.as_object_mut().expect("an object").retain(|_, wish| !empty.contains(wish));
            wishes
        }
        "text log" => Value::String(output.log.join("\n") + "\n"),
        "text skip" => Value::String(output.skip.clone().unwrap_or_default() + "\n"),
        other => panic!("no block is called `{other}`"),
    }
}

#[tokio::test]
async fn every_example_of_the_reference_leaves_what_it_says() {
    let blocks = blocks();
    let sample = |name: &'static str| {
        let block = blocks.iter().find(|block| block.kind == format!("json {name}")).expect("a sample");
        (name, json_of(block))
    };
    let samples = BTreeMap::from([sample("entity"), sample("replica"), sample("previous")]);
    let clerk = Clerk(sample("answers").1);
    let (pool, mut examples) = (pool(), 0);
    let mut rest = blocks.as_slice();
    while let Some((block, after)) = rest.split_first() {
        rest = after;
        if !block.kind.starts_with("js ") {
            continue;
        }
        examples += 1;
        let outgoing = block.kind == "js outgoing";
        let known = ["js outgoing", "js incoming", "js incoming first", "js incoming deleted"].contains(&block.kind.as_str());
        assert!(known, "RULES.md:{}: which rule is this?", block.line);
        let result = pool.run(&block.text, &stage(&block.kind, &samples), &clerk).await;
        let said: Vec<&Block> = after
            .iter()
            .take_while(|block| !block.kind.starts_with("js "))
            .filter(|block| block.kind != "json answers")
            .collect();
        assert!(!said.is_empty(), "RULES.md:{}: what does it leave?", block.line);
        for said in said {
            let expected = if said.kind.starts_with("json") { json_of(said) } else { Value::String(said.text.clone()) };
            assert_eq!(left(&said.kind, &result, outgoing), expected, "RULES.md:{}", block.line);
        }
    }
    assert!(examples > 20, "the examples were found");
}

#[tokio::test]
async fn every_helper_is_in_the_reference() {
    let source =
        "for (const [name, helper] of Object.entries({ nodeHelper, commentHelper, attachmentHelper, syncHelper, httpClient, log })) {
        for (const member of Object.keys(helper)) log.info(`${name}.${member}`);
    }";
    let log = pool().run(source, &outgoing(json!({})), &Nobody).await.expect("runs").log;
    let names: Vec<&str> = log.iter().filter_map(|line| line.strip_prefix("info: ")).collect();
    let notations = names.iter().filter(|name| name.contains("To")).filter(|name| !name.ends_with("toDate")).count();
    assert_eq!((names.len() > 30, notations), (true, 20 + 1), "each notation to each other, and `linkTo`");
    for name in names {
        // The pairs of notations are told as a rule.
        let pair =
            ["html", "markdown", "plain", "textile", "wiki"].iter().any(|from| name.starts_with(&format!("nodeHelper.{from}To")));
        // So are the ways to call.
        let way = name.strip_prefix("httpClient").is_some_and(|way| PAGE.contains(&format!("`{way}(path")));
        assert!(pair || way || PAGE.contains(name), "`{name}` is not in RULES.md");
    }
}

#[test]
fn the_reference_tells_the_limits_that_there_are() {
    let limits = PAGE.split_once("## Limits").expect("the table").1;
    for row in [
        format!("| own time | {} s |", limits::WALL.as_secs()),
        format!("| memory, stack | {} MiB, {} KiB |", limits::MEMORY >> 20, limits::STACK >> 10),
        format!("| rule and record together | {} MiB |", limits::MAX_FRAME >> 20),
        format!("| replica | 1,000,000 bytes of JSON, {} deep |", replica::MAX_DEPTH),
        format!("| log | {} lines of 2,000 letters", limits::LOG_LINES),
        format!("| records whose sync it starts | {} |", limits::SYNCS),
        format!("| a text to convert | {} KiB |", limits::CONVERTED >> 10),
        format!(
            "| asks | {}, of {} KiB each; one may take {} s |",
            limits::ASKS,
            limits::ASKED >> 10,
            limits::ASK_WALL.as_secs()
        ),
        format!("| answers to them | {} MiB each, {} MiB together |", MOST_ANSWER >> 20, limits::ANSWERED >> 20),
    ] {
        assert!(limits.contains(&row), "`{row}` is not in the table");
    }
    assert_eq!((limits::LINE, replica::MAX_BYTES), (2_000, 1_000_000));
}
