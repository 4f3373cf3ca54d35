//! `wicketgate salesforce`: the metadata package for an org, and whether the org has what it brings.
//!
//! Flow: [`asking`] gathers what the package is made for (the node's address, what the rules use, what the org tells of its
//! objects), `salesforce::package` makes the files, [`place`] keeps them where they are wanted and remembers what they were
//! made for, [`differing`] says what changed. [`verify`] holds the same wishes against the org.
//!
//! Trap: before the first package is deployed nobody can log in to the org, so nothing can be checked against it. The
//! command goes on then and says what it could not check; run again later, it does.

mod asking;
mod differing;
mod place;
#[cfg(test)]
mod tests;
mod verify;

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Value, json};

use self::{
    asking::Asked,
    place::{Note, Place},
};
use super::{
    Usage,
    api::{ApiClient, NodeArgs},
    output::{Output, clean},
};
use crate::salesforce::package::{self, AppFlow, Part, Wanted};

/// Arguments of `salesforce`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Writes what an admin deploys into the org: app, permissions, fields, messages, flows, and the panel for record pages
    Package(Box<Package>),
    /// Compares what the org has with what the package brings, as far as our user sees it
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
struct Package {
    /// Name of the tracker
    #[arg(long)]
    tracker: String,
    /// Objects whose records are synced, such as Case,Account,My__c. Not needed where there is a package already
    #[arg(long, value_delimiter = ',', value_name = "OBJECT,…")]
    objects: Vec<String>,
    /// A folder (a project for the Salesforce CLI), or a file that ends in .zip (for any deploying tool)
    #[arg(long, value_name = "DIR|ZIP")]
    out: PathBuf,
    /// Username of the integration user. Not needed where there is a package already
    #[arg(long, value_name = "USERNAME")]
    user: Option<String>,
    /// E-mail address of whoever answers for the app; the username unless told
    #[arg(long, value_name = "EMAIL")]
    contact: Option<String>,
    /// How the node logs in, as `flow` in its configuration
    #[arg(long, value_enum)]
    flow: Option<LoginFlow>,
    /// Certificate (PEM) whose key signs assertions, for jwt-bearer
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Which app a zip holds; a folder holds both
    #[arg(long, value_enum)]
    app: Option<App>,
    /// Whether it holds the panel for record pages, and with it code; true unless told
    #[arg(long, value_name = "true|false")]
    panel: Option<bool>,
    /// One more field than the rules name, such as Case.Region__c
    #[arg(long = "field", value_name = "OBJECT.FIELD")]
    fields: Vec<String>,
    /// Take names of objects that the org does not show our user yet
    #[arg(long)]
    trust_names: bool,
    /// Overwrite files that were edited since they were written
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// Name of the tracker
    #[arg(long)]
    tracker: String,
    /// Objects to look at; those of the connections unless told
    #[arg(long, value_delimiter = ',', value_name = "OBJECT,…")]
    objects: Vec<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LoginFlow {
    ClientCredentials,
    JwtBearer,
    AuthorizationCode,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum App {
    #[value(name = "external-client-app")]
    External,
    #[value(name = "connected-app")]
    Connected,
    None,
}

impl Args {
    /// `Ok(false)`: something is missing in the org.
    pub(super) async fn run(self, out: &mut Output) -> anyhow::Result<bool> {
        let api = self.node.client()?;
        let json = self.node.json;
        match self.what {
            What::Package(wish) => make(&api, *wish, json, out).await.map(|()| true),
            What::Verify(wish) => verify::run(&api, &wish.tracker, &wish.objects, json, out).await,
        }
    }
}

/// A name as clap writes it.
fn word(value: impl clap::ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// What was said, or was said the last time, or holds unless something is said.
fn noted(said: Option<String>, last: Option<&Note>, member: &str) -> Option<String> {
    said.or_else(|| last?.inputs[member].as_str().map(str::to_owned))
}

fn listed(said: Vec<String>, last: Option<&Note>, member: &str) -> Vec<String> {
    let before = || last.and_then(|note| note.inputs[member].as_array()).into_iter().flatten();
    let mut all: Vec<String> =
        if said.is_empty() { before().filter_map(Value::as_str).map(str::to_owned).collect() } else { said };
    all.iter_mut().for_each(|name| *name = name.trim().to_owned());
    all.retain(|name| !name.is_empty());
    all.sort();
    all.dedup();
    all
}

fn flow_of(word: &str) -> anyhow::Result<AppFlow> {
    match word {
        "client-credentials" => Ok(AppFlow::ClientCredentials),
        "jwt-bearer" => Ok(AppFlow::JwtBearer),
        "authorization-code" => Ok(AppFlow::AuthorizationCode),
        other => anyhow::bail!("the package that is there names the flow `{}`, which is none; say --flow", clean(other)),
    }
}

fn username(user: Option<String>) -> anyhow::Result<String> {
    let Some(user) = user.map(|user| user.trim().to_owned()) else {
        return Err(Usage("--user: name the integration user, as Setup shows its username".to_owned()).into());
    };
    let sound =
        user.contains('@') && user.chars().count() <= 80 && !user.chars().any(|one| one.is_control() || one.is_whitespace());
    if sound {
        Ok(user)
    } else {
        Err(Usage(format!("--user: `{}` is no username: they look like an e-mail address", clean(&user))).into())
    }
}

/// `package`.
async fn make(api: &ApiClient, wish: Package, as_json: bool, out: &mut Output) -> anyhow::Result<()> {
    let place = Place::at(&wish.out);
    let last = place.last()?;
    let note = last.as_ref().map(|last| &last.note);
    if let Some(other) = note.and_then(|note| note.inputs["tracker"].as_str()).filter(|other| *other != wish.tracker) {
        anyhow::bail!("{} holds the package of the tracker `{}`; choose another place", place.shown(), clean(other));
    }
    let flow = noted(wish.flow.map(word), note, "flow").unwrap_or_else(|| "client-credentials".to_owned());
    let app = noted(wish.app.map(word), note, "app").unwrap_or_else(|| "external-client-app".to_owned());
    let certificate =
        wish.certificate.as_ref().map(std::fs::read_to_string).transpose().context("--certificate cannot be read")?;
    let certificate = noted(certificate, note, "certificate");
    if flow == "jwt-bearer" && certificate.as_deref().is_none_or(|pem| !pem.contains("BEGIN CERTIFICATE")) {
        return Err(Usage("--certificate: jwt-bearer wants the certificate (PEM) of the key that signs".to_owned()).into());
    }
    // What was taken once is not doubted again.
    let trust_names = wish.trust_names || wish.objects.is_empty();
    let objects = listed(wish.objects, note, "objects");
    if objects.is_empty() {
        return Err(Usage("--objects: name the objects whose records are synced, such as Case,Account".to_owned()).into());
    }
    let fields = listed(wish.fields, note, "fields");
    let user = username(noted(wish.user, note, "user"))?;
    let contact = noted(wish.contact, note, "contact").unwrap_or_else(|| user.clone());
    let Asked { base_url, endpoint, needs, notes, .. } = asking::ask(api, &wish.tracker, &objects, &fields, trust_names).await?;
    let panel = wish.panel.or_else(|| note?.inputs["panel"].as_bool()).unwrap_or(true);
    let inputs = json!({"tracker": wish.tracker, "user": user, "contact": contact, "flow": flow, "app": app, "panel": panel,
        "objects": objects, "fields": fields, "certificate": certificate});
    let wanted = Wanted {
        tracker: wish.tracker,
        base_url,
        endpoint,
        user,
        contact,
        flow: flow_of(&flow)?,
        certificate,
        panel,
        objects: needs,
    };
    let components = package::components(&wanted);
    let tree = match &place {
        Place::Folder(_) => package::source_form(&components),
        Place::Zip(_) => package::metadata_form(&components, part_of(&app)),
    };
    let changes = differing::changes(last.as_ref().map(|last| &last.tree), &tree);
    place.write(&tree, inputs, last, wish.force)?;
    tell(&place, &wanted, tree.len(), &changes, &notes, as_json, out)
}

fn part_of(app: &str) -> Option<Part> {
    match app {
        "connected-app" => Some(Part::ConnectedApp),
        "none" => None,
        _ => Some(Part::ExternalClientApp),
    }
}

fn tell(
    place: &Place,
    wanted: &Wanted,
    files: usize,
    changes: &[Value],
    notes: &[String],
    as_json: bool,
    out: &mut Output,
) -> anyhow::Result<()> {
    let marks: Vec<String> = wanted.objects.keys().map(|object| format!("{object} = \"{}\"", package::MARK_FIELD)).collect();
    let configuration = format!("external_id_fields = {{ {} }}", marks.join(", "));
    if as_json {
        return Ok(out.json(&json!({"out": place.shown(), "files": files, "changes": changes, "notes": notes,
            "configuration": configuration}))?);
    }
    differing::tell(changes, out)?;
    for note in notes {
        out.line(&format!("note: {}", clean(note)))?;
    }
    out.line(&format!("{}: {files} files. It holds the secret address of this node: keep it to yourself.", place.shown()))?;
    out.line(&place.how_to_deploy())?;
    out.line(&format!("Then set under [trackers.{}]: {configuration}", wanted.tracker))?;
    out.line(&format!("and run: wicketgate salesforce verify --tracker {}", wanted.tracker))?;
    Ok(())
}
