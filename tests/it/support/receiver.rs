//! A host that keeps what it is sent and answers what the test says.

use std::sync::{Arc, Mutex};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, web};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Got {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Got {
    /// A header's value.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// What to answer: status, headers, body.
pub type Reply = (u16, Vec<(&'static str, String)>, String);

/// See the module.
pub struct Receiver {
    pub url: String,
    seen: Arc<Mutex<Vec<Got>>>,
    handle: ServerHandle,
}

impl Receiver {
    /// Answers each request by `answer`, which is told how many came before.
    pub fn start(answer: impl Fn(&Got, usize) -> Reply + Send + Sync + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (seen.clone(), Arc::new(answer));
        let server = HttpServer::new(move || {
            let (kept, answer) = (kept.clone(), answer.clone());
            App::new().default_service(web::to(move |request: HttpRequest, body: web::Bytes| {
                let (kept, answer) = (kept.clone(), answer.clone());
                async move {
                    let headers = request.headers().iter();
                    let headers =
                        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned())).collect();
                    let (method, path) = (request.method().to_string(), request.uri().to_string());
                    let got = Got { method, path, headers, body: body.to_vec() };
                    let before = {
                        let mut kept = kept.lock().expect("no test panics inside");
                        kept.push(got.clone());
                        kept.len() - 1
                    };
                    let (status, headers, body) = answer(&got, before);
                    let mut reply = HttpResponse::build(status.try_into().expect("a status"));
                    headers.into_iter().for_each(|header| {
                        reply.insert_header(header);
                    });
                    reply.body(body)
                }
            }))
        })
        .workers(1)
        .disable_signals()
        .shutdown_timeout(0)
        .bind("127.0.0.1:0")
        .expect("a port");
        let url = format!("http://{}", server.addrs()[0]);
        let running = server.run();
        let handle = running.handle();
        std::thread::spawn(move || actix_web::rt::System::new().block_on(running));
        Self { url, seen, handle }
    }

    /// All that came.
    pub fn seen(&self) -> Vec<Got> {
        self.seen.lock().expect("no test panics inside").clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}
