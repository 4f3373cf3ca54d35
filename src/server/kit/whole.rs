//! A request that changes something runs to its end, whether or not its caller stays to hear of it.
//!
//! The framework drops the work on a request whose caller hangs up. Half a change would be left: a connection without its
//! code, or an `Idempotency-Key` whose first request is "at work" for a day, just when the caller comes back with it. So
//! what changes something has a task of its own.

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};

use super::problem::{Code, Problem};

/// See the module.
pub async fn whole<B: MessageBody + 'static>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    if request.method().is_safe() {
        return next.call(request).await;
    }
    let work = actix_web::rt::spawn(async move { next.call(request).await });
    work.await.unwrap_or_else(|crashed| {
        tracing::error!(error = %crashed, "a request crashed");
        Err(Problem::new(Code::Internal, "The request crashed; the node's log says more.").into())
    })
}
