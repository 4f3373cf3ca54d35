//! The standard objects of a fresh org, as far as an integration meets them.

use super::schema::{Field, Kind, ObjectType};

/// All of them. `external_id` adds `Wicketgate_Id__c` to Case.
pub(super) fn standard(external_id: bool) -> Vec<ObjectType> {
    let mut all = vec![case(external_id), user()];
    all.extend(customers());
    all.extend(conversation());
    all.extend(files());
    all.extend(setup());
    all
}

fn case(external_id: bool) -> ObjectType {
    let mut fields = vec![
        Field::text("CaseNumber", 30).read_only(),
        Field::reference("ContactId", &["Contact"]),
        Field::reference("AccountId", &["Account"]),
        Field::reference("ParentId", &["Case"]),
        Field::reference("MasterRecordId", &["Case"]).read_only(),
        Field::reference("RecordTypeId", &["RecordType"]),
        Field::text("SuppliedName", 80),
        Field::new("SuppliedEmail", Kind::Email),
        Field::text("SuppliedPhone", 40),
        Field::text("SuppliedCompany", 80),
        Field::picklist("Type", &["Mechanical", "Electrical", "Electronic", "Structural", "Other"]),
        Field::picklist("Status", &["*New", "Working", "Escalated", "/Closed"]),
        Field::picklist(
            "Reason",
            &["Installation", "Equipment Complexity", "Performance", "Breakdown", "Equipment Design", "Feedback", "Other"],
        ),
        Field::picklist("Origin", &["Phone", "Email", "Web"]),
        Field::text("Subject", 255),
        Field::picklist("Priority", &["High", "*Medium", "Low"]),
        Field::area("Description", 32_000),
        Field::new("IsClosed", Kind::Checkbox).read_only(),
        Field::new("ClosedDate", Kind::DateTime).read_only(),
        Field::new("IsEscalated", Kind::Checkbox),
        Field::reference("OwnerId", &["User", "Group"]),
        Field::area("Comments", 4000),
    ];
    if external_id {
        fields.push(Field::text("Wicketgate_Id__c", 36).unique_external_id());
    }
    ObjectType::new("Case", "500", fields)
}

fn user() -> ObjectType {
    ObjectType::new(
        "User",
        "005",
        vec![
            Field::text("Username", 80).required(),
            Field::text("Name", 121).read_only(),
            Field::text("FirstName", 40),
            Field::text("LastName", 80).required(),
            Field::new("Email", Kind::Email),
            Field::text("Alias", 8),
            Field::new("IsActive", Kind::Checkbox),
            Field::reference("ProfileId", &["Profile"]),
            Field::picklist("UserType", &["*Standard", "CsnOnly", "Guest"]),
            Field::text("TimeZoneSidKey", 40),
            Field::text("LocaleSidKey", 40),
            Field::text("FederationIdentifier", 512),
        ],
    )
    .read_only()
}

fn customers() -> Vec<ObjectType> {
    let names = ["User", "Group"];
    vec![
        ObjectType::new(
            "Account",
            "001",
            vec![
                Field::text("Name", 255).required(),
                Field::text("AccountNumber", 40),
                Field::picklist("Type", &["Prospect", "Customer - Direct", "Customer - Channel", "Other"]),
                Field::picklist("Industry", &["Agriculture", "Energy", "Engineering", "Technology", "Other"]),
                Field::new("Phone", Kind::Phone),
                Field::new("Website", Kind::Url),
                Field::area("Description", 32_000),
                Field::reference("ParentId", &["Account"]),
                Field::reference("OwnerId", &names),
            ],
        ),
        ObjectType::new(
            "Contact",
            "003",
            vec![
                Field::text("LastName", 80).required(),
                Field::text("FirstName", 40),
                Field::text("Name", 121).read_only(),
                Field::reference("AccountId", &["Account"]),
                Field::new("Email", Kind::Email),
                Field::new("Phone", Kind::Phone),
                Field::text("Title", 128),
                Field::reference("OwnerId", &names),
            ],
        ),
    ]
}

fn conversation() -> Vec<ObjectType> {
    vec![
        ObjectType::new(
            "CaseComment",
            "00a",
            vec![
                Field::reference("ParentId", &["Case"]).create_only().required(),
                Field::area("CommentBody", 4000),
                Field::new("IsPublished", Kind::Checkbox),
            ],
        ),
        ObjectType::new(
            "FeedItem",
            "0D5",
            vec![
                Field::new("ParentId", Kind::Reference(Vec::new())).create_only().required(),
                Field::area("Body", 10_000),
                Field::picklist("Type", &["*TextPost", "LinkPost", "ContentPost"]).create_only(),
                Field::picklist("Visibility", &["*InternalUsers", "AllUsers"]),
                Field::new("IsRichText", Kind::Checkbox),
                Field::text("Title", 255),
                Field::new("LinkUrl", Kind::Url),
                Field::new("RelatedRecordId", Kind::Reference(Vec::new())),
                Field::new("CommentCount", Kind::Whole).read_only(),
            ],
        ),
        ObjectType::new(
            "FeedComment",
            "0D7",
            vec![
                Field::reference("FeedItemId", &["FeedItem"]).create_only().required(),
                Field::new("ParentId", Kind::Reference(Vec::new())).read_only(),
                Field::area("CommentBody", 10_000),
                Field::picklist("CommentType", &["*TextComment", "ContentComment"]).create_only(),
                Field::new("IsRichText", Kind::Checkbox),
                Field::new("RelatedRecordId", Kind::Reference(Vec::new())),
            ],
        ),
        ObjectType::new(
            "EmailMessage",
            "02s",
            vec![
                Field::reference("ParentId", &["Case"]),
                Field::text("Subject", 3000),
                Field::area("TextBody", 32_000),
                Field::new("Incoming", Kind::Checkbox),
            ],
        ),
    ]
}

fn files() -> Vec<ObjectType> {
    vec![
        ObjectType::new(
            "ContentDocument",
            "069",
            vec![
                Field::text("Title", 255),
                Field::reference("LatestPublishedVersionId", &["ContentVersion"]),
                Field::new("ContentSize", Kind::Whole),
                Field::text("FileExtension", 40),
                Field::text("FileType", 20),
            ],
        )
        .read_only(),
        ObjectType::new(
            "ContentVersion",
            "068",
            vec![
                Field::text("Title", 255),
                Field::text("PathOnClient", 500).create_only().required(),
                Field::new("VersionData", Kind::Base64),
                Field::reference("ContentDocumentId", &["ContentDocument"]).create_only(),
                Field::new("FirstPublishLocationId", Kind::Reference(Vec::new())).create_only(),
                Field::area("Description", 1000),
                Field::new("ContentSize", Kind::Whole).read_only(),
                Field::text("FileExtension", 40).read_only(),
                Field::text("FileType", 20).read_only(),
                Field::text("VersionNumber", 20).read_only(),
                Field::new("IsLatest", Kind::Checkbox).read_only(),
            ],
        ),
        ObjectType::new(
            "ContentDocumentLink",
            "06A",
            vec![
                Field::reference("ContentDocumentId", &["ContentDocument"]).create_only().required(),
                Field::new("LinkedEntityId", Kind::Reference(Vec::new())).create_only().required(),
                Field::picklist("ShareType", &["*V", "C", "I"]),
                Field::picklist("Visibility", &["*AllUsers", "InternalUsers", "SharedUsers"]),
            ],
        ),
    ]
}

fn setup() -> Vec<ObjectType> {
    let mut objects = vec![
        ObjectType::new(
            "Group",
            "00G",
            vec![Field::text("Name", 40), Field::text("DeveloperName", 80), Field::picklist("Type", &["Queue", "Regular"])],
        ),
        ObjectType::new("QueueSobject", "03g", vec![Field::reference("QueueId", &["Group"]), Field::text("SobjectType", 40)]),
        ObjectType::new("Profile", "00e", vec![Field::text("Name", 255)]),
        ObjectType::new(
            "RecordType",
            "012",
            vec![
                Field::text("Name", 80),
                Field::text("DeveloperName", 80),
                Field::text("SobjectType", 40),
                Field::new("IsActive", Kind::Checkbox),
            ],
        ),
        ObjectType::new(
            "Organization",
            "00D",
            vec![
                Field::text("Name", 80),
                Field::new("IsSandbox", Kind::Checkbox),
                Field::text("OrganizationType", 40),
                Field::text("InstanceName", 5),
            ],
        ),
        ObjectType::new(
            "CaseStatus",
            "01J",
            vec![
                Field::text("ApiName", 255),
                Field::text("MasterLabel", 255),
                Field::new("IsClosed", Kind::Checkbox),
                Field::new("IsDefault", Kind::Checkbox),
                Field::new("SortOrder", Kind::Whole),
            ],
        ),
    ];
    objects.extend(permissions());
    objects.into_iter().map(ObjectType::read_only).collect()
}

fn permissions() -> Vec<ObjectType> {
    vec![
        ObjectType::new(
            "PermissionSet",
            "0PS",
            vec![
                Field::text("Name", 80),
                Field::text("Label", 80),
                Field::new("IsOwnedByProfile", Kind::Checkbox),
                Field::reference("ProfileId", &["Profile"]),
                Field::new("PermissionsEnableNotifications", Kind::Checkbox),
                Field::new("PermissionsApiEnabled", Kind::Checkbox),
            ],
        ),
        ObjectType::new(
            "PermissionSetAssignment",
            "0Pa",
            vec![Field::reference("PermissionSetId", &["PermissionSet"]), Field::reference("AssigneeId", &["User"])],
        ),
        ObjectType::new(
            "ObjectPermissions",
            "110",
            vec![
                Field::reference("ParentId", &["PermissionSet"]),
                Field::text("SobjectType", 40),
                Field::new("PermissionsRead", Kind::Checkbox),
                Field::new("PermissionsCreate", Kind::Checkbox),
                Field::new("PermissionsEdit", Kind::Checkbox),
                Field::new("PermissionsDelete", Kind::Checkbox),
            ],
        ),
    ]
}
