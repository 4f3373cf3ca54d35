//! The check of an org: step by step from the name to the permissions, and what to do about the first that fails.
//!
//! A step that another needs ends the walk; the rest is told as skipped, so that a person sees one cause and not ten.

use std::{collections::HashSet, time::Duration};

use serde_json::Value;

use super::{describe::Described, settings::Flow, tracker::Salesforce};
use crate::{
    clock::Time,
    domain::tracker::{Caller, CheckStatus, CheckStep, TrackerError},
};

const STEPS: [&str; 10] = [
    "name resolution",
    "connection",
    "API versions",
    "login",
    "org",
    "permissions",
    "external id fields",
    "API allowance",
    "message permission",
    "last message",
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
    // A fresh login: a token that still lives would hide a secret that was changed.
    if let (Some(login), true) = (sf.rest.tokens.last(), sf.settings().flow != Flow::AuthorizationCode) {
        sf.rest.tokens.refused(&login).await;
    }
    let login = sf.rest.tokens.get().await;
    if !walk.note(login.clone().and_then(|login| ok(format!("Logged in as user {} at {}.", login.user_id, login.instance_url)))) {
        return walk.finish();
    }
    let bound = sf.bound_org_id().await;
    walk.note(bound.and_then(|org| ok(format!("Bound to org {}.", org.unwrap_or_default()))));
    let described = sf.descriptions.get(&sf.rest, Caller::Person, "Case").await;
    if !walk.note(described.and_then(|described| permissions(&described))) {
        return walk.finish();
    }
    let fields = external_fields(sf).await;
    walk.note(fields);
    let allowance = sf.rest.probe().await.and_then(|calls| match calls {
        Some(calls) => ok(format!("{} of {} calls of the last 24 hours are used.", calls.used, calls.limit)),
        None => Ok((CheckStatus::Skipped, "Salesforce does not tell.".to_owned(), String::new())),
    });
    walk.note(allowance);
    let senders =
        senders(sf).await.unwrap_or_else(|error| (CheckStatus::Skipped, format!("Not to be seen: {error}"), error.advice));
    walk.note(Ok(senders));
    let asks = "A person saves a record; told when that message has come.".to_owned();
    walk.note(Ok((CheckStatus::Skipped, asks, String::new())));
    walk.finish()
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

fn permissions(described: &Described) -> Outcome {
    let missing: Vec<&str> = [("create", described.createable), ("edit", described.updateable)]
        .into_iter()
        .filter_map(|(name, may)| (!may).then_some(name))
        .collect();
    if missing.is_empty() {
        let writable = described.description.fields.iter().filter(|field| field.writable).count();
        return ok(format!("Cases can be made and changed; {writable} fields can be written."));
    }
    let advice = "Give the integration user's permission set these rights on Case.";
    Ok((CheckStatus::Failed, format!("The integration user may not {} cases.", missing.join(" and ")), advice.to_owned()))
}

async fn external_fields(sf: &Salesforce) -> Outcome {
    if sf.settings().external_id_fields.is_empty() {
        let detail = "None is configured: a create whose answer is lost will wait for a person.";
        let advice = "Install the metadata package and set external_id_fields = { Case = \"Wicketgate_Id__c\" }.";
        return Ok((CheckStatus::Skipped, detail.to_owned(), advice.to_owned()));
    }
    let mut faults = Vec::new();
    for (entity_type, name) in &sf.settings().external_id_fields {
        let described = sf.descriptions.get(&sf.rest, Caller::Person, entity_type).await?;
        match described.rights.get(name) {
            None => faults.push(format!("{entity_type}.{name} does not exist or is hidden")),
            Some(rights) if !rights.createable => faults.push(format!("{entity_type}.{name} cannot be written")),
            Some(_) => {}
        }
    }
    if faults.is_empty() {
        return ok("All are there and can be written.");
    }
    let advice = "Install the metadata package, and give the integration user read and edit on the field.";
    Ok((CheckStatus::Failed, format!("{}.", faults.join("; ")), advice.to_owned()))
}

/// Whose saves send no message: a count, and whether our own would send echoes. Neither stops the sync, so both are
/// advice and no failure.
async fn senders(sf: &Salesforce) -> Result<(CheckStatus, String, String), TrackerError> {
    let of_active = "SELECT AssigneeId FROM PermissionSetAssignment WHERE Assignee.IsActive = true AND";
    let edit =
        "PermissionSetId IN (SELECT ParentId FROM ObjectPermissions WHERE SobjectType = 'Case' AND PermissionsEdit = true)";
    let editors = users(sf, &format!("{of_active} {edit}")).await?;
    let senders = users(sf, &format!("{of_active} PermissionSet.PermissionsEnableNotifications = true")).await?;
    let us = sf.user_id().unwrap_or_default();
    let silent = editors.difference(&senders).filter(|id| **id != us).count();
    if silent > 0 {
        let detail = format!("{silent} active users may edit cases but lack Send Outbound Messages: their saves send none.");
        let advice = "Give them the permission by a permission set; until then the light look finds their changes.";
        return Ok((CheckStatus::Ok, detail, advice.to_owned()));
    }
    if senders.contains(&us) {
        let detail = "The integration user has Send Outbound Messages: each of our writes sends a message back.";
        return Ok((CheckStatus::Ok, detail.to_owned(), "Take the permission from the integration user.".to_owned()));
    }
    Ok((CheckStatus::Ok, "All active users who may edit cases send messages.".to_owned(), String::new()))
}

async fn users(sf: &Salesforce, soql: &str) -> Result<HashSet<String>, TrackerError> {
    let rows = sf.query(Caller::Person, soql, false, MOST_USERS).await?;
    Ok(rows.records.iter().filter_map(|row| row.get("AssigneeId").and_then(Value::as_str)).map(str::to_owned).collect())
}
