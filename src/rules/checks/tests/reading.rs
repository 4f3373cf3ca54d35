//! The lexer and the uses of `entity` on tricky sources.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    super::{
        lexer,
        uses::{Act, uses},
    },
    *,
};

/// The names that are used, in order, each with a letter for what is done: read, assigned, both, deleted.
fn seen(source: &str) -> String {
    let letter = |act: &Act| match act {
        Act::Read => 'r',
        Act::Assigned { also_read: false, .. } => 'a',
        Act::Assigned { also_read: true, .. } => 'b',
        Act::Deleted => 'd',
    };
    uses(source).all.iter().map(|one| format!("{}:{}", letter(&one.act), one.name)).collect::<Vec<_>>().join(" ")
}

#[test]
fn uses_are_found_where_they_are_code_and_nowhere_else() {
    for (source, expected) in [
        ("entity.A; entity?.B; entity['C']; entity?.[\"D\"]; entity[`E`]; entity . F; entity\n.G", "r:A r:B r:C r:D r:E r:F r:G"),
        ("entity.A = 1; entity['B'] = 2; entity.C += 1; entity.D ??= 1; entity.E++; --entity.F", "a:A a:B b:C b:D b:E b:F"),
        ("entity.A == 1; entity.B === 1; entity.C => 1; entity.D <= 1; entity.E\n++\nx", "r:A r:B r:C r:D r:E"),
        ("delete entity.A; typeof entity.B", "d:A r:B"),
        ("// entity.A\n/* entity.B\n entity.C */ entity.D // entity.E", "r:D"),
        ("x = y <!-- entity.A\n--> entity.B\nentity.C", "r:C"),
        ("'entity.A' + \"entity.B\" + 'it\\'s entity.C' + \"\\\\\" + entity.D + 'a\\\nentity.E'", "r:D"),
        ("`entity.A ${entity.B} entity.C ${`in ${entity.D} entity.E`} entity.F` + entity.G", "r:B r:D r:G"),
        ("`${{a: {b: `}`}}.a} ${entity.A}` + `\\${entity.B}` + `\\`${entity.C}`", "r:A r:C"),
        ("/entity.A/.test(x); x = a / entity.B / 2; (a) / entity.C / 2; a[0] / entity.D / 2", "r:B r:C r:D"),
        ("if (x) /entity.A/.test(y); while (x) /entity.B'/g; for (const a of /entity.C\"/g) entity.D", "r:D"),
        ("return /[/'\"]entity.A/.test(entity.B) ? /\\/entity.C/ : entity.D", "r:B r:D"),
        ("x = { if: 1 }; x.if (y) / entity.A / 2; a++ / entity.B / 1; 1 / entity.C / 2", "r:A r:B r:C"),
        ("x = {} / entity.A / 1; if (a) {} /entity.B/.test(c); x => {}\n/entity.C/.test(d)", "r:A"),
        ("x.entity.A; x?.entity.B; ({ entity: 1 }); this.#entity; ...entity.C; entityX.D; $entity.E; _entity.F", "r:C"),
        ("entit\\u0079.A; entity.\\u{42}; entity['\\x43\\u0044\\u{1F600}']", "r:A r:B r:CD\u{1F600}"),
        (
            "entity.if; entity.class; entity.of / 2; entity.in; entity['my field']; entity.ünïcode",
            "r:if r:class r:of r:in r:my field r:ünïcode",
        ),
        ("x ?.5:entity.A; 1..toString() + 0x1f + 1e-5 + .5 + 1_0n + entity.B; a?.b", "r:A r:B"),
        ("entity[name]; entity[a + 'B']; entity['C' + 1]; entity(1); 'D' in entity", ""),
        ("entity.A.B.C = entity.D = 1", "r:A a:D"),
        ("const { length } = entity.A ?? []; list.map((one) => entity[one.id] ?? entity.B)", "r:A r:B"),
    ] {
        assert_eq!(seen(source), expected, "{source}");
    }
}

#[test]
fn a_name_of_the_rules_own_ends_the_checks_and_an_argument_does_not() {
    for source in [
        "for (const entity of list) entity.A",
        "list.map(entity => entity.A)",
        "list.map((x, entity) => entity.A)",
        "list.map(({ entity }) => entity.A)",
        "list.map(([, entity] = []) => { entity.A })",
        "function f(entity) { return entity.A }",
        "const f = { m(entity) { return entity.A } };",
        "try { f() } catch (entity) { entity.A }",
        "const { entity } = replica; entity.A",
        "const { a: { b: [entity] } } = replica; entity.A",
        "let entity; entity.A",
    ] {
        assert!(uses(source).shadowed.is_some(), "{source}");
    }
    for source in [
        "commentHelper.mergeComments(entity, replica, (comment) => { comment.body = entity.A; });",
        "if (entity.A) { entity.B = 1 } else if (f(entity)) { x() }",
        "for (const one of entity.A) { f(one, entity) }\nwhile (entity.B) {}\nswitch (entity.C) {}",
        "const a = entity.A, b = { entity: 1 }; const c = () => (entity.B);",
        "const { length } = f(entity);",
    ] {
        assert_eq!(uses(source).shadowed, None, "{source}");
    }
    assert!(uses("f(entity)").unseen && uses("entity[name] = 1").unseen && uses("Object.assign(entity, x)").unseen);
    assert!(!uses("commentHelper.mergeComments(entity, replica); 'A' in entity; entity.A").unseen);
}

#[test]
fn texts_that_a_field_may_get_are_found() {
    for (source, texts, whole) in [
        ("entity.A = 'x';", "x", true),
        ("entity.A = 'x'", "x", true),
        ("entity.A = 'x'\nentity.B", "x", true),
        ("if (a) { entity.A = `x` }", "x", true),
        ("f(entity.A = 'x', 'y')", "x", true),
        ("entity.A = b ? 'x' : 'y';", "x y", true),
        ("entity.A = b === 'no' || c === 'no' ? 'x' : d(['no']) ? 'y' : 'z';", "x y z", true),
        ("entity.A = b ? 'x' : c;", "x", false),
        ("entity.A = map[b] ?? 'x';", "x", false),
        ("entity.A = b || 'x'", "x", false),
        ("entity.A = b && 'x'", "x", false),
        ("entity.A = 'x' + b", "", false),
        ("entity.A = 'x'\n+ b", "", false),
        ("entity.A = 'x'.length", "", false),
        ("entity.A = f('x')", "", false),
        ("entity.A = { b: 'x' }", "", false),
        ("entity.A = ['x']", "", false),
        ("entity.A = b === 'x'", "", false),
        ("entity.A = (b) => c ? 'x' : 'y'", "", false),
        ("entity.A = `x${b}`", "", false),
        ("entity.A = b ? { c: 'x' } : 'y'", "y", false),
        ("entity.A = null", "", false),
    ] {
        let Act::Assigned { texts: found, whole: told, .. } = uses(source).all.remove(0).act else { panic!("{source}") };
        let found: Vec<String> = found.into_iter().map(|(text, _)| text).collect();
        assert_eq!((found.join(" ").as_str(), told), (texts, whole), "{source}");
    }
    let compared = |source| uses(source).compared.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" ");
    assert_eq!(compared("if (entity.entityType === 'A' || 'B' != entity.entityType) x(entity.Other === 'C')"), "A B");
    assert_eq!(compared("switch (entity.entityType) { case 'A': case `B`: break; default: } f('C')"), "A B");
}

/// Bits of the language, in any order.
fn anything() -> impl Strategy<Value = String> {
    let bits = prop::sample::select(vec![
        "entity",
        ".",
        "?.",
        "[",
        "]",
        "'",
        "\"",
        "`",
        "${",
        "}",
        "{",
        "(",
        ")",
        "/",
        "*",
        "\\",
        "\n",
        "\r",
        " ",
        "=",
        "==",
        "=>",
        "Name",
        "const",
        "return",
        "if",
        "of",
        "in",
        "//",
        "/*",
        "*/",
        "<!--",
        "-->",
        "\\u0041",
        "\\u{",
        "0x",
        "1.",
        "e+",
        "#",
        "ü",
        "\u{2028}",
        "\u{1F600}",
        "?",
        ":",
        ",",
        ";",
        "++",
        "+",
        "delete",
    ]);
    prop::collection::vec(bits, 0..60).prop_map(|bits| bits.concat())
}

proptest! {
    #[test]
    fn any_text_comes_to_an_end_with_places_that_exist(source in prop_oneof![anything(), any::<String>()]) {
        let lines: Vec<usize> = source.split('\n').map(|line| line.chars().count()).collect();
        for token in lexer::tokens(&source) {
            let length = lines.get(token.line as usize - 1);
            prop_assert!(length.is_some_and(|length| token.column >= 1 && token.column as usize <= length + 1), "{token:?}");
        }
        let told = Told { descriptions: &[case()], refused: &[], default_type: "Case", defaults: &|_| Fields::new() };
        for finding in findings(Some(&source), Some(&source), &told) {
            prop_assert!(finding.line >= 1 && finding.column >= 1);
        }
        named_types(&source, &source);
    }

    #[test]
    fn what_stands_in_comments_and_texts_is_never_seen(inner in "[a-z .;'(){}=/]{0,40}") {
        let inner = inner.replace("*/", "");
        let source = format!("/* entity.A {inner} */ x = \"entity.B {inner}\"; // entity.C {inner}\nentity.D = 1; y = `entity.E {inner}`");
        prop_assert_eq!(seen(&source), "a:D");
    }
}

#[test]
fn a_large_flat_rule_takes_no_long() {
    let source = "entity.A = entity.B\n".repeat(12_000);
    let began = std::time::Instant::now();
    assert_eq!(uses(&source).all.len(), 24_000);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}
