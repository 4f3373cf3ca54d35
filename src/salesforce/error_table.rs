//! What Salesforce's codes mean, as two tables and one by status.
//!
//! The first row that fits counts, so a row with a part of a message stands before the one without. What an administrator
//! mends in the org is tried hourly, since nobody tells us that it was mended; only a sign-in waits for its person.

use std::time::Duration;

use crate::domain::tracker::{
    Fault::{self, Allowance, Configuration, Login, Network, Record, Tracker},
    Retry::{self, Hourly, Newer},
};

/// A code, and what it means.
pub(super) struct Row {
    pub code: &'static str,
    pub part: &'static str,
    pub fault: Fault,
    pub retry: Retry,
    pub title: &'static str,
    pub advice: &'static str,
}

const fn row(
    code: &'static str,
    part: &'static str,
    fault: Fault,
    retry: Retry,
    title: &'static str,
    advice: &'static str,
) -> Row {
    Row { code, part, fault, retry, title, advice }
}

/// By itself, with growing pauses.
pub(super) const SOON: Retry = Retry::Soon(None);
const fn after(seconds: u64) -> Retry {
    Retry::Soon(Some(Duration::from_secs(seconds)))
}

/// `error` of a token answer, part of its description, and what they mean.
#[rustfmt::skip]
pub(super) const LOGIN: &[Row] = &[
    row("invalid_grant", "access/refresh token", Login, Newer, "The sign-in has ended",
        "The refresh token has expired, was revoked or its user was frozen: sign in again from the tracker's page."),
    row("invalid_grant", "authorization code", Login, Newer, "The sign-in took too long or was used twice",
        "Start the sign-in again; a code lives 15 minutes and serves once."),
    row("invalid_grant", "code verifier", Login, Newer, "The sign-in does not belong to this start",
        "Start the sign-in again and finish it in the same browser and on the same node."),
    row("invalid_request", "code verifier", Login, Newer, "The sign-in does not belong to this start",
        "Start the sign-in again and finish it in the same browser and on the same node."),
    row("invalid_grant", "authentication failure", Login, Hourly, "Salesforce does not know this user or the user is locked",
        "Check `username` and that the integration user is active and not locked."),
    row("invalid_grant", "hasn't approved this consumer", Login, Hourly, "The integration user has not approved the app",
        "In the app's policies set Permitted Users to \"Admin approved users are pre-authorized\" and assign the \
         integration user's permission set; check `username`."),
    row("invalid_app_access", "", Login, Hourly, "The app is not approved for the integration user",
        "Assign the app's permission set or profile to the integration user."),
    row("invalid_grant", "audience", Configuration, Newer, "Salesforce refuses the assertion's audience",
        "Set `login_url` to the org's My Domain address (a sandbox has its own)."),
    row("invalid_grant", "assertion", Login, Hourly, "Salesforce refuses the signed assertion",
        "Check that `private_key` belongs to the certificate uploaded to the app, and that this machine's clock is right."),
    row("invalid_grant", "expired", Login, Hourly, "Salesforce calls the assertion expired",
        "Check this machine's clock and that `private_key` belongs to the certificate uploaded to the app."),
    row("invalid_grant", "no client credentials user", Login, Hourly, "The app has no user to run as",
        "In the app's policies enable the Client Credentials Flow and set Run As to the integration user."),
    row("invalid_grant", "not supported on this domain", Configuration, Newer, "Client credentials do not work at this address",
        "Set `login_url` to the org's My Domain address, like https://acme.my.salesforce.com."),
    row("invalid_grant", "ip restricted", Login, Hourly, "Salesforce does not accept logins from this address or at this hour",
        "Allow this node's address (or relax IP restrictions) in the app's policies and the user's profile; check login \
         hours."),
    row("invalid_grant", "login rate", Allowance, after(120), "Too many logins",
        "Nothing: the node waits. If it stays so, look for another program that logs in as the same user."),
    row("invalid_grant", "", Login, Hourly, "Salesforce refuses the login",
        "Read Salesforce's words; check the app's policies and the user."),
    row("inactive_user", "", Login, Hourly, "The integration user is inactive", "Activate the integration user."),
    row("inactive_org", "", Login, Hourly, "The org is locked or has expired", "Ask Salesforce about the org."),
    row("invalid_client_id", "", Login, after(600), "Salesforce does not know this app",
        "Check `client_id` and `login_url`. A new or changed app is known only after 10 to 30 minutes."),
    row("invalid_client", "must be installed", Login, Hourly, "The app is not installed in the org",
        "An administrator must install the app, or register an own one (External Client App) in the org."),
    row("invalid_client", "", Login, Hourly, "Salesforce refuses the app's secret",
        "Check `client_secret`: Consumer Key and Secret in the app's settings."),
    row("unsupported_grant_type", "", Login, Hourly, "This way of logging in is not enabled for the app",
        "Enable the flow in the app's settings and check that `login_url` begins with https://."),
    row("redirect_uri_mismatch", "", Configuration, Newer, "The callback address is not registered with the app",
        "Add this node's callback address, byte for byte, to the app's Callback URL field."),
    row("redirect_uri_missing", "", Configuration, Newer, "The callback address is missing",
        "Register this node's callback address with the app."),
    row("invalid_scope", "", Login, Hourly, "The app lacks a scope", "Add the scopes `api` and `refresh_token` to the app."),
    row("access_denied", "", Login, Newer, "The sign-in was refused in the browser", "Start the sign-in again and choose Allow."),
    row("immediate_unsuccessful", "", Login, Newer, "The sign-in needs a person", "Start the sign-in again in a browser."),
    row("rate_limit_exceeded", "", Allowance, after(120), "Too many logins", "Nothing: the node waits."),
    row("OAUTH_APP_BLOCKED", "", Login, Hourly, "An administrator has blocked the app",
        "Unblock the app under Connected Apps OAuth Usage."),
    row("OAUTH_APPROVAL_ERROR_GENERIC", "", Login, Hourly, "Salesforce did not approve the app",
        "Check that the app is installed and that the user may use it."),
    row("unknown_error", "", Network, after(5), "Salesforce asks to try the login again", "Nothing: the node tries again."),
    row("unsupported_response_type", "", Configuration, Newer, "This way of logging in is not enabled for the app",
        "Enable the Authorization Code flow in the app's settings."),
    row("invalid_request", "", Configuration, Newer, "Salesforce refuses the form of the login",
        "Read Salesforce's words; check the tracker's settings."),
];

/// `errorCode`, part of its message, and what they mean.
#[rustfmt::skip]
pub(super) const CALLS: &[Row] = &[
    row("INVALID_SESSION_ID", "not valid for use with the rest api", Login, Hourly, "The login may not use the REST API",
        "Add the scope `api` to the app and the permission API Enabled to the integration user."),
    row("INVALID_SESSION_ID", "", Login, after(60), "Salesforce refuses a fresh login",
        "If sessions are locked to the address from which they originated (Session Settings) and this network leaves by \
         several addresses, every other call fails like this: switch that off or leave by one address."),
    row("INVALID_AUTH_HEADER", "", Login, Hourly, "Salesforce refuses the form of the token",
        "Check whether a proxy changes the Authorization header."),
    row("REQUEST_LIMIT_EXCEEDED", "concurrent", Allowance, after(5), "Too many long calls at once",
        "Nothing: the node waits some seconds."),
    row("REQUEST_LIMIT_EXCEEDED", "", Allowance, after(300), "The org's calls of the day are used up",
        "Nothing is lost; work goes on when the allowance recovers. See who uses it: Setup, Company Information, API \
         Requests."),
    row("API_DISABLED_FOR_ORG", "", Login, Hourly, "The REST API is not enabled for this org",
        "Enable the API (edition) and the permission API Enabled."),
    row("API_CURRENTLY_DISABLED", "", Login, Hourly, "The REST API is not enabled",
        "Give the integration user the permission API Enabled."),
    row("CLIENT_NOT_ACCESSIBLE_FOR_USER", "", Login, Hourly, "API access control keeps the app out",
        "Assign the app to the integration user."),
    row("FORBIDDEN", "", Login, Hourly, "Salesforce keeps the app out",
        "Check the app's policies and the integration user's permissions."),
    row("FUNCTIONALITY_NOT_ENABLED", "", Record, Newer, "The org lacks a feature",
        "Enable the feature in the org, or change the rule."),
    row("INSUFFICIENT_ACCESS_OR_READONLY", "", Record, Hourly, "The integration user may not change this record",
        "Give the integration user edit rights on the record (sharing, permission set)."),
    row("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "", Record, Hourly, "The integration user may not use a record that is referred to",
        "Give the integration user access to the record that the field refers to."),
    row("INSUFFICIENT_ACCESS", "", Record, Hourly, "The integration user lacks a right",
        "Extend the integration user's permission set."),
    row("NOT_FOUND", "external id field", Configuration, Newer, "The external id field does not exist or is hidden",
        "Deploy what `wicketgate salesforce package` makes, and give the integration user read and edit on the field of `external_id_fields`."),
    row("NOT_FOUND", "", Record, Newer, "Salesforce does not find it",
        "The record or object is gone or hidden from the integration user."),
    row("ENTITY_IS_DELETED", "", Record, Newer, "The record has been deleted",
        "Restore it from the recycle bin, or stop its twin."),
    row("ENTITY_IS_LOCKED", "", Record, Hourly, "The record is locked by an approval",
        "It is tried every hour; or give the integration user Modify All on the object."),
    row("UNABLE_TO_LOCK_ROW", "", Record, after(5), "Somebody else was saving the record", "Nothing: the node tries again."),
    row("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "unable_to_lock_row", Record, after(5), "Somebody else was saving a related record",
        "Nothing: the node tries again."),
    row("CANNOT_EXECUTE_FLOW_TRIGGER", "unable_to_lock_row", Record, after(5), "Somebody else was saving a related record",
        "Nothing: the node tries again."),
    row("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "", Record, Newer, "A trigger in the org refused the record",
        "Read the trigger's words; correct the record, the rule or the trigger."),
    row("CANNOT_EXECUTE_FLOW_TRIGGER", "", Record, Newer, "A flow in the org refused the record",
        "Read the flow's words; correct the record, the rule or the flow."),
    row("FIELD_CUSTOM_VALIDATION_EXCEPTION", "", Record, Newer, "A validation rule refused the record",
        "Correct the values or the incoming rule."),
    row("FIELD_FILTER_VALIDATION_EXCEPTION", "", Record, Newer, "A lookup filter refused the record",
        "Choose a record that the filter allows."),
    row("FIELD_INTEGRITY_EXCEPTION", "", Record, Newer, "Values do not go together",
        "Correct the values in the incoming rule; country and state are written together."),
    row("REQUIRED_FIELD_MISSING", "", Record, Newer, "A required field is empty",
        "Set the field in the incoming rule or in `defaults`."),
    row("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "", Record, Newer, "The picklist has no such value",
        "Translate the value in the incoming rule."),
    row("INVALID_FIELD_FOR_INSERT_UPDATE", "", Record, Newer, "The integration user may not write a field",
        "Take the field out of the rule, or give the integration user edit right on it."),
    row("INVALID_FIELD", "", Record, Newer, "A field does not exist or is hidden",
        "Check its API name, and the integration user's right to see it."),
    row("INVALID_TYPE", "", Record, Newer, "An object does not exist or is hidden",
        "Check its API name, and the integration user's right to read it."),
    row("MALFORMED_QUERY", "", Record, Newer, "Salesforce does not understand the query",
        "Correct the filter: a SOQL condition without WHERE."),
    row("INVALID_QUERY_FILTER_OPERATOR", "", Record, Newer, "The query compares what cannot be compared", "Correct the filter."),
    row("INVALID_QUERY_LOCATOR", "", Tracker, SOON, "A long query's place was lost", "Nothing: the node asks again."),
    row("QUERY_TIMEOUT", "", Record, Hourly, "The query ran too long", "Narrow the filter to indexed fields."),
    row("JSON_PARSER_ERROR", "", Record, Newer, "A value has the wrong form for its field",
        "Correct the value's type in the incoming rule."),
    row("MALFORMED_ID", "", Record, Newer, "An id is malformed", "Correct the reference in the incoming rule."),
    row("INVALID_CROSS_REFERENCE_KEY", "", Record, Newer, "A reference names nothing",
        "Correct the reference in the incoming rule."),
    row("STRING_TOO_LONG", "", Record, Newer, "A text is too long for its field", "Shorten it in the incoming rule."),
    row("NUMBER_OUTSIDE_VALID_RANGE", "", Record, Newer, "A number is too large for its field",
        "Correct it in the incoming rule."),
    row("INVALID_EMAIL_ADDRESS", "", Record, Newer, "An e-mail address is malformed", "Correct it in the incoming rule."),
    row("DUPLICATE_VALUE", "", Record, Newer, "Another record has this value",
        "Link the twin to that record, or change the value."),
    row("DUPLICATES_DETECTED", "", Record, Newer, "A duplicate rule refused the record",
        "Link the twin to the record found, or change the duplicate rule."),
    row("INACTIVE_OWNER_OR_USER", "", Record, Newer, "The owner is inactive", "Choose another owner."),
    row("OP_WITH_INVALID_USER_TYPE_EXCEPTION", "", Record, Newer, "This user may not stand there", "Choose another user."),
    row("CANNOT_UPDATE_CONVERTED_LEAD", "", Record, Newer, "The lead has been converted", "Stop its twin."),
    row("STORAGE_LIMIT_EXCEEDED", "", Record, Hourly, "The org's storage is full", "Free or buy storage in the org."),
    row("DUPLICATE_EXTERNAL_ID", "", Record, Newer, "Several records have this external id", "Make the external id field unique."),
    row("EXCEEDED_ID_LIMIT", "", Tracker, SOON, "Too many records at once", "Nothing: the node asks for fewer."),
    row("INVALID_ID_FIELD", "", Record, Newer, "A reference names nothing", "Correct the reference in the incoming rule."),
    row("ARGUMENT_OBJECT_PARSE_ERROR", "", Record, Newer, "A value has the wrong form for its field",
        "Correct the value's type in the incoming rule."),
    row("METHOD_NOT_ALLOWED", "", Tracker, Newer, "Salesforce does not do this with that object",
        "Check the object's API name; it may be one that the API only reads."),
    row("ALL_OR_NONE_OPERATION_ROLLED_BACK", "", Record, SOON, "A neighbour's error undid this",
        "Nothing: the node tries again."),
    row("PROCESSING_HALTED", "", Record, SOON, "A neighbour's error undid this", "Nothing: the node tries again."),
    row("UNKNOWN_EXCEPTION", "", Tracker, SOON, "An error inside Salesforce",
        "Nothing: the node tries again. If it stays so, give Salesforce the error's id."),
    row("APEX_ERROR", "", Tracker, SOON, "An error inside the org's own code", "Show the text to the org's developers."),
    row("SERVER_UNAVAILABLE", "", Network, SOON, "Salesforce is not available",
        "Nothing: the node tries again. See status.salesforce.com."),
    row("LIMIT_EXCEEDED", "", Record, Hourly, "A limit of Salesforce is exceeded", "Read Salesforce's words."),
    row("INVALID_REPLICATION_DATE", "", Tracker, SOON, "Salesforce keeps no list of deletes for that time", "Nothing."),
];

/// What a status alone means, where no known code came with it.
pub(super) fn by_status(status: u16) -> (Fault, Retry, &'static str, &'static str) {
    match status {
        300 => (Record, Newer, "Several records have this external id", "Make the external id field unique."),
        301..=399 => (Configuration, Newer, "Salesforce points elsewhere", "Set `login_url` to the org's own My Domain address."),
        401 => (Login, after(60), "Salesforce refuses the login", "Check the app and the integration user."),
        403 => (Login, Hourly, "Salesforce denies access", "Check the integration user's permissions, and proxies on the way."),
        404 => {
            (Record, Newer, "Salesforce does not find it", "The record or object is gone or hidden from the integration user.")
        }
        407 => (Network, Newer, "The proxy asks for a login", "Set the proxy's credentials under [network]."),
        408 | 425 => (Network, SOON, "The way to Salesforce is slow", "Nothing: the node tries again."),
        420 => (
            Configuration,
            after(60),
            "Salesforce knows no org at this address",
            "The My Domain was renamed: correct `login_url`.",
        ),
        413 => (Record, Newer, "The record is too large", "Shorten its texts in the incoming rule."),
        429 => (Allowance, after(30), "Too many calls at once", "Nothing: the node waits."),
        414 | 431 => (Record, Newer, "The query is too long", "Shorten the filter."),
        410 => (Configuration, Newer, "This API version is retired", "Remove `api_version` from the tracker's settings."),
        412 | 428 | 409 => (Record, SOON, "The record changed meanwhile", "Nothing: the node tries again."),
        500..=599 => (Network, SOON, "Salesforce is not available", "Nothing: the node tries again. See status.salesforce.com."),
        _ => (Tracker, Newer, "Salesforce answered in an undocumented way", "Look for a proxy that answers in its place."),
    }
}
