//! What may be chosen about a stand-in org.

use std::{net::SocketAddr, time::Duration};

use super::schema::ObjectType;
use crate::secret::Secret;

/// Everything that may be chosen; `OrgSettings::default()` is a fresh org on a free port.
#[derive(Clone, Debug)]
pub struct OrgSettings {
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    /// The org's own id, 18 characters.
    pub org_id: String,
    /// The consumer key of its one client app.
    pub client_id: String,
    /// That app's secret.
    pub client_secret: Secret,
    /// Registered redirect addresses; empty accepts any.
    pub redirect_uris: Vec<String>,
    /// The integration user's name.
    pub integration_username: String,
    /// The human agent's name.
    pub agent_username: String,
    /// Client credentials have a run-as user.
    pub client_credentials_user: bool,
    /// The public key (PEM) whose private half signs JWTs; without it the JWT flow is refused.
    pub jwt_public_key: Option<String>,
    /// An authorization request without a code challenge is refused.
    pub pkce_required: bool,
    /// A refresh gives a new refresh token and kills the old one.
    pub refresh_rotation: bool,
    /// The sign-in page answers by itself, as the integration user.
    pub auto_approve: bool,
    /// Calls in 24 hours.
    pub daily_limit: u64,
    /// A session dies when it was idle for this long.
    pub session_idle: Duration,
    /// Case has `Wicketgate_Id__c`.
    pub external_id: bool,
    /// More object types.
    pub custom_objects: Vec<ObjectType>,
    /// More fields on standard objects: object name, field.
    pub custom_fields: Vec<(String, super::schema::Field)>,
    /// What the org does by itself on a save.
    pub automation: Automation,
    /// How outbound messages behave.
    pub outbound: OutboundSettings,
    /// What `Sforce-Limit-Info` tells.
    pub limit_header: LimitHeader,
    /// Most rows in a page of a query; a real org may give fewer than 2,000, as it likes.
    pub page: usize,
}

/// What `Sforce-Limit-Info` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitHeader {
    /// The org's calls.
    #[default]
    Org,
    /// The app's quota first, then the org's calls.
    AppAndOrg,
    /// It is left out.
    Absent,
}

/// What is sent for a record that was deleted before its message left; which of them a real org sends is not published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletedForm {
    /// A record with nothing but its id.
    #[default]
    OnlyId,
    /// A record that is nil.
    Nil,
    /// No record.
    Missing,
}

/// What the org does by itself on a save.
#[derive(Clone, Copy, Debug, Default)]
pub struct Automation {
    /// A Case whose subject contains `INVALID` is refused by a validation rule.
    pub validation_rule: bool,
    /// A flow trims the Subject and upper-cases its first letter on every save.
    pub trims_subject: bool,
    /// A flow appends a line to the Description of every saved Case that lacks it.
    pub signs_description: bool,
    /// A second open Case with the same Subject is refused by a duplicate rule that can be overridden.
    pub duplicate_rule: bool,
}

/// How outbound messages behave.
#[derive(Clone, Copy, Debug)]
pub struct OutboundSettings {
    /// Divides all waiting: 30 s to the first retry become 30 ms with 1000.
    pub haste: f64,
    /// Waiting for the listener.
    pub timeout: Duration,
    /// Share of acknowledged notifications (0 to 1) that are sent once more.
    pub duplicates: f64,
    /// Random part of a pause, 0 to 1.
    pub jitter: f64,
    /// Messages older than 24 hours stay listed as dead letters.
    pub dead_letters: bool,
    /// What is sent for a deleted record.
    pub deleted_form: DeletedForm,
}

impl Default for OutboundSettings {
    fn default() -> Self {
        Self {
            haste: 1.0,
            timeout: Duration::from_secs(60),
            duplicates: 0.0,
            jitter: 0.2,
            dead_letters: false,
            deleted_form: DeletedForm::default(),
        }
    }
}

impl Default for OrgSettings {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            org_id: super::ids::to_18("00D5i000000XyZa").expect("the text has the shape of an id"),
            client_id: "sandbox-client".to_owned(),
            client_secret: Secret::new("sandbox-secret"),
            redirect_uris: Vec::new(),
            integration_username: "sync.integration@example.com".to_owned(),
            agent_username: "mira.olsen@example.com".to_owned(),
            client_credentials_user: true,
            jwt_public_key: None,
            pkce_required: true,
            refresh_rotation: true,
            auto_approve: false,
            daily_limit: 15_000,
            session_idle: Duration::from_secs(2 * 3600),
            external_id: true,
            custom_objects: Vec::new(),
            custom_fields: Vec::new(),
            automation: Automation::default(),
            outbound: OutboundSettings::default(),
            limit_header: LimitHeader::default(),
            page: 2000,
        }
    }
}
