//! The panel for record pages: component, class, credentials, permissions. Texts are those of `salesforce/force-app`; only
//! the node's address and the tracker's name are filled in.

use super::{
    Component, Files, Kind, Part, Wanted,
    fill::{By, fill},
    objects::fixed,
};

const CLASS: Kind = Kind { name: "ApexClass", folder: "classes", ending: "cls" };
const COMPONENT: Kind = Kind { name: "LightningComponentBundle", folder: "lwc", ending: "" };
const CUSTOM_PERMISSION: Kind = Kind { name: "CustomPermission", folder: "customPermissions", ending: "customPermission" };
const EXTERNAL: Kind = Kind { name: "ExternalCredential", folder: "externalCredentials", ending: "externalCredential" };
const NAMED: Kind = Kind { name: "NamedCredential", folder: "namedCredentials", ending: "namedCredential" };
const LABEL: Kind = Kind { name: "CustomLabel", folder: "labels", ending: "labels" };

macro_rules! text {
    ($($part:literal),+) => {
        include_str!(concat!("../../../salesforce/force-app/main/default/", $($part),+))
    };
}
macro_rules! files {
    ($folder:literal: $($name:literal),+) => {
        vec![$(($name, text!($folder, "/", $name))),+]
    };
}

pub(super) fn components(wanted: &Wanted) -> Vec<Component> {
    let one = |kind, name: &str, text: String| Component {
        part: Part::Main,
        kind,
        member: name.to_owned(),
        files: Files::One(name.to_owned(), text),
    };
    let many = |kind, name: &str, files| Component { part: Part::Main, kind, member: name.to_owned(), files: Files::Many(files) };
    let permission = |name: &str, text: &str| one(&CUSTOM_PERMISSION, name, text.to_owned());
    let named = fill(include_str!("../../../salesforce/templates/namedCredential.xml"), &[("url", By::Text(&wanted.base_url))]);
    let labels = fill(include_str!("../../../salesforce/templates/labels.xml"), &[("tracker", By::Text(&wanted.tracker))]);
    let mut label = one(&LABEL, "CustomLabels", labels);
    label.member = "Wicketgate_Tracker".to_owned();
    vec![
        many(&CLASS, "WicketgateStatus", files!("classes": "WicketgateStatus.cls", "WicketgateStatus.cls-meta.xml")),
        many(&CLASS, "WicketgateStatusTest", files!("classes": "WicketgateStatusTest.cls", "WicketgateStatusTest.cls-meta.xml")),
        many(
            &COMPONENT,
            "wicketgateStatus",
            files!("lwc": "wicketgateStatus/wicketgateStatus.css", "wicketgateStatus/wicketgateStatus.html",
                "wicketgateStatus/wicketgateStatus.js", "wicketgateStatus/wicketgateStatus.js-meta.xml"),
        ),
        permission("Wicketgate_Link", text!("customPermissions/Wicketgate_Link.customPermission-meta.xml")),
        permission("Wicketgate_Stop", text!("customPermissions/Wicketgate_Stop.customPermission-meta.xml")),
        permission("Wicketgate_Sync", text!("customPermissions/Wicketgate_Sync.customPermission-meta.xml")),
        one(&EXTERNAL, "Wicketgate", text!("externalCredentials/Wicketgate.externalCredential-meta.xml").to_owned()),
        one(&NAMED, "Wicketgate", named),
        label,
        fixed("Wicketgate_Admin", text!("permissionsets/Wicketgate_Admin.permissionset-meta.xml")),
        fixed("Wicketgate_User", text!("permissionsets/Wicketgate_User.permissionset-meta.xml")),
    ]
}
