//! The check.
use super::tracker::Salesforce;
use crate::domain::tracker::CheckStep;
pub(super) async fn check(_sf: &Salesforce) -> Vec<CheckStep> {
    Vec::new()
}
