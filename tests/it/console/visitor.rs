//! A person with a browser that keeps one cookie, follows no redirect and runs no script.

use reqwest::{Method, Response, header};
use serde_json::json;

use crate::support::{TestNode, node::http};

pub(super) const PASSWORD: &str = "correct horse battery";

/// What a page answered.
pub(super) struct Page {
    pub status: u16,
    pub location: String,
    pub policy: String,
    pub html: String,
}

impl Page {
    async fn of(answer: Response) -> Self {
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let (location, policy) = (header(header::LOCATION), header(header::CONTENT_SECURITY_POLICY));
        Self { status: answer.status().as_u16(), location, policy, html: answer.text().await.expect("a body") }
    }

    /// A hidden field's value.
    pub(super) fn hidden(&self, name: &str) -> String {
        let after = self.html.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap_or_default();
        after.split('"').next().unwrap_or_default().to_owned()
    }

    pub(super) fn says(&self, text: &str) -> bool {
        self.html.contains(text)
    }
}

pub(super) struct Visitor {
    http: reqwest::Client,
    pub base: String,
    pub cookie: String,
    pub token: String,
}

impl Visitor {
    /// Somebody who is not signed in.
    pub(super) fn nobody(node: &TestNode) -> Self {
        Self { http: http(), base: node.url.clone(), cookie: String::new(), token: String::new() }
    }

    /// Makes an account of this role and signs in with it.
    pub(super) async fn with_role(node: &TestNode, role: &str) -> Self {
        node.post("/users", json!({"name": format!("{role} person"), "role": role, "password": PASSWORD})).await;
        let mut visitor = Self::nobody(node);
        let page = visitor.sign_in(&format!("{role} person"), PASSWORD).await;
        assert_eq!((page.status, page.location.as_str()), (303, "/"), "{}", page.html);
        visitor
    }

    pub(super) async fn sign_in(&mut self, name: &str, password: &str) -> Page {
        let answer = self.request(Method::POST, "/sign-in").header("sec-fetch-site", "same-origin");
        let answer = answer.form(&[("name", name), ("password", password), ("next", "/")]).send().await.expect("an answer");
        self.keep(&answer);
        let page = Page::of(answer).await;
        if page.status == 303 {
            self.token = self.get("/connections").await.hidden("_token");
        }
        page
    }

    pub(super) fn keep(&mut self, answer: &Response) {
        if let Some(cookie) = answer.headers().get(header::SET_COOKIE) {
            let cookie = cookie.to_str().expect("text");
            assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && cookie.contains("Path=/"), "{cookie}");
            self.cookie = cookie.split(';').next().expect("a pair").to_owned();
        }
    }

    pub(super) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).header(header::COOKIE, &self.cookie)
    }

    pub(super) async fn get(&self, path: &str) -> Page {
        Page::of(self.request(Method::GET, path).send().await.expect("an answer")).await
    }

    /// As a browser goes to an address.
    pub(super) async fn go_to(&self, path: &str) -> Page {
        let request = self.request(Method::GET, path).header(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8");
        Page::of(request.send().await.expect("an answer")).await
    }

    /// Sends a form as a page of this session would.
    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let mut fields = fields.to_vec();
        fields.push(("_token", &self.token));
        let request = self.request(Method::POST, path).header("sec-fetch-site", "same-origin").form(&fields);
        Page::of(request.send().await.expect("an answer")).await
    }

    /// Sends a form with these headers and without a token.
    pub(super) async fn forge(&self, path: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Page {
        let mut request = self.request(Method::POST, path).form(fields);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Page::of(request.send().await.expect("an answer")).await
    }
}
