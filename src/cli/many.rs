//! What is done to all that a filter passes, call by call until the node says that it was all.

use serde_json::{Value, json};

use super::{
    api::ApiClient,
    output::{Output, clean, complain},
};

/// `Ok(false)`: some could not be done, and that was told. `action` is the word for it, and whether a program listens.
pub(super) async fn all(
    api: &ApiClient,
    path: &[&str],
    filter: Value,
    (action, as_json): (&str, bool),
    out: &mut Output,
) -> anyhow::Result<bool> {
    let (mut done, mut failed, mut cursor) = (0, 0, Value::Null);
    loop {
        let answer = api.post(path, json!({ "filter": filter, "cursor": cursor })).await?;
        done += answer["done"].as_u64().unwrap_or(0);
        for one in answer["failed"].as_array().into_iter().flatten() {
            failed += 1;
            let word = |name: &str| clean(one[name].as_str().unwrap_or_default());
            complain(&format!("{}: {}", word("field"), word("message")));
        }
        // A cursor that does not move would never end.
        if answer["next"].is_null() || answer["next"] == cursor {
            break;
        }
        cursor = answer["next"].clone();
    }
    if as_json {
        out.json(&json!({ "done": done, "failed": failed }))?;
    } else {
        out.line(&format!("{action}: {done} done, {failed} failed"))?;
    }
    Ok(failed == 0)
}
