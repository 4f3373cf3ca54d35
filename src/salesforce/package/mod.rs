//! The metadata package for an org: what an admin deploys so that the org and this node know each other.
//!
//! ```text
//!  Wanted (this node's address, user, objects, fields) ─┐
//!  salesforce/templates, salesforce/force-app ──────────┴▶ components ─▶ source form (a folder for the Salesforce CLI)
//!                                                                   └──▶ metadata form (a zip for any deploying tool)
//! ```
//!
//! Pure: the same wish gives the same bytes. [`objects`] makes what each object needs, [`app`] the two kinds of client app,
//! [`panel`] the parts for record pages, [`forms`] lays the components out.
//!
//! Traps. The address in an outbound message holds the door's token, so whatever holds a package holds a secret. The order
//! of elements in a file matters on deploy. A permission set must not name a field whose right cannot be given: the whole
//! deploy fails then.
//!
//! To add a component: a template or file below `salesforce/`, a [`Kind`] if it is of a new type, and a line in one of the
//! three files; tests/it/salesforce/package.rs asks which part of the product uses it.

mod app;
mod fill;
mod forms;
mod objects;
mod panel;

use std::collections::{BTreeMap, BTreeSet};

pub use self::{
    app::AppFlow,
    forms::{metadata_form, source_form},
    objects::{ALWAYS_TOLD, NEVER_GIVEN, message_name},
};

/// The field that carries the twin's id.
pub const MARK_FIELD: &str = "Wicketgate_Id__c";

/// What a package is made for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Name of the tracker on the node.
    pub tracker: String,
    /// Where the node is reached.
    pub base_url: String,
    /// Where outbound messages go: holds the door's token.
    pub endpoint: String,
    /// Username of the integration user.
    pub user: String,
    /// E-mail address of whoever answers for the app.
    pub contact: String,
    /// How the node logs in.
    pub flow: AppFlow,
    /// PEM of the certificate whose key signs assertions (`jwt-bearer`).
    pub certificate: Option<String>,
    /// The panel for record pages is wanted.
    pub panel: bool,
    /// What is synced, by object.
    pub objects: BTreeMap<String, Needs>,
}

/// What an object's records are used for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Fields that a message holds.
    pub told: BTreeSet<String>,
    /// Fields to which the right is given; true: to write them too.
    pub rights: BTreeMap<String, bool>,
}

/// What rules do with a field, and what the org says of it, where it says something.
#[derive(Clone, Debug, Default)]
pub struct FieldWish {
    /// A rule assigns it.
    pub written: bool,
    /// The right to it can be given; `None`: not known.
    pub permissionable: Option<bool>,
    /// A message can hold it.
    pub tellable: bool,
}

impl Needs {
    /// What these fields need, and what Wicketgate itself does.
    pub fn of(fields: &BTreeMap<String, FieldWish>) -> Self {
        let mut needs = Self::default();
        needs.told.extend(ALWAYS_TOLD.map(str::to_owned));
        needs.told.insert(MARK_FIELD.to_owned());
        for (name, wish) in fields {
            if wish.tellable {
                needs.told.insert(name.clone());
            }
            if wish.permissionable.unwrap_or(!NEVER_GIVEN.contains(&name.as_str())) {
                needs.rights.insert(name.clone(), wish.written);
            }
        }
        needs.rights.insert(MARK_FIELD.to_owned(), true);
        needs
    }
}

/// Which part of the package a component belongs to: of the two apps one is deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Everything but the app.
    Main,
    /// The app for orgs of today.
    ExternalClientApp,
    /// The app for orgs where it exists already, or is allowed.
    ConnectedApp,
}

impl Part {
    /// Its folder in the source form.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Main => "force-app",
            Self::ExternalClientApp => "external-client-app",
            Self::ConnectedApp => "connected-app",
        }
    }
}

/// A type of metadata: its name, folder and file ending.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// As a manifest names it.
    pub name: &'static str,
    /// Folder of its files.
    pub folder: &'static str,
    /// Ending of its files.
    pub ending: &'static str,
}

/// One component.
#[derive(Debug)]
pub struct Component {
    /// Where it belongs.
    pub part: Part,
    /// Its type.
    pub kind: &'static Kind,
    /// Its name in a manifest.
    pub member: String,
    /// Its files.
    pub files: Files,
}

/// How a component is laid out.
#[derive(Debug)]
pub enum Files {
    /// One file, named so without its ending.
    One(String, String),
    /// A field of an object; in the metadata form it stands in the object's file.
    Field(String, String),
    /// Several files, named so below the type's folder, alike in both forms.
    Many(Vec<(&'static str, &'static str)>),
}

/// All components, in order.
pub fn components(wanted: &Wanted) -> Vec<Component> {
    let mut all = objects::components(wanted);
    all.extend(app::components(wanted));
    if wanted.panel {
        all.extend(panel::components(wanted));
    }
    all
}
