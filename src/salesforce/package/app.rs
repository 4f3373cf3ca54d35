//! The client app by which the node logs in, in its two kinds: an External Client App, or a Connected App where an org has
//! that already or Salesforce allowed it. One of them is deployed, not both.
//!
//! PKCE is required and refresh tokens rotate in any case. Neither key nor secret is in here: the org makes them, and an
//! admin copies them from Setup.

use super::{
    Component, Files, Kind, Part, Wanted,
    fill::{By, element, fill},
};

/// How the node logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppFlow {
    /// As the app's run-as user.
    ClientCredentials,
    /// By a signed assertion.
    JwtBearer,
    /// A person signs in once.
    AuthorizationCode,
}

macro_rules! kind {
    ($name:literal, $folder:literal, $ending:literal) => {
        Kind { name: $name, folder: $folder, ending: $ending }
    };
}

const ECA: Kind = kind!("ExternalClientApplication", "externalClientApps", "eca");
const OAUTH: Kind = kind!("ExtlClntAppOauthSettings", "extlClntAppOauthSettings", "ecaOauth");
const GLOBAL: Kind = kind!("ExtlClntAppGlobalOauthSettings", "extlClntAppGlobalOauthSets", "ecaGlblOauth");
const OAUTH_POLICIES: Kind = kind!("ExtlClntAppOauthConfigurablePolicies", "extlClntAppOauthPolicies", "ecaOauthPlcy");
const POLICIES: Kind = kind!("ExtlClntAppConfigurablePolicies", "extlClntAppPolicies", "ecaPlcy");
const CONNECTED: Kind = kind!("ConnectedApp", "connectedApps", "connectedApp");

macro_rules! template {
    ($name:literal) => {
        include_str!(concat!("../../../salesforce/templates/", $name, ".xml"))
    };
}

/// Base64 of a certificate as metadata holds it: without the lines around it.
fn certificate(pem: &str) -> String {
    pem.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect()
}

pub(super) fn components(wanted: &Wanted) -> Vec<Component> {
    let callback = format!("{}/salesforce/{}/oauth/callback", wanted.base_url, wanted.tracker);
    let run_as = wanted.flow == AppFlow::ClientCredentials;
    let flag = if run_as { "true" } else { "false" };
    let scopes: &[&str] = if run_as { &["Api"] } else { &["Api", "RefreshToken"] };
    let certificate = |indent| {
        let pem = wanted.certificate.as_deref().filter(|_| wanted.flow == AppFlow::JwtBearer);
        pem.map(|pem| element(indent, "certificate", &certificate(pem))).unwrap_or_default()
    };
    let user = |indent, name| if run_as { element(indent, name, &wanted.user) } else { String::new() };
    let by = |certificate, run_as, scopes| {
        [
            ("contact", By::Text(wanted.contact.as_str())),
            ("callback", By::Text(callback.as_str())),
            ("client_credentials", By::Text(flag)),
            ("certificate", By::Lines(certificate)),
            ("run_as", By::Lines(run_as)),
            ("scopes", By::Lines(scopes)),
        ]
    };
    let (own_certificate, own_user, own_scopes) = (certificate(4), user(4, "clientCredentialsFlowUser"), scopes.join(", "));
    let eca = by(&own_certificate, &own_user, &own_scopes);
    let (inner_certificate, inner_user) = (certificate(8), user(8, "oauthClientCredentialUser"));
    let inner_scopes: String = scopes.iter().map(|scope| element(8, "scopes", scope)).collect();
    let connected = by(&inner_certificate, &inner_user, &inner_scopes);
    let component = |part, kind, name: &str, text| Component {
        part,
        kind,
        member: name.to_owned(),
        files: Files::One(name.to_owned(), text),
    };
    let part = Part::ExternalClientApp;
    // The org makes the policies by itself when the app comes into being, under this name.
    let policy = "Wicketgate_defaultPolicy";
    vec![
        component(part, &ECA, "Wicketgate", fill(template!("externalClientApp"), &eca)),
        component(part, &OAUTH, "Wicketgate", fill(template!("oauthSettings"), &eca)),
        component(part, &GLOBAL, "Wicketgate", fill(template!("globalOauthSettings"), &eca)),
        component(part, &OAUTH_POLICIES, policy, fill(template!("oauthPolicies"), &eca)),
        component(part, &POLICIES, policy, fill(template!("policies"), &eca)),
        component(Part::ConnectedApp, &CONNECTED, "Wicketgate", fill(template!("connectedApp"), &connected)),
    ]
}
