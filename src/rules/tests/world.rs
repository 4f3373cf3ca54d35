//! What a rule sees and what its helpers do: names, comments and files, wishes, dates, texts.

use super::*;
use crate::domain::{
    comment::{Attachment, Comment, Format},
    rule::{Merge, SyncWish, Wishes},
};

fn scripted(mut input: RuleInput) -> RuleInput {
    let (RuleInput::Outgoing { connection, described: known, .. } | RuleInput::Incoming { connection, described: known, .. }) =
        &mut input;
    connection.mode = Mode::Script;
    let names = ["Id", "Subject", "Status", "Description", "Legacy__c"].map(str::to_owned).to_vec();
    known.insert("Case".to_owned(), names);
    input
}

async fn refused(source: &str, input: &RuleInput) -> String {
    match pool().run(source, input, &Nobody).await {
        Err(RuleError::Script { message, line: Some(_), .. }) => message,
        other => panic!("`{source}` ended with {other:?}"),
    }
}

async fn left(source: &str, input: &RuleInput) -> RuleOutput {
    pool().run(source, input, &Nobody).await.unwrap_or_else(|error| panic!("`{source}`: {error}"))
}

#[tokio::test]
async fn a_field_that_the_tracker_does_not_have_is_named_with_the_nearest_one() {
    let out = scripted(outgoing(json!({"Subject": "S", "Odd": 1})));
    let message = refused("replica.s = entity.Subjct", &out).await;
    assert!(message.contains("entity.Subjct cannot be read: Case has no field of this name; did you mean Subject?"), "{message}");
    assert!(!refused("replica.s = entity.Zebra__c", &out).await.contains("did you mean"));
    // What is there, what is described, what is asked of any object.
    let source = "replica.l = entity.Legacy__c === undefined; replica.o = entity.Odd; replica.in = ['Legacy__c' in entity, 'Subjct' in entity];
        replica.j = JSON.stringify(entity); replica.t = `${entity.entityType} ${entity.key} ${entity.comments.length}`;
        replica.c = [entity.constructor === Object, entity.hasOwnProperty('Odd')]; log.info(entity)";
    let expected = json!({"l": true, "o": 1, "in": [true, false], "j": r#"{"Subject":"S","Odd":1}"#, "t": "Case 00001026 0",
        "c": [true, true]});
    assert_eq!(Value::Object(left(source, &out).await.replica), expected);

    let mut into = scripted(incoming(json!({}), json!({"summary": "S"}), true));
    let message = refused("entity.entityType = 'Case'; entity.Descripton = 'x'", &into).await;
    assert!(message.contains("entity.Descripton cannot be assigned") && message.contains("mean Description?"), "{message}");
    // Another type, of which nothing is told, is not checked; nor is anything in basic mode.
    assert_eq!(left("entity.entityType = 'Task'; entity.Anything = 1", &into).await.assigned["Anything"], 1);
    if let RuleInput::Incoming { connection, .. } = &mut into {
        connection.mode = Mode::Basic;
    }
    assert_eq!(left("entity.entityType = 'Case'; entity.Anything = entity.Nothing ?? 1", &into).await.assigned["Anything"], 1);
}

#[tokio::test]
async fn what_changed_is_known_when_sending() {
    let mut input = outgoing(json!({"Subject": "S", "Status": "New", "Note": "n"}));
    if let RuleInput::Outgoing { previous, changed, .. } = &mut input {
        *previous = Some(fields(json!({"summary": "S", "status": "Open", "gone": 1})));
        *changed = vec!["Status".to_owned()];
    }
    let source = "replica.summary = entity.Subject; replica.status = entity.Status; replica.due = new Date(0);
        log.info(entity.changed.join(), '|', replica.changed.join()); for (const name in entity) log.info(name)";
    let output = left(source, &input).await;
    assert_eq!(output.log, ["info: Status | status,due", "info: Subject", "info: Status", "info: Note"]);
    assert_eq!(output.replica.keys().collect::<Vec<_>>(), ["summary", "status", "due"]);
    let own = left("replica.changed = ['mine']; replica.seen = replica.changed.length", &input).await.replica;
    assert_eq!(Value::Object(own), json!({"changed": ["mine"], "seen": 1}));
    let field = left("replica.c = entity.comments", &outgoing(json!({"comments": "of its own"}))).await.replica;
    assert_eq!(field["c"], "of its own");
}

fn commented() -> RuleInput {
    let replica = json!({
        "comments": [
            {"id": "1", "author": {"name": "Ada", "email": "ada@acme.example"}, "body": "same", "public": true},
            {"id": "2", "author": {"name": "Bob"}, "body": "after", "public": false, "created_at": "2026-11-01T10:00:00Z"},
            {"id": "3", "author": {"name": "Eve"}, "body": "<p>new</p>", "format": "html", "public": true},
        ],
        "attachments": [{"id": "a", "filename": "old.txt"}, {"id": "b", "filename": "new.png", "media_type": "image/png", "size": 12}],
    });
    let before = json!({
        "comments": [
            {"id": "1", "author": {"name": "Ada", "email": "ada@acme.example"}, "body": "same", "public": true, "updated_at": null},
            {"id": "2", "author": {"name": "Bob"}, "body": "before", "public": false},
            {"id": "0", "author": {"name": "Bob"}, "body": "gone"},
        ],
        "attachments": [{"id": "a", "filename": "old.txt"}, {"id": "z", "filename": "gone.txt"}],
    });
    let mut input = incoming(json!({"Subject": "S"}), replica, false);
    if let RuleInput::Incoming { previous, .. } = &mut input {
        *previous = Some(fields(before));
    }
    input
}

#[tokio::test]
async fn comments_that_came_changed_and_went_are_told_apart() {
    let source = "const ids = (list) => list.map((one) => one.id).join();
        log.info(ids(replica.addedComments), ids(replica.changedComments), ids(replica.removedComments));
        log.info(ids(replica.addedAttachments), ids(replica.removedAttachments));
        const [c] = replica.changedComments, [a] = replica.addedAttachments;
        log.info(c.internal, c.created, c.author.name, a.mimetype, a.filesize, Object.keys(replica).join())";
    let log = left(source, &commented()).await.log;
    assert_eq!(log, ["info: 3 2 0", "info: b z", "info: true 2026-11-01T10:00:00Z Bob image/png 12 comments,attachments"]);
    // A replica without the lists says nothing about them.
    let source = "log.info(replica.addedComments.length, replica.removedComments.length)";
    let mut silent = commented();
    if let RuleInput::Incoming { replica, .. } = &mut silent {
        replica.clear();
    }
    assert_eq!(left(source, &silent).await.log, ["info: 0 0"]);
}

#[tokio::test]
async fn comments_are_merged_as_internal_ones_and_the_rule_has_the_last_word() {
    let comment = |id: &str, author: &str, body: &str, format| Comment {
        remote_id: Some(id.to_owned()),
        author: Some(crate::domain::comment::Author { name: Some(author.to_owned()), email: None }),
        body: body.to_owned(),
        format,
        ..Comment::default()
    };
    let mut bob = comment("2", "Bob", "after", Format::Plain);
    bob.created_at = Some("2026-11-01T10:00:00Z".to_owned());
    let eve = comment("3", "Eve", "<p>new</p>", Format::Html);
    let plain = left("commentHelper.mergeComments(entity, replica)", &commented()).await;
    let gone = Merge::Remove("0".to_owned());
    assert_eq!(plain.wishes.comments, [Merge::Write(eve.clone()), Merge::Write(bob.clone()), gone.clone()]);
    assert!(plain.assigned.is_empty());

    // As people write it: assigned, a prefix, one left out, one public.
    let source = "entity.comments = commentHelper.mergeComments(entity, replica, (c, original) => {
            if (c.author.name === 'Eve') return false;
            c.body = `${c.author.name}: ${original.body}`;
            c.internal = false;
            return c;
        }); log.info(entity.comments.length)";
    let output = left(source, &commented()).await;
    let told = Comment { body: "Bob: after".to_owned(), public: true, ..bob };
    assert_eq!(output.wishes.comments, [Merge::Write(told), gone]);
    assert!(output.assigned.is_empty() && output.log == ["info: 1"]);

    for (source, words) in [
        ("entity.comments = replica.comments", "commentHelper.mergeComments(entity, replica)"),
        ("commentHelper.mergeComments(entity, replica, (c) => { c.body = null })", "body must be text, not null"),
        ("commentHelper.mergeComments(entity, replica, 'x')", "takes a function"),
        ("commentHelper.mergeComments(entity, replica, (c) => { c.format = 'rtf' })", "plain, html or markdown, not rtf"),
        ("commentHelper.mergeComments(entity, replica, (c, original) => { original.body = 'x' })", "read-only"),
        ("replica.addedComments.push(1)", "not extensible"),
    ] {
        let message = refused(source, &commented()).await;
        assert!(message.contains(words), "`{source}`: {message}");
    }
    assert!(refused("commentHelper.mergeComments(entity, replica)", &outgoing(json!({}))).await.contains("incoming rule"));
}

#[tokio::test]
async fn files_are_merged_by_what_came_and_went() {
    let source = "attachmentHelper.mergeAttachments(entity, replica, (file) => {
            if (file.filesize > 10_000_000) return false;
            file.filename = `from-erp-${file.filename}`;
        })";
    let file = Attachment {
        remote_id: Some("b".to_owned()),
        filename: "from-erp-new.png".to_owned(),
        media_type: Some("image/png".to_owned()),
        size: Some(12),
        ..Attachment::default()
    };
    assert_eq!(left(source, &commented()).await.wishes.attachments, [Merge::Write(file), Merge::Remove("z".to_owned())]);
    let none = left("attachmentHelper.mergeAttachments(entity, replica, () => null)", &commented()).await;
    assert_eq!(none.wishes.attachments, [Merge::Remove("z".to_owned())]);
}

#[tokio::test]
async fn wishes_are_kept_for_after_the_run() {
    let first = incoming(json!({}), json!({}), true);
    let source =
        "syncHelper.linkTo('5005g00000ABCDEAA2'); syncHelper.syncBackAfterProcessing(); syncHelper.unExalateAfterProcessing();
        syncHelper.sync('Account', '0015g00000ABCDEAA2'); syncHelper.sync('Account', '0015g00000ABCDEAA2')";
    let expected = Wishes {
        link_to: Some("5005g00000ABCDEAA2".to_owned()),
        sync_back: true,
        stop: true,
        sync: vec![SyncWish { entity_type: "Account".to_owned(), key: "0015g00000ABCDEAA2".to_owned() }],
        ..Wishes::default()
    };
    assert_eq!(left(source, &first).await.wishes, expected);
    let skipped = left("syncHelper.stopAfterProcessing(); skip('closed')", &first).await;
    assert_eq!((skipped.wishes, skipped.skip.as_deref()), (Wishes::default(), Some("closed")));
    assert!(left("syncHelper.stopAfterProcessing()", &outgoing(json!({}))).await.wishes.stop);
    for (source, input, words) in [
        ("syncHelper.linkTo('5')", incoming(json!({}), json!({}), false), "for the first sync"),
        ("syncHelper.linkTo(5)", first.clone(), "the key must be text"),
        ("syncHelper.linkTo('5')", outgoing(json!({})), "belongs in the incoming rule"),
        ("syncHelper.syncBackAfterProcessing()", outgoing(json!({})), "belongs in the incoming rule"),
        ("for (let i = 0; i < 200; i++) syncHelper.sync('Case', String(i))", first, "100 records at most"),
    ] {
        let message = refused(source, &input).await;
        assert!(message.contains(words), "`{source}`: {message}");
    }
}

#[tokio::test]
async fn dates_of_any_form_become_one_type() {
    for (value, iso) in [
        ("0", "1970-01-01T00:00:00.000Z"),
        ("1767225600000", "2026-01-01T00:00:00.000Z"),
        ("'1767225600000'", "2026-01-01T00:00:00.000Z"),
        ("new Date(5)", "1970-01-01T00:00:00.005Z"),
        ("'2026-01-31'", "2026-01-31T00:00:00.000Z"),
        ("'2026-01-31T10:20'", "2026-01-31T10:20:00.000Z"),
        ("'2026-01-31 10:20:30'", "2026-01-31T10:20:30.000Z"),
        ("'2026-01-31T10:20:30.123456Z'", "2026-01-31T10:20:30.123Z"),
        ("'2026-01-31T10:20:30.000+0000'", "2026-01-31T10:20:30.000Z"),
        ("'2026-01-31T10:20:30+02:00'", "2026-01-31T08:20:30.000Z"),
        ("'2026-01-31T23:30:00-0130'", "2026-02-01T01:00:00.000Z"),
        ("'2026-01-31T10:20:30+01'", "2026-01-31T09:20:30.000Z"),
        ("'0099-03-01'", "0099-03-01T00:00:00.000Z"),
        ("'2024-02-29'", "2024-02-29T00:00:00.000Z"),
    ] {
        let replica =
            replica_of(&format!("const d = nodeHelper.toDate({value}); replica.d = d; replica.is = d instanceof Date")).await;
        assert_eq!(replica, Ok(json!({"d": iso, "is": true})), "{value}");
    }
    assert_eq!(
        replica_of("replica.n = [null, undefined, ''].map(nodeHelper.toDate)").await,
        Ok(json!({"n": [null, null, null]}))
    );
    for value in
        ["'31/12/2026'", "'2026-02-30'", "'2023-02-29'", "'2026-13-01'", "'2026-01-01T25:00:00Z'", "'soon'", "NaN", "true", "{}"]
    {
        let message = refused(&format!("nodeHelper.toDate({value})"), &outgoing(json!({}))).await;
        assert!(message.contains("is no date that it knows; give 2026-12-31"), "{value}: {message}");
    }
}

#[tokio::test]
async fn texts_are_fitted_with_a_visible_mark() {
    for (call, fitted) in [
        ("nodeHelper.fit('short', 10)", json!("short")),
        ("nodeHelper.fit('a text that is too long', 15)", json!("a text t… [cut]")),
        ("nodeHelper.fit('a text that is too long', 10, '…')", json!("a text th…")),
        ("nodeHelper.fit('😀😀😀😀', 4)", json!("😀😀😀😀")),
        ("nodeHelper.fit('😀😀😀😀', 3, '')", json!("😀😀😀")),
        ("nodeHelper.fit('abc', 2)", json!("… ")),
        ("nodeHelper.fit(null, 5)", json!(null)),
    ] {
        assert_eq!(replica_of(&format!("replica.t = {call}")).await, Ok(json!({ "t": fitted })), "{call}");
    }
    assert!(refused("nodeHelper.fit('a', 0)", &outgoing(json!({}))).await.contains("a whole number from 1"));
}
