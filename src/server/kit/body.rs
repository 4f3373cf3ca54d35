//! Request bodies: a size limit that keeps the connection, and JSON whose errors name the member.

use std::{future::Future, pin::Pin};

use actix_web::{FromRequest, HttpRequest, dev::Payload, error::PayloadError, http::header};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use serde::de::DeserializeOwned;

use super::problem::{Code, Problem};

/// Largest body of an API call.
pub const API_LIMIT: usize = 1_000_000;
/// So much of a body that is too large is read and dropped, so that the refusal arrives and the connection lives.
const DRAIN: usize = 32_000_000;

/// Reads a body up to `limit` bytes. What is beyond is read and dropped up to a bound: a client that is still sending
/// would else see a broken pipe in place of the answer.
pub async fn read<S>(payload: &mut S, limit: usize) -> Result<Bytes, Problem>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    let mut body = BytesMut::new();
    let mut seen = 0usize;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| Problem::new(Code::MalformedRequest, format!("The body ended early: {error}")))?;
        seen = seen.saturating_add(chunk.len());
        if seen <= limit {
            body.extend_from_slice(&chunk);
        } else {
            body = BytesMut::new();
            if seen > DRAIN {
                break;
            }
        }
    }
    if seen > limit {
        return Err(Problem::new(Code::TooLarge, format!("The body is larger than {limit} bytes; nothing was taken in.")));
    }
    Ok(body.freeze())
}

/// A JSON body, parsed by the handler after it has authorised the caller.
#[derive(Debug)]
pub struct Body(Result<Bytes, Problem>);

impl FromRequest for Body {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let foreign = foreign_type(request);
        let mut payload = payload.take();
        Box::pin(async move {
            Ok(Self(match (read(&mut payload, API_LIMIT).await, foreign) {
                (Ok(bytes), Some(problem)) if !bytes.is_empty() => Err(problem),
                (read, _) => read,
            }))
        })
    }
}

/// What a body says that it is, without parameters.
fn essence(request: &HttpRequest) -> Option<String> {
    let told = request.headers().get(header::CONTENT_TYPE)?;
    Some(told.to_str().unwrap_or("?").split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// A body that says it is something else than JSON is not guessed at. One that says nothing is JSON, and so is what
/// `curl -d` calls a form unless it is told: the reader will see.
fn foreign_type(request: &HttpRequest) -> Option<Problem> {
    let essence = essence(request)?;
    let json = essence.is_empty() || essence.ends_with("/json") || essence.ends_with("+json");
    (!json && essence != "application/x-www-form-urlencoded")
        .then(|| Problem::new(Code::UnsupportedMediaType, "Send JSON, with `Content-Type: application/json`."))
}

/// A body that is JSON, or text of comma-separated values where its type says so.
#[derive(Debug)]
pub enum JsonOrCsv {
    /// See [`Body`].
    Json(Body),
    /// The text.
    Csv(Result<String, Problem>),
}

impl FromRequest for JsonOrCsv {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if essence(request).is_none_or(|essence| essence != "text/csv") {
            let json = Body::from_request(request, payload);
            return Box::pin(async move { Ok(Self::Json(json.await?)) });
        }
        let mut payload = payload.take();
        Box::pin(async move {
            let read = read(&mut payload, API_LIMIT).await;
            let text = read.and_then(|bytes| {
                String::from_utf8(bytes.into()).map_err(|error| {
                    let at = error.utf8_error().valid_up_to();
                    Problem::new(Code::MalformedRequest, format!("The file is not UTF-8: byte {at} is of another encoding."))
                })
            });
            Ok(Self::Csv(text))
        })
    }
}

impl Body {
    /// The body as `T`: 400 where it is no JSON, 422 naming the member where it is another shape.
    pub fn json<T: DeserializeOwned>(self) -> Result<T, Problem> {
        parse(&self.0?)
    }

    /// The same; an empty body and `null` stand for `{}`.
    pub fn json_or_empty<T: DeserializeOwned>(self) -> Result<T, Problem> {
        let bytes = self.0?;
        match bytes.trim_ascii() {
            b"" | b"null" => parse(b"{}"),
            given => parse(given),
        }
    }
}

/// See [`Body::json`].
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        refused(&path, error.inner())
    })?;
    reader.end().map_err(|error| refused(".", &error))?;
    Ok(value)
}

fn refused(path: &str, error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        return Problem::new(Code::MalformedJson, format!("Reading ended with: {error}."));
    }
    let told = error.to_string();
    let message = told.rsplit_once(" at line ").map_or(told.as_str(), |(message, _)| message);
    let member = ["unknown field `", "missing field `", "duplicate field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start)?.split_once('`').map(|(name, _)| name));
    let field = match (path, member) {
        (".", Some(member)) => member.to_owned(),
        (".", None) => "body".to_owned(),
        (path, Some(member)) if path != member && !path.ends_with(&format!(".{member}")) => format!("{path}.{member}"),
        (path, _) => path.to_owned(),
    };
    Problem::field(field, message)
}

#[cfg(test)]
mod tests {
    use actix_web::{App, HttpResponse, test, web};
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        name: String,
        #[serde(default)]
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        count: u32,
    }

    fn fails(text: &str) -> (Code, String) {
        let problem = parse::<Sample>(text.as_bytes()).expect_err(text);
        (problem.code, problem.errors.first().map(|error| error.field.clone()).unwrap_or_default())
    }

    #[::core::prelude::v1::test]
    fn errors_name_the_member() {
        assert_eq!(fails("{"), (Code::MalformedJson, String::new()));
        assert_eq!(fails(r#"{"name":"a"} x"#), (Code::MalformedJson, String::new()));
        assert_eq!(fails(r#"{"name":1}"#), (Code::Invalid, "name".into()));
        assert_eq!(fails(r#"{}"#), (Code::Invalid, "name".into()));
        assert_eq!(fails(r#"{"name":"a","nmae":"b"}"#), (Code::Invalid, "nmae".into()));
        assert_eq!(fails(r#"{"name":"a","inner":{"count":-1}}"#), (Code::Invalid, "inner.count".into()));
        assert_eq!(fails(r#"{"name":"a","inner":{"cuont":1}}"#), (Code::Invalid, "inner.cuont".into()));
        assert_eq!(fails("[]").0, Code::Invalid);
        let sample = parse::<Sample>(br#"{"name":"a","inner":{"count":1}}"#).expect("good");
        assert_eq!((sample.name.as_str(), sample.inner.expect("there").count), ("a", 1));
    }

    #[actix_web::test]
    async fn a_body_too_large_is_told() {
        let app = test::init_service(App::new().route(
            "/",
            web::post().to(|body: Body| async move { body.json::<Sample>().map(|sample| HttpResponse::Ok().body(sample.name)) }),
        ))
        .await;
        let send = |size: usize| test::TestRequest::post().uri("/").set_payload(format!("{{\"name\":\"{}\"}}", "x".repeat(size)));
        assert_eq!(test::call_service(&app, send(10).to_request()).await.status(), 200);
        assert_eq!(test::call_service(&app, send(API_LIMIT).to_request()).await.status(), 413);
        for (told, status) in [
            ("application/json; charset=utf-8", 200),
            ("application/merge-patch+json", 200),
            ("application/x-www-form-urlencoded", 200),
            ("text/plain", 415),
            ("application/xml", 415),
            ("multipart/form-data; boundary=x", 415),
        ] {
            let request = send(10).insert_header(("content-type", told)).to_request();
            assert_eq!(test::call_service(&app, request).await.status(), status, "{told}");
        }
    }

    proptest! {
        #[::core::prelude::v1::test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse::<Sample>(&bytes);
        }
    }
}
