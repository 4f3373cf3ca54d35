//! The check of an org: step by step from the name to the permissions, and what to do about the first that fails.
//!
//! A step that another needs ends the walk; the rest is told as skipped, so that a person sees one cause and not ten.
//! Nothing is believed from before: the login is fresh and the objects are described anew, or a mended right would still
//! look missing. Whether a message comes only the door knows; it adds that step.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use serde_json::Value;

use super::{ids, settings::Flow, tracker::Salesforce};
use crate::{
    clock::Time,
    domain::tracker::{ApiCalls, Caller, CheckStatus, CheckStep, Tracker as _, TrackerError},
};

const STEPS: [&str; 9] = [
    "name resolution",
    "connection",
    "API versions",
    "login",
    "org",
    "permissions",
    "external id fields",
    "API allowance",
    "message permission",
];
/// Users that are counted at most.
const MOST_USERS: usize = 50_000;

type Outcome = Result<(CheckStatus, String, String), TrackerError>;

fn ok(detail: impl Into<String>) -> Outcome {
    Ok((CheckStatus::Ok, detail.into(), String::new()))
}

struct Walk<'a> {
    sf: &'a Salesforce,
    steps: Vec<CheckStep>,
    begun: Time,
}

impl Walk<'_> {
    /// Notes a step; false where it failed.
    fn note(&mut self, outcome: Outcome) -> bool {
        let now = self.sf.rest.clock.now();
        let took_ms = u64::try_from(now.since(self.begun).as_millis()).unwrap_or(u64::MAX);
        let (status, detail, advice) = match outcome {
            Ok(told) => told,
            Err(error) => (CheckStatus::Failed, error.to_string(), error.advice),
        };
        let name = STEPS[self.steps.len()].to_owned();
        self.steps.push(CheckStep { name, status, detail, advice, took_ms });
        self.begun = self.sf.rest.clock.now();
        status != CheckStatus::Failed
    }

    fn finish(mut self) -> Vec<CheckStep> {
        while self.steps.len() < STEPS.len() {
            self.note(Ok((CheckStatus::Skipped, "A step before it failed.".to_owned(), String::new())));
        }
        self.steps
    }
}

/// See [`crate::domain::tracker::Tracker::check`].
pub(super) async fn check(sf: &Salesforce) -> Vec<CheckStep> {
    let mut walk = Walk { sf, steps: Vec::new(), begun: sf.rest.clock.now() };
    let resolved = resolve(sf).await;
    walk.note(resolved.unwrap_or_else(|reason| {
        // Behind a proxy this machine need not know the name: whether it matters the next step shows.
        Ok((CheckStatus::Skipped, reason, "Only a proxy can help from here: check the address and the name servers.".to_owned()))
    }));
    let offered = sf.rest.versions(&sf.settings().login_origin()).await;
    let connected = match &offered {
        Ok(_) => ok(format!("{} answers.", sf.settings().login_origin())),
        Err(error) if error.code.starts_with("HTTP_") || !error.concerns_all() => ok("The host answers."),
        Err(error) => Err(error.clone()),
    };
    if !walk.note(connected) || !walk.note(offered.and_then(|offered| versions(&offered))) {
        return walk.finish();
    }
    // A token that still lives would hide a secret that was changed.
    if let (Some(login), true) = (sf.rest.tokens.last(), sf.settings().flow != Flow::AuthorizationCode) {
        sf.rest.tokens.refused(&login).await;
    }
    sf.descriptions.forget_all();
    let login = sf.rest.tokens.get().await;
    if !walk.note(login.clone().and_then(|login| ok(format!("Logged in as user {} at {}.", login.user_id, login.instance_url)))) {
        return walk.finish();
    }
    let bound = sf.bound_org_id().await;
    walk.note(bound.and_then(|org| ok(format!("Bound to org {}.", org.unwrap_or_default()))));
    if !walk.note(permissions(sf).await) {
        return walk.finish();
    }
    let fields = external_fields(sf).await;
    walk.note(fields);
    let allowance = sf.rest.probe().await.map(|calls| allowance(sf, calls));
    walk.note(allowance);
    let senders =
        senders(sf).await.unwrap_or_else(|error| (CheckStatus::Skipped, format!("Not to be seen: {error}"), error.advice));
    walk.note(Ok(senders));
    walk.finish()
}

fn allowance(sf: &Salesforce, calls: Option<ApiCalls>) -> (CheckStatus, String, String) {
    let Some(calls) = calls else { return (CheckStatus::Skipped, "Salesforce does not tell.".to_owned(), String::new()) };
    let reserve = sf.settings().api_reserve.of(calls.limit);
    let detail = format!("{} of {} calls of the last 24 hours are used; {reserve} are left to others.", calls.used, calls.limit);
    if calls.limit > 0 && calls.used >= calls.limit.saturating_sub(reserve) {
        let advice = "Sync rests until the allowance recovers. See who uses it (Setup, Company Information, API Requests), or lower `api_reserve`.";
        return (CheckStatus::Failed, detail, advice.to_owned());
    }
    (CheckStatus::Ok, detail, String::new())
}

async fn resolve(sf: &Salesforce) -> Result<Outcome, String> {
    let url = &sf.settings().login_url;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let look_up = tokio::net::lookup_host((host.as_str(), url.port_or_known_default().unwrap_or(443)));
    match tokio::time::timeout(Duration::from_secs(5), look_up).await {
        Ok(Ok(addresses)) => Ok(ok(format!("{host} has {} addresses.", addresses.count()))),
        Ok(Err(error)) => Err(format!("{host} is not found: {error}.")),
        Err(_) => Err(format!("No name server answered for {host}.")),
    }
}

fn versions(offered: &[super::ApiVersion]) -> Outcome {
    match (offered.iter().min(), offered.iter().max()) {
        (Some(oldest), Some(newest)) => ok(format!("{oldest} to {newest} are offered.")),
        _ => Err(super::error::unexpected("No versions of the API are listed: the address may lead to something else.", false)),
    }
}

/// Objects that matter: Case, and those that the configuration names.
fn types(sf: &Salesforce) -> BTreeSet<&str> {
    let settings = sf.settings();
    let named = settings.external_id_fields.keys().chain(settings.defaults.keys()).map(String::as_str);
    named.chain([sf.default_entity_type()]).collect()
}

async fn permissions(sf: &Salesforce) -> Outcome {
    let (mut seen, mut faults) = (Vec::new(), Vec::new());
    for entity_type in types(sf) {
        let described = match sf.descriptions.get(&sf.rest, Caller::Person, entity_type).await {
            Ok(described) => described,
            Err(error) if error.concerns_all() => return Err(error),
            Err(error) => {
                faults.push(format!("{entity_type} cannot be read ({error})"));
                continue;
            }
        };
        for (name, may) in [("create", described.createable), ("edit", described.updateable)] {
            if !may {
                faults.push(format!("the integration user may not {name} {entity_type} records"));
            }
        }
        if !described.rights.contains_key("SystemModstamp") {
            faults.push(format!("SystemModstamp of {entity_type} is hidden"));
        }
        let writable = described.description.fields.iter().filter(|field| field.writable).count();
        seen.push(format!("{entity_type} with {writable} writable fields"));
    }
    if faults.is_empty() {
        return ok(format!("May read, create and edit {}.", seen.join(", ")));
    }
    let advice = "Deploy what `wicketgate salesforce package` makes for these objects, and assign Wicketgate_Integration to the integration user: read, create and edit on them.";
    Ok((CheckStatus::Failed, format!("{}.", faults.join("; ")), advice.to_owned()))
}

async fn external_fields(sf: &Salesforce) -> Outcome {
    if sf.settings().external_id_fields.is_empty() {
        let detail = "None is configured: a create whose answer is lost will wait for a person.";
        let advice =
            "Deploy what `wicketgate salesforce package` makes, and set external_id_fields = { Case = \"Wicketgate_Id__c\" }.";
        return Ok((CheckStatus::Skipped, detail.to_owned(), advice.to_owned()));
    }
    let mut faults = Vec::new();
    for (entity_type, name) in &sf.settings().external_id_fields {
        let described = sf.descriptions.get(&sf.rest, Caller::Person, entity_type).await?;
        let place = format!("{entity_type}.{name}");
        let Some(rights) = described.rights.get(name) else {
            faults.push(format!("{place} does not exist or is hidden"));
            continue;
        };
        if !rights.createable {
            faults.push(format!("{place} cannot be written by the integration user"));
        }
        if !rights.external_id {
            faults.push(format!("{place} is no external id"));
        }
        if !rights.unique {
            faults.push(format!("{place} is not unique"));
        }
        if described.description.field(name).and_then(|field| field.length).is_some_and(|length| length < 36) {
            faults.push(format!("{place} has no room for 36 characters"));
        }
    }
    if faults.is_empty() {
        return ok("All are there: external ids, unique, and writable.");
    }
    let advice = "Deploy what `wicketgate salesforce package` makes (Text of 36, External ID, Unique, case-sensitive), which gives the integration user read and edit on the field, too.";
    Ok((CheckStatus::Failed, format!("{}.", faults.join("; ")), advice.to_owned()))
}

/// Whose saves send no message: our own should not, people's should. People who lack the permission are only counted,
/// since the light look finds their changes.
async fn senders(sf: &Salesforce) -> Result<(CheckStatus, String, String), TrackerError> {
    let of_active = "SELECT AssigneeId FROM PermissionSetAssignment WHERE Assignee.IsActive = true AND";
    let edit =
        "PermissionSetId IN (SELECT ParentId FROM ObjectPermissions WHERE SobjectType = 'Case' AND PermissionsEdit = true)";
    let editors = users(sf, &format!("{of_active} {edit}")).await?;
    let senders = users(sf, &format!("{of_active} PermissionSet.PermissionsEnableNotifications = true")).await?;
    let us = sf.user_id().unwrap_or_default();
    let silent = editors.difference(&senders).filter(|id| !ids::same(id, &us)).count();
    let (mut detail, mut advice) = (Vec::new(), Vec::new());
    let echoes = senders.iter().any(|id| ids::same(id, &us));
    if echoes {
        detail.push("The integration user has Send Outbound Messages: each of our writes sends a message back.".to_owned());
        advice.push("Take that permission from the integration user.");
    }
    if silent > 0 {
        detail.push(format!("{silent} active users may edit cases but lack Send Outbound Messages: their saves send none."));
        advice.push("Give it to them by the permission set Wicketgate_Send_Messages of the package; until then the light look finds their changes.");
    }
    if detail.is_empty() {
        detail.push("All active users who may edit cases send messages, and the integration user sends none.".to_owned());
    }
    let status = if echoes { CheckStatus::Failed } else { CheckStatus::Ok };
    Ok((status, detail.join(" "), advice.join(" ")))
}

async fn users(sf: &Salesforce, soql: &str) -> Result<HashSet<String>, TrackerError> {
    let rows = sf.query(Caller::Person, soql, false, MOST_USERS).await?;
    Ok(rows.records.iter().filter_map(|row| row.get("AssigneeId").and_then(Value::as_str)).map(str::to_owned).collect())
}
