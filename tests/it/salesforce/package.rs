//! The metadata package: well-formed, in the order that a deploy wants, the same byte for byte, and naming what the product
//! uses and nothing else.
//!
//! A sample of it is left in the build's folder for tests/salesforce.sh, which shows it to the Salesforce CLI.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use wicketgate::salesforce::package::{
    ALWAYS_TOLD, AppFlow, FieldWish, MARK_FIELD, Needs, Part, Wanted, components, message_name, metadata_form, source_form,
};

use super::metadata::{Element, in_order, read};

/// Username and address that would break out of an element, or of the formula, if they could.
const ODD_USER: &str = "o'neil<&>\"@acme.example";

fn wish(written: bool, permissionable: Option<bool>) -> FieldWish {
    FieldWish { written, permissionable, tellable: true }
}

fn wanted(flow: AppFlow, user: &str) -> Wanted {
    let case = BTreeMap::from([
        ("Subject".to_owned(), wish(true, Some(true))),
        ("Status".to_owned(), wish(true, None)),
        ("Priority".to_owned(), wish(false, None)),
        ("Picture__c".to_owned(), FieldWish { tellable: false, ..wish(false, Some(true)) }),
    ]);
    let objects = [("Case", case), ("Contact", BTreeMap::new()), ("My__c", BTreeMap::new())];
    Wanted {
        tracker: "support".to_owned(),
        base_url: "https://sync.acme.example".to_owned(),
        endpoint: "https://sync.acme.example/salesforce/support/outbound-messages/t0k3n?a=1&b=2".to_owned(),
        user: user.to_owned(),
        contact: "admin@acme.example".to_owned(),
        flow,
        certificate: Some("-----BEGIN CERTIFICATE-----\nAAAA\nBBBB\n-----END CERTIFICATE-----\n".to_owned()),
        panel: true,
        objects: objects.map(|(name, fields)| (name.to_owned(), Needs::of(&fields))).into(),
    }
}

fn sample() -> BTreeMap<String, String> {
    source_form(&components(&wanted(AppFlow::ClientCredentials, "sync@acme.example")))
}

#[test]
fn every_file_is_well_formed_and_in_order() {
    for flow in [AppFlow::ClientCredentials, AppFlow::JwtBearer, AppFlow::AuthorizationCode] {
        let components = components(&wanted(flow, ODD_USER));
        let metadata = metadata_form(&components, Some(Part::ExternalClientApp));
        let source = source_form(&components);
        assert!(source.len() > 30 && metadata.len() > 25, "{} and {}", source.len(), metadata.len());
        for (path, text) in source.iter().filter(|(path, _)| path.ends_with(".xml")) {
            in_order(path, &read(path, text));
        }
        for (path, text) in metadata.iter().filter(|(path, text)| text.starts_with("<?xml") && !path.starts_with("lwc/")) {
            read(path, text);
        }
        let flow_file = read("flow", &source["force-app/main/default/flows/Wicketgate_Case.flow-meta.xml"]);
        let formula = flow_file.all("start").next().expect("a start").get("filterFormula");
        assert_eq!(formula, r#"{!$User.Username} <> 'o\'neil<&>"@acme.example'"#);
        assert!(!metadata.keys().any(|path| path.contains("connectedApps")), "one app, not both");
    }
}

#[test]
fn the_same_wish_gives_the_same_bytes_and_a_sample_is_left_for_the_cli() {
    assert_eq!(sample(), sample());
    let at = Path::new(env!("CARGO_TARGET_TMPDIR")).join("salesforce-package");
    let _ = fs::remove_dir_all(&at);
    let zip = metadata_form(&components(&wanted(AppFlow::ClientCredentials, "sync@acme.example")), Some(Part::ExternalClientApp));
    for (folder, tree) in [("source", sample()), ("metadata", zip)] {
        for (path, text) in tree {
            let file = at.join(folder).join(path);
            fs::create_dir_all(file.parent().expect("below")).expect("made");
            fs::write(file, text).expect("written");
        }
    }
}

#[test]
fn messages_and_flows_fit_together_and_are_guarded() {
    let tree = sample();
    for object in ["Case", "Contact", "My__c"] {
        let name = message_name(object);
        assert!(!name.contains("__") && !name.ends_with('_'), "{name}");
        let workflow = read("workflow", &tree[&format!("force-app/main/default/workflows/{object}.workflow-meta.xml")]);
        let message = workflow.all("outboundMessages").next().expect("a message");
        assert_eq!((message.get("fullName"), message.get("includeSessionId")), (name.as_str(), "false"));
        assert!(message.get("endpointUrl").ends_with("/t0k3n?a=1&b=2"), "{}", message.get("endpointUrl"));
        let told: Vec<&str> = message.all("fields").map(|field| field.text.as_str()).collect();
        assert!(
            told.is_sorted() && ALWAYS_TOLD.iter().all(|field| told.contains(field)) && told.contains(&MARK_FIELD),
            "{told:?}"
        );
        assert!(!told.contains(&"Picture__c"), "no message holds it");
        let flow = read("flow", &tree[&format!("force-app/main/default/flows/{name}.flow-meta.xml")]);
        let (call, start) = (flow.all("actionCalls").next().expect("a call"), flow.all("start").next().expect("a start"));
        assert_eq!(call.get("actionName"), format!("{object}.{name}"));
        assert_eq!(start.all("connector").next().expect("one").get("targetReference"), call.get("name"));
        assert_eq!((start.get("object"), start.get("recordTriggerType")), (object, "CreateAndUpdate"));
        assert_eq!(start.get("filterFormula"), "{!$User.Username} <> 'sync@acme.example'", "our own saves send nothing");
    }
}

#[test]
fn an_app_lets_in_who_was_told_and_nobody_else() {
    for (flow, run_as, scopes) in [
        (AppFlow::ClientCredentials, "sync@acme.example", "Api"),
        (AppFlow::JwtBearer, "", "Api, RefreshToken"),
        (AppFlow::AuthorizationCode, "", "Api, RefreshToken"),
    ] {
        let tree = source_form(&components(&wanted(flow, "sync@acme.example")));
        let file = |path: &str| read(path, &tree[path]);
        let base = "external-client-app/main/default";
        let policies = file(&format!("{base}/extlClntAppOauthPolicies/Wicketgate_defaultPolicy.ecaOauthPlcy-meta.xml"));
        assert_eq!(policies.get("clientCredentialsFlowUser"), run_as);
        assert_eq!(policies.get("permittedUsersPolicyType"), "AdminApprovedPreAuthorized");
        assert_eq!(policies.get("commaSeparatedPermissionSet"), "Wicketgate_Integration");
        let settings = file(&format!("{base}/extlClntAppOauthSettings/Wicketgate.ecaOauth-meta.xml"));
        assert_eq!(settings.get("commaSeparatedOauthScopes"), scopes);
        let global = file(&format!("{base}/extlClntAppGlobalOauthSets/Wicketgate.ecaGlblOauth-meta.xml"));
        assert_eq!(global.get("callbackUrl"), "https://sync.acme.example/salesforce/support/oauth/callback");
        assert_eq!(global.get("certificate"), if flow == AppFlow::JwtBearer { "AAAABBBB" } else { "" });
        for flag in ["isPkceRequired", "isRefreshTokenRotationEnabled"] {
            assert_eq!(global.get(flag), "true", "{flag}");
        }
        assert!(global.all("consumerKey").chain(global.all("consumerSecret")).next().is_none(), "no secrets travel");
        let old = file("connected-app/main/default/connectedApps/Wicketgate.connectedApp-meta.xml");
        let oauth = old.all("oauthConfig").next().expect("one");
        assert_eq!((oauth.get("isPkceRequired"), oauth.get("oauthClientCredentialUser")), ("true", run_as));
        assert_eq!(oauth.all("scopes").map(|scope| scope.text.as_str()).collect::<Vec<_>>().join(", "), scopes);
    }
}

/// Files of the package and of the product that name the same things.
const APEX: &str = include_str!("../../../salesforce/force-app/main/default/classes/WicketgateStatus.cls");
const COMPONENT: &str = include_str!("../../../salesforce/force-app/main/default/lwc/wicketgateStatus/wicketgateStatus.js");
const CHECK: &str = include_str!("../../../src/salesforce/check.rs");

/// Every permission of a user that the package gives, in which set, and the words of the product that need it.
const USER_PERMISSIONS: [(&str, &str, &str); 4] = [
    ("Wicketgate_Integration", "ApiEnabled", "sf.rest.probe()"),
    ("Wicketgate_Check", "ViewRoles", "FROM PermissionSetAssignment"),
    ("Wicketgate_Check", "ViewSetup", "FROM PermissionSetAssignment"),
    ("Wicketgate_Send_Messages", "EnableNotifications", "PermissionsEnableNotifications"),
];

fn permission_sets() -> BTreeMap<String, Element> {
    let tree = sample();
    let files = tree.iter().filter(|(path, _)| path.contains("/permissionsets/"));
    files
        .map(|(path, text)| {
            (path.rsplit('/').next().unwrap_or_default().replace(".permissionset-meta.xml", ""), read(path, text))
        })
        .collect()
}

/// What follows each of these words, up to the quote.
fn named(text: &str, before: &str) -> BTreeSet<String> {
    text.split(before).skip(1).filter_map(|rest| rest.split('\'').next()).map(str::to_owned).collect()
}

#[test]
fn every_permission_is_one_that_the_product_uses() {
    let sets = permission_sets();
    let given: BTreeSet<(&str, &str)> =
        sets.iter().flat_map(|(name, set)| set.all("userPermissions").map(move |one| (name.as_str(), one.get("name")))).collect();
    assert_eq!(given, USER_PERMISSIONS.iter().map(|(set, name, _)| (*set, *name)).collect());
    for (_, name, words) in USER_PERMISSIONS {
        assert!(CHECK.contains(words), "{name}: nothing says `{words}` any more");
    }
    let integration = &sets["Wicketgate_Integration"];
    let fields: Vec<(&str, &str)> =
        integration.all("fieldPermissions").map(|one| (one.get("field"), one.get("editable"))).collect();
    assert_eq!(
        fields,
        [
            ("Case.Picture__c", "false"),
            ("Case.Priority", "false"),
            ("Case.Subject", "true"),
            ("Case.Wicketgate_Id__c", "true"),
            ("Contact.Wicketgate_Id__c", "true"),
            ("My__c.Wicketgate_Id__c", "true"),
        ],
        "none for Status: its right cannot be given"
    );
    let objects: Vec<String> = integration
        .all("objectPermissions")
        .map(|one| ["object", "allowCreate", "allowEdit", "allowDelete", "modifyAllRecords"].map(|name| one.get(name)).join(" "))
        .collect();
    assert_eq!(
        objects,
        [
            "Account false false false false",
            "Case true true false false",
            "Contact true true false false",
            "My__c true true false false"
        ],
        "a Contact wants reading its Account"
    );
    let table = include_str!("../../../docs/SALESFORCE.md");
    for name in USER_PERMISSIONS.map(|(_, name, _)| name).into_iter().chain(["Wicketgate_Id__c", "UserExternalCredential"]) {
        assert!(table.contains(&format!("`{name}`")), "the guide does not say why {name}");
    }
}

#[test]
fn the_panel_its_class_and_its_permissions_name_the_same_things() {
    let tree = sample();
    let sets = permission_sets();
    let file = |path: &str| read(path, &tree[&format!("force-app/main/default/{path}")]);
    let made: BTreeSet<String> = tree
        .keys()
        .filter_map(|path| Some(path.strip_prefix("force-app/main/default/customPermissions/")?.split('.').next()?.to_owned()))
        .collect();
    let given =
        |set: &str| -> BTreeSet<String> { sets[set].all("customPermissions").map(|one| one.get("name").to_owned()).collect() };
    assert_eq!(given("Wicketgate_Admin"), made);
    assert!(given("Wicketgate_User").is_subset(&made));
    assert_eq!(named(APEX, "require('"), made, "the class asks for each");
    assert_eq!(named(COMPONENT, "@salesforce/customPermission/"), made, "the component shows a button for each");
    for method in named(COMPONENT, "@salesforce/apex/WicketgateStatus.") {
        assert!(APEX.contains(&format!(" {method}(Id recordId")), "the class has no {method}");
    }
    assert_eq!(APEX.matches("@AuraEnabled").count(), 4, "each of them is called");
    assert_eq!(named(APEX, "callout:"), BTreeSet::from(["Wicketgate/api/v1".to_owned()]), "no other way out");
    assert!(APEX.contains("with sharing") && APEX.contains("USER_MODE") && APEX.contains("System.Label.Wicketgate_Tracker"));
    let labels = file("labels/CustomLabels.labels-meta.xml");
    let label = labels.all("labels").next().expect("one");
    assert_eq!((label.get("fullName"), label.get("value")), ("Wicketgate_Tracker", "support"));
    let external = file("externalCredentials/Wicketgate.externalCredential-meta.xml");
    let principal = external.all("externalCredentialParameters").find(|one| one.get("parameterType") == "NamedPrincipal");
    let principal = format!("Wicketgate-{}", principal.expect("one").get("parameterName"));
    for set in ["Wicketgate_Admin", "Wicketgate_User"] {
        let access = sets[set].all("externalCredentialPrincipalAccesses").next().expect("one");
        assert_eq!(access.get("externalCredentialPrincipal"), principal);
        assert_eq!(sets[set].all("classAccesses").next().expect("one").get("apexClass"), "WicketgateStatus");
    }
    let named = file("namedCredentials/Wicketgate.namedCredential-meta.xml");
    assert!(named.all("namedCredentialParameters").any(|one| one.get("parameterValue") == "https://sync.acme.example"));
    let mut without = wanted(AppFlow::ClientCredentials, "sync@acme.example");
    without.panel = false;
    assert!(source_form(&components(&without)).keys().all(|path| !path.contains("/classes/") && !path.contains("/lwc/")));
}

#[test]
fn a_manifest_names_all_that_is_there() {
    let tree = sample();
    let members = |path: &str| -> BTreeSet<String> {
        let manifest = read(path, &tree[path]);
        let types = manifest.all("types").map(|one| (one.get("name").to_owned(), one.all("members").count()));
        types.map(|(name, count)| format!("{name} {count}")).collect()
    };
    let main = members("manifest/force-app.xml");
    for wanted in ["Flow 3", "Workflow 3", "CustomField 3", "PermissionSet 5", "ApexClass 2", "CustomPermission 3"] {
        assert!(main.contains(wanted), "{wanted}: {main:?}");
    }
    assert_eq!(members("manifest/external-client-app.xml").len(), 5);
    assert_eq!(members("manifest/connected-app.xml"), BTreeSet::from(["ConnectedApp 1".to_owned()]));
    assert!(members("manifest/remove/package.xml").is_empty());
    assert!(!members("manifest/remove/destructiveChanges.xml").iter().any(|one| one.starts_with("Flow ")));
}
