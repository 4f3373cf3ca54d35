//! The test vectors of docs/LINK.md, held to the code.

use super::{
    auth::{RequestClaims, body_hash},
    joining::proofs,
    keys::NodeKey,
};

const DOC: &str = include_str!("../../docs/LINK.md");

fn seed(first: u8) -> [u8; 32] {
    std::array::from_fn(|at| first + u8::try_from(at).expect("32 fit"))
}

#[test]
fn the_documents_vectors_are_those_of_the_code() {
    let near = NodeKey::from_seed(&seed(0)).expect("a seed");
    let far = NodeKey::from_seed(&seed(32)).expect("a seed");
    let body = br#"{"run":"r1","epoch":1,"ack":0,"ack_id":null,"after_id":null,"events":[],"max_events":1000,"want":[],"state":"active","wait_seconds":0}"#;
    let claims = RequestClaims {
        iss: far.public().fingerprint().to_owned(),
        aud: near.public().fingerprint().to_owned(),
        sub: "01938f6e-0000-7000-8000-000000000001".to_owned(),
        iat: 1_795_500_000,
        exp: 1_795_500_060,
        jti: "01938f6e-0000-7000-8000-0000000000aa".to_owned(),
        method: "POST".to_owned(),
        path: "/link/v1/connections/01938f6e-0000-7000-8000-000000000001/exchange".to_owned(),
        bh: body_hash(body),
    };
    let secret = crate::secret::base64url(&seed(64));
    let proof = proofs(&secret, b"{}").swap_remove(0);
    let missing = [
        ("public key", near.public().text()),
        ("thumbprint", near.public().fingerprint().to_owned()),
        ("the other's public key", far.public().text()),
        ("the other's thumbprint", far.public().fingerprint().to_owned()),
        ("body hash", claims.bh.clone()),
        ("token", far.sign(&claims)),
        ("secret", secret),
        ("proof", proof),
    ]
    .into_iter()
    .filter(|(_, value)| !DOC.contains(value))
    .collect::<Vec<_>>();
    assert!(missing.is_empty(), "docs/LINK.md should name these: {missing:#?}");
}

#[test]
fn the_examples_in_the_document_are_events() {
    let examples = DOC.lines().filter(|line| line.starts_with("{\"n\": ")).collect::<Vec<_>>();
    let kinds = examples
        .iter()
        .map(|line| serde_json::from_str::<crate::domain::event::Event>(line).expect(line).body.kind())
        .collect::<Vec<_>>();
    assert_eq!(kinds, ["sync", "result", "link", "deleted", "stop", "resynced"]);
}

#[test]
fn the_messages_in_the_document_are_read() {
    let asked = DOC.lines().find(|line| line.starts_with("{\"run\"")).expect("an exchange");
    serde_json::from_str::<super::protocol::Asked>(asked).expect("as the door reads it");
    let joining = DOC.lines().find(|line| line.starts_with("{\"node\": \"partner\"")).expect("an acceptance");
    let joining = joining.replace("YOUR KEY", "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg");
    serde_json::from_str::<super::protocol::AcceptAsked>(&joining).expect("as the door reads it");
}
