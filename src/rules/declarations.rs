//! Type declarations for editors: what a rule of a connection sees, with the tracker's own field names.
//!
//! The helpers' part is a text (`world/world.d.ts`); the entity types are written from what describe tells. A tracker that
//! tells nothing has entities with any field.
//!
//! Traps: names, labels and picklist values are foreign text. In a comment they must not end it, in a type they are
//! literals.

use std::fmt::Write as _;

use crate::domain::tracker::{Description, Field};

const WORLD: &str = include_str!("world/world.d.ts");
/// Longest list of values that a comment repeats; the type has them all.
const MOST_VALUES: usize = 200;

/// The text of `wicketgate.d.ts` for a connection of this name, on a tracker with these entity types.
pub fn declarations(connection: &str, descriptions: &[Description]) -> String {
    let mut text =
        format!("// wicketgate.d.ts: what the rules of {} see. Made from the tracker's description.\n", one_line(connection));
    let described: Vec<&Description> = descriptions.iter().filter(|description| !description.fields.is_empty()).collect();
    for (number, description) in described.iter().enumerate() {
        entity(&mut text, number, description);
    }
    let names: Vec<String> = (0..described.len()).map(|number| format!("Entity{number}")).collect();
    if names.is_empty() {
        text.push_str("\n/** This tracker does not tell which fields it has. */\ninterface Entity extends AnyEntity {\n");
        text.push_str("  entityType: string;\n  [field: string]: any;\n}\n");
    } else {
        let _ = writeln!(text, "\ntype Entity = {};", names.join(" | "));
    }
    text.push_str("\ninterface AnyEntity {\n  readonly key: string;\n");
    text.push_str("  /** Outgoing: names of the fields that differ from what the other side last heard of. */\n");
    text.push_str("  readonly changed: readonly string[];\n  comments: Comment[];\n  attachments: Attachment[];\n}\n");
    text.push_str(WORLD);
    text
}

fn entity(text: &mut String, number: usize, description: &Description) {
    let _ = writeln!(text, "\n/** {} */", one_line(&description.entity_type));
    let _ = writeln!(text, "interface Entity{number} extends AnyEntity {{\n  entityType: {};", literal(&description.entity_type));
    for field in &description.fields {
        if !["entityType", "key", "changed", "comments", "attachments"].contains(&field.name.as_str()) {
            member(text, field);
        }
    }
    text.push_str("}\n");
}

fn member(text: &mut String, field: &Field) {
    let mut about = vec![one_line(&field.label), one_line(&field.field_type)];
    about.extend(field.length.filter(|length| *length > 0).map(|length| format!("at most {length} letters")));
    about.extend(field.required.then(|| "a create needs it".to_owned()));
    about.extend((!field.writable).then(|| "cannot be written".to_owned()));
    let readonly = if field.writable { "" } else { "readonly " };
    let _ = writeln!(text, "  /** {} */\n  {readonly}{}: {};", about.join(", "), name(&field.name), type_of(field));
}

fn type_of(field: &Field) -> String {
    let one = match (&field.values, field.field_type.as_str()) {
        (Some(values), kind) if kind != "multipicklist" && !values.is_empty() && values.len() <= MOST_VALUES => {
            values.iter().map(|value| literal(value)).collect::<Vec<_>>().join(" | ")
        }
        (_, "boolean") => return "boolean".to_owned(),
        (_, "int" | "integer" | "long" | "double" | "currency" | "percent" | "number") => "number".to_owned(),
        (_, "date" | "datetime") => "string | Date".to_owned(),
        (_, "address" | "location" | "anyType" | "complexvalue" | "object" | "array" | "any") => return "any".to_owned(),
        _ => "string".to_owned(),
    };
    format!("{one} | null | undefined")
}

/// A member's name, in quotes where it is no identifier.
fn name(name: &str) -> String {
    let start = name.starts_with(|one: char| one.is_ascii_alphabetic() || one == '_' || one == '$');
    let plain = start && name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_' || one == '$');
    if plain { name.to_owned() } else { literal(name) }
}

fn literal(text: &str) -> String {
    // JSON leaves two letters as they are that end a line in older readers.
    serde_json::Value::from(text).to_string().replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// Text within a comment of one line.
fn one_line(text: &str) -> String {
    let line: String =
        text.chars().map(|one| if one.is_control() || "\u{2028}\u{2029}".contains(one) { ' ' } else { one }).collect();
    line.replace("*/", "* /")
}

#[cfg(test)]
mod tests {
    use super::{
        super::checks::{lexer::tokens, token::Kind},
        *,
    };

    fn field(name: &str, field_type: &str) -> Field {
        Field {
            name: name.to_owned(),
            label: format!("The {name}"),
            field_type: field_type.to_owned(),
            length: None,
            writable: true,
            required: false,
            values: None,
            ..Field::default()
        }
    }

    fn case() -> Description {
        let values = Some(vec!["New".to_owned(), "It's \"odd\"".to_owned()]);
        Description {
            entity_type: "Case".to_owned(),
            fields: vec![
                Field { writable: false, ..field("Id", "id") },
                Field { length: Some(255), required: true, ..field("Subject", "string") },
                Field { values: values.clone(), ..field("Status", "picklist") },
                Field { values, ..field("Tags__c", "multipicklist") },
                field("IsEscalated", "boolean"),
                field("Amount__c", "currency"),
                field("Due__c", "date"),
                Field { label: "evil */ x\n y".to_owned(), ..field("my field", "string") },
                field("comments", "string"),
            ],
            ..Description::default()
        }
    }

    #[test]
    fn fields_have_their_own_names_types_and_words() {
        let text = declarations("support */ x\n", &[case(), Description { entity_type: "Task".to_owned(), ..case() }]);
        for line in [
            "// wicketgate.d.ts: what the rules of support * / x  see.",
            "interface Entity0 extends AnyEntity {\n  entityType: \"Case\";\n",
            "  /** The Id, id, cannot be written */\n  readonly Id: string | null | undefined;\n",
            "  /** The Subject, string, at most 255 letters, a create needs it */\n  Subject: string | null | undefined;\n",
            "  Status: \"New\" | \"It's \\\"odd\\\"\" | null | undefined;\n",
            "  Tags__c: string | null | undefined;\n",
            "  IsEscalated: boolean;\n",
            "  Amount__c: number | null | undefined;\n",
            "  Due__c: string | Date | null | undefined;\n",
            "  /** evil * / x  y, string */\n  \"my field\": string | null | undefined;\n",
            "interface Entity1 extends AnyEntity {\n  entityType: \"Task\";\n",
            "type Entity = Entity0 | Entity1;\n",
            "declare const entity: Entity;",
        ] {
            assert!(text.contains(line), "`{line}` is not in\n{text}");
        }
        assert_eq!(text.matches("comments").count(), 2, "a field never takes the place of what the world has");
    }

    /// Declarations of one field, read as an editor reads them: which brackets are open at the end, and which names there are.
    fn read(text: &str) -> (usize, Vec<String>) {
        let (mut open, mut names) = (Vec::new(), Vec::new());
        for token in tokens(text) {
            match token.kind {
                Kind::Sign(sign @ ("(" | "[" | "{")) => open.push(sign),
                Kind::Sign(")" | "]" | "}") => assert!(open.pop().is_some(), "{token:?} closes nothing in {text}"),
                Kind::Name(name) | Kind::Text(name) => names.push(name),
                Kind::Other => panic!("{token:?} in {text}"),
                _ => {}
            }
        }
        (open.len(), names)
    }

    proptest::proptest! {
        #[test]
        fn no_word_of_the_tracker_is_read_as_anything_else(
            name in "[a-z]{1,5}|\\PC{1,12}|[\"'`\\\\{}/*\n\u{2028}$]{1,6}",
            label in "\\PC{0,12}|[*/ \n\r\u{2028}`'\"{}]{0,12}",
            value in "\\PC{0,12}|[\"'`\\\\/*\n{}]{0,12}",
        ) {
            let odd = Field {
                label: label.clone(),
                field_type: "picklist".to_owned(),
                values: Some(vec![value.clone(), "Plain".to_owned()]),
                ..field(&name, &label)
            };
            let own = Description { entity_type: value.clone(), fields: vec![field("First", "string"), odd, field("Last", "string")], ..Description::default() };
            let (text, plain) = (declarations(&label, &[own]), declarations("c", &[]));
            let (open, names) = read(&text);
            proptest::prop_assert_eq!(open, 0);
            for known in ["First", "Last", "Plain", &name, &value] {
                proptest::prop_assert!(names.iter().any(|one| one == known), "{:?} is not in {}", known, text);
            }
            // Nothing that the world has is lost in a comment or a text.
            for known in read(&plain).1.iter().filter(|known| !known.contains("string") && *known != "field") {
                proptest::prop_assert!(names.contains(known), "{:?} is lost in {}", known, text);
            }
        }
    }

    #[test]
    fn a_tracker_that_tells_nothing_has_any_field() {
        let text = declarations("c", &[Description { entity_type: "issue".to_owned(), ..Description::default() }]);
        assert!(text.contains("[field: string]: any;") && !text.contains("Entity0"), "{text}");
    }

    #[test]
    fn every_name_that_a_rule_sees_is_declared() {
        for name in super::super::source::PARAMETERS.split(',') {
            let declared = ["const", "function"].iter().any(|word| WORLD.contains(&format!("declare {word} {name}")));
            assert!(declared, "`{name}` is not declared");
        }
    }
}
