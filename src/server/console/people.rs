//! The first account, signing in and out.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use askama::Template;
use serde::Deserialize;

use super::{
    form::Errors,
    gate::{self, Open, Refusal, Signed},
    page::{self, Frame},
};
use crate::{
    secret::Secret,
    server::kit::{
        Node,
        accounts::{self, SessionSecret, Visitor},
        address,
    },
};

/// Longest name of a browser that is kept.
const BROWSER: usize = 300;

#[derive(Debug, Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Template)]
#[template(path = "people/sign_in.html", config = "src/server/console/askama.toml")]
struct SignInPage {
    frame: Frame,
    next: String,
    name: String,
    errors: Errors,
    /// Nobody has an account yet.
    first: bool,
}

/// `GET /sign-in`
pub(super) async fn sign_in_page(node: web::Data<Node>, asked: web::Query<Next>) -> Result<HttpResponse, Refusal> {
    let first = accounts::set_up_link(&node).is_some();
    let page = SignInPage {
        frame: Frame::open("Sign in"),
        next: page::within(&asked.next).to_owned(),
        name: String::new(),
        errors: Errors::default(),
        first,
    };
    page::ok(&page)
}

/// `POST /sign-in`
pub(super) async fn sign_in(node: web::Data<Node>, request: HttpRequest, Open(form): Open) -> Result<HttpResponse, Refusal> {
    let next = page::within(form.get("next")).to_owned();
    let password = Secret::new(form.get("password"));
    match accounts::sign_in(&node, form.get("name"), password, &visitor(&node, &request)).await {
        Ok((secret, _)) => Ok(signed_in(&node, &request, &secret, &next)),
        Err(problem) => {
            let status = StatusCode::from_u16(problem.code.status()).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
            let page = SignInPage {
                frame: Frame::open("Sign in"),
                next,
                name: form.get("name").to_owned(),
                errors: Errors::of(&problem, &["name", "password"]),
                first: false,
            };
            Ok(page::show(status, &page))
        }
    }
}

fn visitor(node: &Node, request: &HttpRequest) -> Visitor {
    let told = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let browser = told.chars().take(BROWSER).collect();
    Visitor { address: address::of_request(request, &node.trusted_proxies), browser }
}

fn signed_in(node: &Node, request: &HttpRequest, secret: &SessionSecret, next: &str) -> HttpResponse {
    let mut answer = page::go(next);
    // The cookie's value is our own, so it cannot be refused.
    let _ = answer.add_cookie(&gate::session_cookie(request, node, secret.expose()));
    answer
}

/// `POST /sign-out`
pub(super) async fn sign_out(node: web::Data<Node>, request: HttpRequest, _: Signed) -> Result<HttpResponse, Refusal> {
    if let Some(cookie) = gate::cookie(&request, &node) {
        accounts::sign_out(&node, &cookie).await?;
    }
    let mut answer = page::go("/sign-in");
    let _ = answer.add_cookie(&gate::session_cookie(&request, &node, ""));
    Ok(answer)
}

#[derive(Template)]
#[template(path = "people/setup.html", config = "src/server/console/askama.toml")]
struct SetUpPage {
    frame: Frame,
    secret: String,
    name: String,
    errors: Errors,
    /// Somebody has an account already.
    done: bool,
}

/// `GET /setup`
pub(super) async fn set_up_page(node: web::Data<Node>) -> Result<HttpResponse, Refusal> {
    let done = accounts::set_up_link(&node).is_none();
    let (secret, name, errors) = (String::new(), String::new(), Errors::default());
    page::ok(&SetUpPage { frame: Frame::open("Set up"), secret, name, errors, done })
}

/// `POST /setup`
pub(super) async fn set_up(node: web::Data<Node>, request: HttpRequest, Open(form): Open) -> Result<HttpResponse, Refusal> {
    let refused = |errors: Errors| {
        let (secret, name) = (form.get("secret").to_owned(), form.get("name").to_owned());
        page::unfit(&SetUpPage { frame: Frame::open("Set up"), secret, name, errors, done: false })
    };
    if form.get("password") != form.get("again") {
        return refused(Errors::one("again", "Is not the same as the password above."));
    }
    let password = Secret::new(form.get("password"));
    match accounts::set_up(&node, form.get("secret"), form.get("name"), password, &visitor(&node, &request)).await {
        Ok((secret, _)) => Ok(signed_in(&node, &request, &secret, "/")),
        Err(problem) => refused(Errors::of(&problem, &["secret", "name", "password"])),
    }
}
