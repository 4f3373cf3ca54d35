//! What a person is told about a script that failed, at a run and at saving.

use super::*;

async fn script_error(source: &str) -> (String, Option<u32>, Option<u32>) {
    match replica_of(source).await {
        Err(RuleError::Script { message, line, column, .. }) => (message, line, column),
        other => panic!("`{source}` ended with {other:?}"),
    }
}

#[tokio::test]
async fn errors_tell_where_in_the_rule() {
    let (message, line, column) = script_error("let a = 1;\n  nowhere.x = a;").await;
    assert!(message.contains("nowhere"), "{message}");
    assert_eq!((line, column), (Some(2), Some(3)));
    assert_eq!(script_error("nowhere.x = 1;").await.1, Some(1));
    assert_eq!(script_error("nowhere.x = 1;").await.2, Some(1));
    let (message, line, column) = script_error("replica.a = 1;\nreplica.b = = 2;").await;
    assert!(message.starts_with("SyntaxError"), "{message}");
    assert_eq!((line, column.is_some()), (Some(2), true));
    assert_eq!(script_error("misspelt = 1").await.1, Some(1), "strict mode");
}

#[tokio::test]
async fn what_cannot_be_kept_is_named() {
    for (source, words) in [
        ("entity.Subject = 'x'", "entity is read-only here: entity.Subject"),
        ("delete entity.Subject", "read-only"),
        ("replica = {a: 1}", "replica"),
        ("replica.a = {b: [1n]}", "replica.a.b[0] is a bigint"),
        ("replica.f = () => 1", "replica.f is a function"),
        ("replica.n = 0/0", "replica.n is NaN"),
        ("replica.n = 1/0", "replica.n is Infinity"),
        ("replica.m = new Map()", "not a plain object"),
        ("replica.r = replica", "contains itself"),
        ("replica.p = Promise.resolve(1)", "Promise"),
        ("return (async () => {})()", "Promise"),
        ("throw null", "threw null"),
        ("throw 'no'", "threw no"),
        ("replica.a = '\\ud800'", "half a character"),
        ("\0", "NUL"),
    ] {
        let (message, ..) = script_error(source).await;
        assert!(message.contains(words), "`{source}`: {message}");
    }
}

/// The whole error as people see it, and its advice.
async fn told(source: &str) -> (String, String) {
    match replica_of(source).await {
        Err(error @ RuleError::Script { .. }) => {
            let RuleError::Script { advice, .. } = &error else { unreachable!() };
            (error.to_string(), advice.clone())
        }
        other => panic!("`{source}` ended with {other:?}"),
    }
}

#[tokio::test]
async fn errors_show_the_line_name_the_value_and_say_what_to_do() {
    for (source, words, advised) in [
        (
            "let a = 1;\n  replica.s = entity.Account.Name; // the account",
            "TypeError: cannot read property 'Name' of undefined: `entity.Account` is undefined \
             (line 2, column 15: `replica.s = entity.Account.Name; // the account`)",
            "Write `entity.Account?.Name` if",
        ),
        ("previous.status", "`previous` is null (line 1, column 1: `previous.status`)", "Write `previous?.status`"),
        ("const x = {}; x.list.first = 1", "`x.list` is undefined", "Write `x.list?.first`"),
        ("f().name; function f() {}", "TypeError: cannot read property 'name' of undefined (line", "Write `?.name` where"),
        (
            "replcia.a = 1",
            "ReferenceError: replcia is not defined (line 1, column 1: `replcia.a = 1`)",
            "Did you mean `replica`?",
        ),
        ("misspelt = 1", "misspelt is not defined", "A name of your own is declared"),
        ("entity.trim()", "TypeError: not a function: `entity.trim` is none (line 1", "misspelt name"),
        ("replica = {}", "'replica' is read-only", "Assign to a member of it"),
    ] {
        let (message, advice) = told(source).await;
        assert!(message.contains(words), "`{source}`: {message}");
        assert!(advice.contains(advised), "`{source}`: {advice}");
    }
    let long = format!("const a = '{}'; nowhere.b = a + '{}'", "x".repeat(500), "y".repeat(500));
    let (message, _) = told(&long).await;
    assert!(message.chars().count() < 300 && message.contains("nowhere.b = a"), "{message}");
}

#[tokio::test]
async fn a_check_parses_and_runs_nothing() {
    let pool = pool();
    for good in [
        "",
        "for (;;) {}",
        "throw new Error('never')",
        "return; // the end",
        "function f() { return 1 }\nclass A { b() {} }\nskip(`${f()}`)",
    ] {
        assert_eq!(pool.check(good).await, Ok(()), "`{good}`");
    }
    let Err(RuleError::Script { message, line, column, line_text, advice }) =
        pool.check("replica.a = 1;\n  replica.b = = 2;\nreplica.c = 3").await
    else {
        panic!("it does not parse")
    };
    assert!(message.starts_with("SyntaxError: unexpected token"), "{message}");
    assert_eq!((line, column, line_text.as_deref()), (Some(2), Some(15), Some("replica.b = = 2;")));
    assert!(advice.contains("does not parse"), "{advice}");
    assert!(matches!(pool.check(&"(".repeat(1_000_000)).await, Err(RuleError::Limit(_))));
    let replica =
        pool.run("replica.s = entity.Subject", &outgoing(json!({"Subject": "S"})), &Nobody).await.expect("runs").replica;
    assert_eq!(Value::Object(replica), json!({"s": "S"}));
}

#[tokio::test]
async fn brackets_that_do_not_match_are_told_at_the_rules_end() {
    for source in
        ["if (firstSync) {\n  replica.a = 1;\n\n", "replica.a = f(1\n", "replica.a = `b\n", "replica.a = 1;\n }", "/* a\n"]
    {
        for result in [pool().check(source).await, pool().run(source, &outgoing(json!({})), &Nobody).await.map(|_| ())] {
            let Err(RuleError::Script { message, line, line_text: Some(text), .. }) = result else { panic!("{result:?}") };
            assert!(message.starts_with("SyntaxError"), "{message}");
            let line = line.expect("a line") as usize;
            assert_eq!(source.split('\n').nth(line - 1).map(str::trim), Some(text.as_str()), "`{source}`: line {line}");
        }
    }
}

#[tokio::test]
async fn a_source_cannot_close_what_is_around_it() {
    let evil = "globalThis.evil = 1";
    for source in [
        format!("}})}});{evil};((...all)=>{{return (()=>{{"),
        format!("}}[{evil}]() {{"),
        format!("}}[{evil}] = function () {{"),
        format!("}}, {evil}, () => {{"),
        format!("}}\n{evil}\n{{"),
        format!("}} static x = ({evil}); y() {{"),
        format!("}}; static {{ {evil} }} y() {{"),
        format!("\"*/ '\" ; /* '; }})}}, ({evil}), class{{m(){{"),
        "super.x".to_owned(),
    ] {
        for result in [pool().check(&source).await, pool().run(&source, &outgoing(json!({})), &Nobody).await.map(|_| ())] {
            assert!(
                matches!(&result, Err(RuleError::Script { message, .. }) if message.starts_with("SyntaxError")),
                "{result:?}"
            );
        }
    }
    for filter in ["1), (2", "1], [2", "1)), ((entity) => (2", "...[1]", "1,"] {
        let result = pool().matches(filter, &entity(json!({}))).await;
        assert!(matches!(&result, Err(RuleError::Script { .. })), "`{filter}`: {result:?}");
    }
}
