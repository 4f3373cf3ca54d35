//! Whatever a batch holds, what has its number is taken as it came, and what has none stops nobody.

use proptest::{collection::vec, prelude::*};
use uuid::Uuid;

use super::*;
use crate::{anything, link::protocol::Asked};

/// How an event is handed over.
#[derive(Clone, Debug)]
enum Handed {
    /// Under its number, whatever else is wrong with it.
    Counted(anything::Bent),
    /// Anything, between two that have numbers.
    Stray(serde_json::Value),
}

fn batch() -> impl Strategy<Value = Vec<Handed>> {
    let handed = prop_oneof![
        3 => anything::event().prop_map(Handed::Counted),
        1 => anything::json().prop_map(Handed::Stray),
    ];
    vec(handed, 1..12)
}

fn id(n: u64) -> String {
    Uuid::from_u128(u128::from(n)).to_string()
}

proptest! {
    #[test]
    fn what_has_its_number_is_taken_as_it_came(batch in batch()) {
        let mut n = 0;
        let texts: Vec<(bool, String)> = batch.iter().map(|handed| match handed {
            Handed::Counted(bent) => {
                n += 1;
                (true, bent.text(n, &id(n), &id(99), &["n"]))
            }
            Handed::Stray(value) => (false, value.to_string()),
        }).collect();
        let all: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
        let body = format!(r#"{{"run":"r","epoch":1,"ack":0,"events":[{}]}}"#, all.join(","));
        let asked: Asked = serde_json::from_str(&body).expect("no batch is refused for an event");
        let events = read(&asked.events);
        let counted: Vec<&str> = texts.iter().filter(|(counted, _)| *counted).map(|(_, text)| text.as_str()).collect();
        let known: Vec<&str> = events.iter().map(|(_, _, raw)| raw.get()).filter(|raw| counted.contains(raw)).collect();
        prop_assert_eq!(&known, &counted);
        let heads: Vec<Head> = events.iter().map(|(head, ..)| *head).collect();
        match judge_batch(0, None, None, &heads) {
            Batch::Take(from, to) => {
                let taken = heads[from..to].iter().map(|head| head.n);
                prop_assert!(taken.eq(1..=(to - from) as u64), "{heads:?}");
            }
            Batch::Nothing => prop_assert!(counted.is_empty()),
            Batch::Mismatch => prop_assert!(false, "nobody was set back"),
        }
        if events.len() == counted.len() {
            prop_assert_eq!(judge_batch(0, None, None, &heads), if n == 0 { Batch::Nothing } else { Batch::Take(0, counted.len()) });
        }
    }
}
