//! What every request passes first and every answer last: correlation, the `Host` check, headers, a log line.
//!
//! Handlers know GET only: HEAD is GET without the body, and OPTIONS is told what there is.

use actix_web::{
    Error, HttpMessage as _, ResponseError as _,
    body::{self, BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};

use super::{
    node::Node,
    problem::{Code, Problem},
};
use crate::{domain::ids::CorrelationId, telemetry::Counter};

/// Names the correlation id of an answer.
pub const CORRELATION: HeaderName = HeaderName::from_static("wicketgate-correlation");

/// See the module.
pub async fn shell<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let node = request.app_data::<web::Data<Node>>().cloned().expect("every application is given its node");
    let correlation = CorrelationId(node.clock.id());
    let began = node.now();
    request.extensions_mut().insert(correlation);
    let method = request.method().clone();
    if method == Method::HEAD {
        request.head_mut().method = Method::GET;
    }
    let outcome = if node.hosts.admits(&request) {
        next.call(request).await.map(ServiceResponse::map_into_boxed_body)
    } else {
        let problem =
            Problem::new(Code::WrongHost, "This node listens on loopback and does not answer to that name; see `[node] hosts`.");
        Ok(request.into_response(problem.error_response()))
    };
    let mut response = told(outcome?, &method);
    if method == Method::HEAD {
        response = response.map_body(|_, _| BoxBody::new(body::None::new()));
    }
    dress(&mut response, correlation);
    let status = response.status().as_u16();
    node.metrics.add(Counter::of_status(status), 1);
    let path = response.request().path();
    if path.starts_with("/link/") {
        node.metrics.add(Counter::LinkRequests, 1);
    }
    // The pattern, not the path: a path may hold a token. Found only where a line is written, for that takes its time.
    let route = || response.request().match_pattern().unwrap_or_else(|| "(none)".to_owned());
    let took_ms = || node.now().since(began).as_millis();
    if status >= 500 {
        tracing::warn!(%method, route = route(), status, took_ms = took_ms(), %correlation, "a request failed");
    } else if path.starts_with("/api/") && method.as_str() != "GET" {
        tracing::info!(%method, route = route(), status, took_ms = took_ms(), %correlation, "a request was answered");
    } else {
        tracing::debug!(%method, route = route(), status, took_ms = took_ms(), %correlation, "a request was answered");
    }
    Ok(response)
}

/// The framework's own refusals have no body: they are given ours.
fn told(mut response: ServiceResponse<BoxBody>, method: &Method) -> ServiceResponse<BoxBody> {
    let empty = matches!(response.response().body().size(), BodySize::None | BodySize::Sized(0));
    let problem = match response.status() {
        StatusCode::NOT_FOUND if empty => Problem::not_found("address"),
        StatusCode::METHOD_NOT_ALLOWED if empty && *method == Method::OPTIONS => {
            *response.response_mut().status_mut() = StatusCode::NO_CONTENT;
            return response;
        }
        StatusCode::METHOD_NOT_ALLOWED if empty => {
            Problem::new(Code::MethodNotAllowed, "`Allow` of this answer names those that it takes.")
        }
        _ => return response,
    };
    let allow = response.headers().get(header::ALLOW).cloned();
    let (request, _) = response.into_parts();
    let mut answer = problem.error_response();
    if let Some(allow) = allow {
        answer.headers_mut().insert(header::ALLOW, allow);
    }
    ServiceResponse::new(request, answer)
}

fn dress(response: &mut ServiceResponse<BoxBody>, correlation: CorrelationId) {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&correlation.to_string()) {
        headers.insert(CORRELATION, value);
    }
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in fixed {
        // A page that knows better (the console's own policy) has set it already.
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// The id that follows this request through the logs.
pub fn correlation(request: &actix_web::HttpRequest, node: &Node) -> CorrelationId {
    request.extensions().get::<CorrelationId>().copied().unwrap_or_else(|| CorrelationId(node.clock.id()))
}
