//! What may go wrong at a door, in the words that a person reads.

/// What is wrong at a door: one error row each per tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// Somebody knocks with a wrong token.
    WrongToken,
    /// A message of another org.
    WrongOrg,
    /// A message that cannot be read.
    Malformed,
    /// A notification among others that cannot be read.
    BrokenNotification,
    /// A webhook whose signature is wrong or old.
    WrongSignature,
    /// Messages come before the tracker could log in, so that nobody knows whose they are.
    NotReady,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::WrongToken, Self::WrongOrg, Self::Malformed, Self::BrokenNotification, Self::WrongSignature, Self::NotReady];

    /// `code` of its error row.
    pub const fn code(self) -> &'static str {
        match self {
            Self::WrongToken => "door_wrong_token",
            Self::WrongOrg => "door_wrong_org",
            Self::Malformed => "door_malformed",
            Self::BrokenNotification => "door_broken_notification",
            Self::WrongSignature => "door_wrong_signature",
            Self::NotReady => "door_not_ready",
        }
    }

    /// Ends by itself with the next good message. A wrong token may be a stranger's, and a notification that was left
    /// aside stays left aside: those wait for a person.
    pub(super) const fn heals(self) -> bool {
        matches!(self, Self::WrongOrg | Self::Malformed | Self::WrongSignature | Self::NotReady)
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::WrongToken => "Messages come with a wrong token in their address",
            Self::WrongOrg => "Messages come from another Salesforce org",
            Self::Malformed => "Messages come that cannot be read",
            Self::BrokenNotification => "A notification in an outbound message made no sense and was left aside",
            Self::WrongSignature => "Webhooks come with a wrong or old signature",
            Self::NotReady => "Messages come before the tracker could log in",
        }
    }

    pub(super) const fn advice(self) -> &'static str {
        match self {
            Self::WrongToken => {
                "If the token was rotated, register the address that the tracker's page shows. Else a stranger knocks: nothing was taken in."
            }
            Self::WrongOrg => {
                "Nothing was taken in. If this is a refreshed sandbox, remove its outbound message or point it to its own node; if the tracker really moved to that org, set org_id."
            }
            Self::Malformed => {
                "Check what is registered at this address: only outbound messages (Salesforce) or Standard Webhooks belong here."
            }
            Self::BrokenNotification => {
                "The others of that message were taken in. Save the record again, or sync it by hand; then skip this error."
            }
            Self::WrongSignature => "Compare the secret on both sides, and the sender's clock.",
            Self::NotReady => {
                "Nothing is lost: Salesforce repeats them for 24 hours. Check the tracker and mend its login, or set org_id."
            }
        }
    }
}
