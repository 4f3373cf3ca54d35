//! An org's no, in the two shapes that the REST API writes it.

use serde_json::{Map, Value, json};

/// One refusal: status, code, words.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    /// HTTP status where the refusal is the whole answer.
    pub status: u16,
    /// Salesforce's code, e.g. `INVALID_FIELD`.
    pub code: String,
    /// What a person reads.
    pub message: String,
    /// Fields that are meant.
    pub fields: Vec<String>,
    /// More members of the error object (`duplicateResut`).
    pub extra: Option<Box<Map<String, Value>>>,
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ApiError {}

impl ApiError {
    pub(super) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into(), fields: Vec::new(), extra: None }
    }

    pub(super) fn field(code: &str, message: impl Into<String>, field: &str) -> Self {
        Self { fields: vec![field.to_owned()], ..Self::new(400, code, message) }
    }

    pub(super) fn not_found() -> Self {
        Self::new(404, "NOT_FOUND", "The requested resource does not exist")
    }

    pub(super) fn deleted() -> Self {
        Self::new(404, "ENTITY_IS_DELETED", "entity is deleted")
    }

    pub(super) fn no_column(object: &str, field: &str) -> Self {
        Self::new(
            400,
            "INVALID_FIELD",
            format!(
                "No such column '{field}' on sobject of type {object}. If you are attempting to use a custom field, be sure to \
                 append the '__c' after the custom field name."
            ),
        )
    }

    pub(super) fn halted() -> Self {
        Self::new(
            400,
            "PROCESSING_HALTED",
            "The transaction was rolled back since another operation in the same transaction failed.",
        )
    }

    pub(super) fn rolled_back() -> Self {
        Self::new(
            400,
            "ALL_OR_NONE_OPERATION_ROLLED_BACK",
            "Record rolled back because not all records were valid and the request was using AllOrNone header",
        )
    }

    pub(super) fn session() -> Self {
        Self::new(401, "INVALID_SESSION_ID", "Session expired or invalid")
    }

    pub(super) fn allowance() -> Self {
        Self::new(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    }

    pub(super) fn locked(id: &str) -> Self {
        Self::new(400, "ENTITY_IS_LOCKED", format!("the entity is locked for editing: {id}"))
    }

    pub(super) fn lock_row(id: &str) -> Self {
        Self::new(400, "UNABLE_TO_LOCK_ROW", format!("unable to obtain exclusive access to this record or 1 records: {id}"))
    }

    /// The array that plain REST answers carry.
    pub(super) fn rest(&self) -> Value {
        let mut object = Map::new();
        object.insert("message".to_owned(), json!(self.message));
        object.insert("errorCode".to_owned(), json!(self.code));
        if !self.fields.is_empty() {
            object.insert("fields".to_owned(), json!(self.fields));
        }
        object.extend(self.extra.as_deref().cloned().unwrap_or_default());
        Value::Array(vec![Value::Object(object)])
    }

    /// One item's error in collections, where the code is called `statusCode`.
    pub(super) fn item(&self) -> Value {
        let mut object = Map::new();
        object.insert("statusCode".to_owned(), json!(self.code));
        object.insert("message".to_owned(), json!(self.message));
        object.insert("fields".to_owned(), json!(self.fields));
        object.extend(self.extra.as_deref().cloned().unwrap_or_default());
        Value::Object(object)
    }
}
