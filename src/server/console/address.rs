//! Where a page stands that answered a form.
//!
//! Many forms go to an address of their own (`/connections/{id}/change`), and a refused one is answered there, with its page
//! again. Such a page names the address at which it is found without the form: the module puts it into the address bar, so
//! that a reload, or the news that fetch the page again, find it. Without the module a reload leads there by a redirect.
//!
//! The trap: a frame knows its person but not its request, so the address goes beside the request and with its person.
//!
//! To add a form without a page at its own address: [`form`] in the place of `resource`, with the pattern of the page.

use std::future::ready;

use actix_web::{
    Error, HttpMessage as _, HttpRequest, Resource,
    body::{BoxBody, MessageBody},
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    middleware::{Next, from_fn},
    web,
};

use super::{gate::Person, page};

/// Address of the page that a form's answer shows: beside the request, unless the page stands at its own.
#[derive(Clone, Debug)]
pub(super) struct PageAddress(pub String);

/// A resource that takes forms of the page at that pattern; whoever gets it is led to the page.
pub(super) fn form(
    path: &str,
    page: &'static str,
) -> Resource<
    impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<impl MessageBody>, Error = Error, InitError = ()>,
> {
    let lead = move |_: Person, request: HttpRequest| ready(page::go(&filled(page, request.uri().path())));
    let name = move |request: ServiceRequest, next: Next<BoxBody>| {
        let address = PageAddress(filled(page, request.uri().path()));
        request.extensions_mut().insert(address);
        next.call(request)
    };
    web::resource(path).wrap(from_fn(name)).route(web::get().to(lead))
}

/// The pattern with the parts that the form's path has in the same places.
fn filled(pattern: &str, path: &str) -> String {
    let mut parts = path.split('/').map(Some).chain(std::iter::repeat(None));
    let part = |known| parts.next().flatten().filter(|_| str::starts_with(known, '{')).unwrap_or(known);
    pattern.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::filled;

    #[test]
    fn a_page_is_found_by_the_parts_of_its_forms_path() {
        assert_eq!(filled("/errors", "/errors/many"), "/errors");
        assert_eq!(filled("/trackers/{name}", "/trackers/a%2Fb/check"), "/trackers/a%2Fb");
        assert_eq!(filled("/connections/{id}/rules/publish", "/connections/7/rules/preview"), "/connections/7/rules/publish");
        assert_eq!(filled("/settings", "/settings/sessions/x"), "/settings");
    }
}
