//! Keys and signatures: what vouches for a request, and that every answer is vouched for.

use serde_json::{Value, json};
use wicketgate::{config::Role, secret::base64url};

use super::Ours;
use crate::support::stranger::{Invited, Key, Partner, body_hash, mac, part};

async fn partner(ours: &Ours) -> Partner {
    ours.joined().await.partner
}

/// Posts an exchange whose claims were bent.
async fn bent(partner: &Partner, bend: impl FnOnce(&mut Value)) -> crate::support::stranger::Said {
    let body = partner.asked(json!({})).to_string().into_bytes();
    let mut claims = partner.claims(&partner.path(), &body);
    bend(&mut claims);
    partner.send(&partner.path(), body, &partner.key.sign(&claims), &[]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_claim_is_held_to_the_request() {
    let ours = Ours::start(Role::Public).await;
    let partner = partner(&ours).await;
    partner.exchange(json!({})).await.good();
    for (name, value) in [
        ("iss", json!("x")),
        ("iss", json!(partner.node)),
        ("aud", json!("x")),
        ("aud", json!(partner.key.fingerprint())),
        ("aud", json!([partner.node])),
        ("aud", Value::Null),
        ("sub", json!(crate::support::stranger::id())),
        ("sub", json!(["x"])),
        ("jti", json!("")),
        ("jti", json!("j".repeat(201))),
        ("jti", json!(7)),
        ("jti", Value::Null),
        ("method", json!("GET")),
        ("method", Value::Null),
        ("path", json!("/link/v1/connections")),
        ("path", json!("")),
        ("bh", json!(body_hash(b""))),
        ("bh", Value::Null),
        ("exp", json!(i64::MAX)),
        ("exp", Value::Null),
        ("iat", Value::Null),
        ("iat", json!("now")),
    ] {
        let said = bent(&partner, |claims| claims[name] = value.clone()).await;
        assert_eq!((said.status, said.code()), (401, "bad_signature"), "{name} = {value}: {}", said.body);
        assert!(said.signed() || name == "jti" || value.is_array(), "{name} = {value}: {}", said.vouched);
    }
    for name in ["iss", "aud", "sub", "iat", "exp", "jti", "method", "path", "bh"] {
        let said = bent(&partner, |claims| drop(claims.as_object_mut().expect("claims").remove(name))).await;
        assert_eq!((said.status, said.code()), (401, "bad_signature"), "without {name}");
    }
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_are_held_to_a_minute_and_the_difference_is_told() {
    let ours = Ours::start(Role::Public).await;
    let partner = partner(&ours).await;
    for (iat, exp) in [(-3600, -3540), (-181, -121), (120, 180), (100_000, 100_060)] {
        let said = bent(&partner, |claims| {
            let now = claims["iat"].as_i64().expect("a time");
            (claims["iat"], claims["exp"]) = (json!(now + iat), json!(now + exp));
        })
        .await;
        said.refused(401, "clock_skew");
        let seconds = said.body["seconds"].as_i64().expect("seconds");
        assert!((seconds + iat).abs() <= 2, "{seconds} for {iat}");
        assert!((said.vouched["iat"].as_i64().expect("a time") - partner.clock.now().seconds()).abs() <= 2);
    }
    for (iat, exp) in [(0, 61), (0, -1), (-10, 51)] {
        let said = bent(&partner, |claims| {
            let now = claims["iat"].as_i64().expect("a time");
            (claims["iat"], claims["exp"]) = (json!(now + iat), json!(now + exp));
        })
        .await;
        said.refused(401, "bad_signature");
    }
    // What no clock shows neither passes nor breaks anything.
    for (iat, exp) in
        [(i64::MIN, i64::MAX), (i64::MIN, i64::MIN), (i64::MAX, i64::MAX), (i64::MIN, i64::MIN + 60), (i64::MAX - 60, i64::MAX)]
    {
        let said = bent(&partner, |claims| (claims["iat"], claims["exp"]) = (json!(iat), json!(exp))).await;
        assert_eq!((said.status, said.signed()), (401, true), "{iat} {exp}: {}", said.body);
    }
    // 59 s off either way is tolerated; seconds may have a fraction.
    for ahead in [-59.0, 55.0, 0.25] {
        let said = bent(&partner, |claims| {
            let now = claims["iat"].as_i64().expect("a time") as f64;
            (claims["iat"], claims["exp"]) = (json!(now + ahead), json!(now + ahead + 60.0));
        })
        .await;
        assert_eq!(said.status, 200, "{ahead}: {}", said.body);
    }
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_good_once_also_after_a_restart() {
    let mut ours = Ours::start(Role::Public).await;
    let partner = partner(&ours).await;
    let body = partner.asked(json!({})).to_string().into_bytes();
    let token = partner.key.sign(&partner.claims(&partner.path(), &body));
    assert_eq!(partner.send(&partner.path(), body.clone(), &token, &[]).await.status, 200);
    partner.send(&partner.path(), body.clone(), &token, &[]).await.refused(401, "bad_signature");
    // One whose clock is ahead: its token outlives the restart.
    let other = ours.joined_by(json!({"name": "second"})).await.partner;
    let mut claims = other.claims(&other.path(), &body);
    let now = claims["iat"].as_i64().expect("a time");
    (claims["iat"], claims["exp"]) = (json!(now + 50), json!(now + 110));
    let ahead = other.key.sign(&claims);
    assert_eq!(other.send(&other.path(), body.clone(), &ahead, &[]).await.status, 200);
    ours.node.stop().await;
    ours.node.start().await;
    for (partner, token) in [(&partner, token), (&other, ahead)] {
        let said = partner.send(&partner.path(), body.clone(), &token, &[]).await;
        assert!(matches!(said.status, 401 | 503) && said.signed(), "{} {}", said.status, said.body);
    }
    let begun = std::time::Instant::now();
    loop {
        let said = partner.exchange(json!({})).await;
        if said.status == 200 {
            break;
        }
        said.refused(503, "try_later");
        assert_eq!(said.retry_after.as_deref(), Some("1"));
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "a restart goes on at once");
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_connections_own_key_signs() {
    let ours = Ours::start(Role::Public).await;
    let partner = partner(&ours).await;
    let path = partner.path();
    let body = partner.asked(json!({})).to_string().into_bytes();
    let kid = partner.key.fingerprint();
    let claims = || partner.claims(&path, &body);
    let other = Key::new();
    let text = |header: &Value| format!("{}.{}", part(header), part(&claims()));
    let none = format!("{}.", text(&json!({"alg": "none", "kid": kid})));
    let hmac_of = |key: &[u8]| {
        let text = text(&json!({"alg": "HS256", "kid": kid}));
        format!("{text}.{}", mac(key, text.as_bytes()))
    };
    let public = wicketgate::secret::from_base64url(&partner.key.text()).expect("base64url");
    let mut turned = partner.key.sign(&claims()).into_bytes();
    *turned.last_mut().expect("a signature") ^= 4;
    let tokens = [
        ("none", none),
        ("none, signed", partner.key.sign_with(&json!({"alg": "none", "kid": kid}), &claims())),
        ("HS256 under the public key", hmac_of(&public)),
        ("HS256 under its text", hmac_of(partner.key.text().as_bytes())),
        ("RS256", partner.key.sign_with(&json!({"alg": "RS256", "kid": kid}), &claims())),
        ("ES256", partner.key.sign_with(&json!({"alg": "ES256", "kid": kid}), &claims())),
        ("another key", other.sign_with(&json!({"alg": "EdDSA", "kid": kid}), &claims())),
        ("another key under its own name", other.sign(&claims())),
        ("a key id that nobody knows", partner.key.sign_with(&json!({"alg": "EdDSA", "kid": "nobody"}), &claims())),
        ("no key id", partner.key.sign_with(&json!({"alg": "EdDSA"}), &claims())),
        ("no algorithm", partner.key.sign_with(&json!({"kid": kid}), &claims())),
        ("a changed signature", String::from_utf8(turned).expect("text")),
        (
            "an embedded key",
            other.sign_with(
                &json!({"alg": "EdDSA", "kid": kid, "jwk": {"kty": "OKP", "crv": "Ed25519", "x": other.text()}}),
                &claims(),
            ),
        ),
        ("no signature", text(&json!({"alg": "EdDSA", "kid": kid}))),
        ("four parts", format!("{}.x", partner.key.sign(&claims()))),
        ("rubbish", "rubbish".to_owned()),
        ("nothing", String::new()),
    ];
    for (name, token) in tokens {
        let said = partner.send(&path, body.clone(), &token, &[]).await;
        assert_eq!((said.status, said.code()), (401, "bad_signature"), "{name}: {}", said.body);
    }
    // Type or not, a media type as type, other order of members: all the same token.
    for header in [json!({"typ": "JWT", "alg": "EdDSA", "kid": kid}), json!({"kid": kid, "alg": "EdDSA", "typ": "jwt+link"})] {
        assert_eq!(partner.send(&path, body.clone(), &partner.key.sign_with(&header, &claims()), &[]).await.status, 200);
    }
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_body_is_hashed_before_its_encoding() {
    let ours = Ours::start(Role::Public).await;
    let partner = partner(&ours).await;
    let body = partner.asked(json!({})).to_string().into_bytes();
    let token = partner.key.sign(&partner.claims(&partner.path(), &body));
    let packed = gzip(&body);
    let said = partner.send(&partner.path(), packed.clone(), &token, &[("Content-Encoding", "gzip")]).await;
    assert_eq!(said.status, 200, "{}", said.body);
    let token = partner.key.sign(&partner.claims(&partner.path(), &packed));
    partner.send(&partner.path(), packed, &token, &[("Content-Encoding", "gzip")]).await.refused(401, "bad_signature");
    // A bomb is not unpacked whole.
    let bomb = gzip(&vec![b' '; 100 * 1024 * 1024]);
    let token = partner.key.sign(&partner.claims(&partner.path(), &bomb));
    let said = partner.send(&partner.path(), bomb, &token, &[("Content-Encoding", "gzip")]).await;
    said.refused(413, "too_large");
    assert_eq!(said.body["limit"], json!(4 * 1024 * 1024));
    partner.exchange(json!({})).await.good();
    ours.stop().await;
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(bytes).expect("packed");
    packer.finish().expect("packed")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_to_a_readable_token_is_signed() {
    let ours = Ours::start(Role::Public).await;
    let partner = partner(&ours).await;
    let signed = async |body: &[u8], sub: Option<&str>| {
        let mut stranger = partner.clone();
        stranger.connection = sub.unwrap_or(&partner.connection).to_owned();
        let token = stranger.key.sign(&stranger.claims(&stranger.path(), body));
        stranger.send(&stranger.path(), body.to_vec(), &token, &[]).await
    };
    for body in [&b"not JSON"[..], b"", b"{}", b"[]", b"{\"run\": 7}", b"\xff\xfe", "{\"run\":\"r\",\"epoch\":1e99}".as_bytes()] {
        signed(body, None).await.refused(400, "malformed");
    }
    signed(b"{}", Some(&crate::support::stranger::id())).await.refused(404, "unknown_connection");
    signed(&vec![b'x'; 4 * 1024 * 1024 + 1], None).await.refused(413, "too_large");
    let said = signed(b"{}", Some("no-uuid")).await;
    assert_eq!((said.status, said.code()), (404, "unknown_connection"));

    // Joining too.
    let (_, code) = ours.invite(json!({"name": "second"})).await;
    let invited = Invited::new(&code);
    invited.accept(&json!({"key": invited.key.text(), "nothing": "else"})).await.refused(400, "malformed");
    let mut large = invited.body(None);
    large["description"] = json!("x".repeat(1_000_000));
    invited.accept(&large).await.refused(413, "too_large");
    large["description"] = json!("x".repeat(10_000));
    invited.accept(&large).await.refused(400, "malformed");
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_path_may_have_a_base_and_nothing_else() {
    let ours = Ours::start(Role::Public).await;
    let partner = partner(&ours).await;
    let said = bent(&partner, |claims| claims["path"] = json!(format!("/base/path{}", partner.path()))).await;
    assert_eq!(said.status, 200, "{}", said.body);
    for path in [format!("{}/", partner.path()), format!("{}?x=1", partner.path()), partner.path().to_uppercase()] {
        bent(&partner, |claims| claims["path"] = json!(path)).await.refused(401, "bad_signature");
    }
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_one_connection_opens_no_other() {
    let ours = Ours::start(Role::Public).await;
    let first = partner(&ours).await;
    let second = ours.joined_by(json!({"name": "second"})).await.partner;
    let body = first.asked(json!({})).to_string().into_bytes();
    // The second partner asks for the first one's connection, by its own key and by every mixture of names.
    for (iss, sub) in [(&second, &first), (&first, &first), (&second, &second), (&first, &second)] {
        let mut claims = first.claims(&first.path(), &body);
        (claims["iss"], claims["sub"]) = (json!(iss.key.fingerprint()), json!(sub.connection));
        let said = first.send(&first.path(), body.clone(), &second.key.sign(&claims), &[]).await;
        assert_eq!((said.status, said.code()), (401, "bad_signature"), "{}", base64url(b"x"));
    }
    ours.stop().await;
}
