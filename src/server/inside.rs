//! Joins the console to the API: the API's routes as a service of this worker thread, asked without a socket.
//!
//! The routes are the ones at the door, with the same middleware but one: who asks is given, not read from a header. They
//! are made at the first question of a thread, for a node may never see a browser.

use std::{rc::Rc, sync::Arc};

use actix_http::{Payload, Request};
use actix_service::{IntoServiceFactory as _, Service as _, ServiceFactory as _, boxed, map_config};
use actix_web::{
    App, Error, HttpMessage as _,
    body::{BoxBody, MessageBody as _},
    dev::{AppConfig, ServiceResponse},
    http::{
        Method, Uri,
        header::{self, HeaderName, HeaderValue},
    },
    web,
};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use tokio::sync::OnceCell as AsyncOnce;

use super::{
    api,
    kit::{
        Node, Problem,
        inside::{Answer, Ask, Inside},
        problem::Code,
        query,
    },
};

type Routes = boxed::BoxService<Request, ServiceResponse<BoxBody>, Error>;

/// See the module.
pub(super) struct Within {
    node: Arc<Node>,
    routes: AsyncOnce<Rc<Routes>>,
}

impl Within {
    pub(super) fn of(node: Arc<Node>) -> Rc<dyn Inside> {
        Rc::new(Self { node, routes: AsyncOnce::new() })
    }

    async fn routes(&self) -> Rc<Routes> {
        let make = || async {
            let app = App::new()
                .app_data(web::Data::from(self.node.clone()))
                .app_data(query::path_config())
                .app_data(query::query_config())
                .configure(api::within);
            let made = map_config(app.into_factory(), |()| AppConfig::default()).new_service(()).await;
            Rc::new(boxed::service(made.expect("routes are made of plain data")))
        };
        self.routes.get_or_init(make).await.clone()
    }
}

impl Inside for Within {
    fn ask(&self, ask: Ask) -> LocalBoxFuture<'_, Answer> {
        Box::pin(async move {
            let answered = match request(ask) {
                Ok(request) => self.routes().await.call(request).await,
                Err(problem) => Err(problem.into()),
            };
            match answered {
                Ok(response) => {
                    let (head, body) = response.into_parts().1.into_parts();
                    Answer { status: head.status(), headers: head.headers().clone(), body }
                }
                Err(error) => {
                    let (head, body) = error.error_response().into_parts();
                    Answer { status: head.status(), headers: head.headers().clone(), body: body.boxed() }
                }
            }
        })
    }
}

fn request(ask: Ask) -> Result<Request, Problem> {
    let uri: Uri = format!("{}{}", api::BASE, ask.path)
        .parse()
        .map_err(|_| Problem::new(Code::MalformedRequest, "This address cannot be meant."))?;
    let bytes = ask.body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let mut request = Request::with_payload(Payload::from(bytes));
    let head = request.head_mut();
    (head.method, head.uri, head.peer_addr) = (ask.method, uri, ask.from);
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(key) = ask.key.filter(|_| head.method == Method::POST)
        && let Ok(key) = HeaderValue::from_str(&key)
    {
        head.headers.insert(HeaderName::from_static("idempotency-key"), key);
    }
    request.extensions_mut().insert(ask.caller);
    Ok(request)
}
