//! The OpenAPI document says what there is, all of it and nothing else.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::described::Described;

#[test]
fn every_route_of_the_sources_is_described_and_none_more() {
    let described = Described::new();
    let source = include_str!("../../../src/server/api/mod.rs");
    let mut mounted: BTreeSet<&str> = source
        .split("resource(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|path| path.starts_with('/'))
        .collect();
    assert!(mounted.remove("/api/v1/openapi.json"), "{mounted:?}");
    mounted.insert("/openapi.json");
    let paths = described.document()["paths"].as_object().expect("paths");
    assert_eq!(paths.keys().map(String::as_str).collect::<BTreeSet<_>>(), mounted);
}

#[test]
fn every_operation_tells_its_refusals_and_ids_are_unique() {
    let described = Described::new();
    let document = described.document();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", document["openapi"]);
    assert_eq!(document["security"][0]["token"], serde_json::json!([]));
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    let mut names = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            assert_eq!(operation["responses"]["default"]["$ref"], "#/components/responses/Problem", "{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path} has no summary");
            let named = operation["parameters"].as_array().cloned().unwrap_or_default();
            for part in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
                assert!(named.iter().any(|one| one["name"] == part && one["required"] == true), "{method} {path}: {part}");
            }
            assert_eq!(named.iter().any(|one| one["name"] == "Idempotency-Key"), method == "post", "{method} {path}");
            names.insert(operation["operationId"].as_str().expect("an id").to_owned());
        }
    }
    let operations: usize =
        document["paths"].as_object().expect("paths").values().filter_map(|one| Some(one.as_object()?.len())).sum();
    assert_eq!(names.len(), operations, "generated clients name their functions by operationId: {names:?}");
}

#[test]
fn examples_are_as_their_schemas_have_them() {
    let described = Described::new();
    let mut seen = 0;
    for (name, schema) in described.document()["components"]["schemas"].as_object().expect("schemas") {
        for example in schema["examples"].as_array().into_iter().flatten() {
            assert_eq!(described.differs_from(name, example), Vec::<String>::new(), "{name}");
            seen += 1;
        }
    }
    assert!(seen >= 15, "{seen}");
}

#[test]
fn codes_are_those_of_the_page_and_of_the_document() {
    let page = include_str!("../../../docs/problems.md");
    let told: Vec<Value> =
        page.lines().filter_map(|line| line.strip_prefix("### `")?.split('`').next()).map(Value::from).collect();
    let described = Described::new();
    assert_eq!(described.document()["components"]["schemas"]["Code"]["enum"], Value::Array(told));
}
