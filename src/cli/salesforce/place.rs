//! Where a package is kept: a folder, or a zip. What it was made for stands beside it, in `wicketgate.json` or in the zip's
//! comment, so that the next one needs fewer words and can say what changed.
//!
//! Traps. A folder may hold somebody's own work: without our note nothing in it is touched, and with it only the files
//! that it lists, unless somebody edited them. The note itself may be edited: paths in it that lead out of the folder are
//! not followed.

use std::{
    collections::BTreeMap,
    fs, io,
    io::{Read as _, Write as _},
    path::{Component, Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::secret::{base64url, sha256};

const NOTE: &str = "wicketgate.json";
const MADE_BY: &str = "wicketgate salesforce package";
/// Largest file of a package.
const MOST_BYTES: u64 = 4 << 20;

/// Files by path.
type Tree = BTreeMap<String, String>;

/// What a package was made for.
#[derive(Serialize, Deserialize)]
pub(super) struct Note {
    made_by: String,
    /// What was said on the command line.
    pub(super) inputs: Value,
    /// SHA-256 by file.
    files: BTreeMap<String, String>,
}

/// A package that is there.
pub(super) struct Last {
    pub(super) note: Note,
    /// Its files as they are now.
    pub(super) tree: Tree,
}

/// See the module.
pub(super) enum Place {
    Folder(PathBuf),
    Zip(PathBuf),
}

fn sum(text: &str) -> String {
    base64url(&sha256(text.as_bytes()))
}

/// One hash for all files: a zip's comment is short.
fn sum_of(tree: &Tree) -> BTreeMap<String, String> {
    let all: Vec<String> = tree.iter().map(|(path, text)| format!("{path}\n{}\n", sum(text))).collect();
    BTreeMap::from([("all".to_owned(), sum(&all.concat()))])
}

impl Note {
    fn new(inputs: Value, files: BTreeMap<String, String>) -> Self {
        Self { made_by: MADE_BY.to_owned(), inputs, files }
    }

    fn read(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok().filter(|note: &Self| note.made_by == MADE_BY)
    }
}

impl Place {
    pub(super) fn at(path: &Path) -> Self {
        let zip = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("zip"));
        if zip { Self::Zip(path.to_owned()) } else { Self::Folder(path.to_owned()) }
    }

    pub(super) fn shown(&self) -> String {
        let (Self::Folder(path) | Self::Zip(path)) = self;
        path.display().to_string()
    }

    /// The package that is there; `None` where there is nothing.
    pub(super) fn last(&self) -> anyhow::Result<Option<Last>> {
        match self {
            Self::Folder(path) => last_in_folder(path),
            Self::Zip(path) => last_in_zip(path),
        }
    }

    /// Writes a package over the last one.
    pub(super) fn write(&self, tree: &Tree, inputs: Value, last: Option<Last>, force: bool) -> anyhow::Result<()> {
        if let Some(last) = last.as_ref().filter(|_| !force) {
            let edited = match self {
                Self::Folder(_) => edited(last),
                Self::Zip(_) if last.note.files != sum_of(&last.tree) => vec!["its content"],
                Self::Zip(_) => Vec::new(),
            };
            if !edited.is_empty() {
                anyhow::bail!("edited since it was written, and kept: {}. --force overwrites it", edited.join(", "));
            }
        }
        match self {
            Self::Folder(path) => write_folder(path, tree, inputs, last, force),
            Self::Zip(path) => write_zip(path, tree, inputs),
        }
        .with_context(|| format!("{} could not be written", self.shown()))
    }

    /// What an admin types next.
    pub(super) fn how_to_deploy(&self) -> String {
        match self {
            Self::Folder(_) => "Deploy from there, first to see, then for good without --dry-run:\n  \
                sf project deploy start --manifest manifest/force-app.xml --target-org ORG --dry-run\n  \
                sf project deploy start --manifest manifest/external-client-app.xml --target-org ORG --dry-run\n\
                (connected-app.xml where the org has a Connected App already)"
                .to_owned(),
            Self::Zip(_) => format!(
                "Deploy it: sf project deploy start --metadata-dir {} --single-package --target-org ORG --dry-run",
                self.shown()
            ),
        }
    }
}

/// Files of the note whose text is another now. One that is gone was not edited.
fn edited(last: &Last) -> Vec<&str> {
    let other = last.note.files.iter().filter(|(path, was)| last.tree.get(*path).is_some_and(|text| sum(text) != **was));
    other.map(|(path, _)| path.as_str()).collect()
}

/// A path that stays in its folder.
fn is_inside(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

fn last_in_folder(folder: &Path) -> anyhow::Result<Option<Last>> {
    let shown = folder.display();
    let mut entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{shown} cannot be read")),
    };
    let Some(mut note) = fs::read(folder.join(NOTE)).ok().as_deref().and_then(Note::read) else {
        if entries.next().is_none() {
            return Ok(None);
        }
        anyhow::bail!("{shown} holds other files, and no package: choose an empty folder, or one that does not exist yet");
    };
    note.files.retain(|path, _| is_inside(path));
    let mut tree = Tree::new();
    for path in note.files.keys() {
        match fs::read(folder.join(path)) {
            Ok(bytes) => drop(tree.insert(path.clone(), String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("{shown}/{path} cannot be read")),
        }
    }
    Ok(Some(Last { note, tree }))
}

fn last_in_zip(path: &Path) -> anyhow::Result<Option<Last>> {
    let shown = path.display();
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{shown} cannot be read")),
    };
    let archive = zip::ZipArchive::new(file).ok();
    let found = archive.and_then(|archive| Note::read(archive.comment()).map(|note| (archive, note)));
    let Some((mut archive, note)) = found else {
        anyhow::bail!("{shown} is there and no package of ours: choose another name");
    };
    let mut tree = Tree::new();
    for number in 0..archive.len() {
        let file = archive.by_index(number).with_context(|| format!("{shown} is damaged"))?;
        let (name, mut text) = (file.name()?.into_owned(), String::new());
        // What is not text was not written by us, and shows as edited.
        let _ = file.take(MOST_BYTES).read_to_string(&mut text);
        tree.insert(name, text);
    }
    Ok(Some(Last { note, tree }))
}

/// The package holds a secret: only its owner reads it.
fn create(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn write_folder(folder: &Path, tree: &Tree, inputs: Value, last: Option<Last>, force: bool) -> anyhow::Result<()> {
    let known = last.map(|last| last.note.files).unwrap_or_default();
    let foreign: Vec<&str> =
        tree.keys().filter(|path| !known.contains_key(*path) && folder.join(path).exists()).map(String::as_str).collect();
    if !foreign.is_empty() && !force {
        anyhow::bail!("there already, and not ours: {}. --force overwrites it", foreign.join(", "));
    }
    fs::create_dir_all(folder)?;
    let files: BTreeMap<String, String> = tree.iter().map(|(path, text)| (path.clone(), sum(text))).collect();
    for (path, text) in tree {
        let file = folder.join(path);
        if let Some(above) = file.parent() {
            fs::create_dir_all(above)?;
        }
        create(&file)?.write_all(text.as_bytes())?;
    }
    for path in known.keys().filter(|path| !tree.contains_key(*path)) {
        let file = folder.join(path);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        // Folders that are empty now go, too; the first that is not ends it.
        let above = file.ancestors().skip(1).take_while(|above| *above != folder);
        for above in above {
            if fs::remove_dir(above).is_err() {
                break;
            }
        }
    }
    let note = serde_json::to_value(Note::new(inputs, files))?;
    create(&folder.join(NOTE))?.write_all(format!("{note:#}\n").as_bytes())?;
    Ok(())
}

fn write_zip(path: &Path, tree: &Tree, inputs: Value) -> anyhow::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let beside = path.with_file_name(name);
    let whole = || {
        let mut zip = zip::ZipWriter::new(create(&beside)?);
        // The same time for all, or no two packages were alike.
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored)
            .last_modified_time(zip::DateTime::DEFAULT)
            .unix_permissions(0o644);
        for (path, text) in tree {
            zip.start_file(path.as_str(), options)?;
            zip.write_all(text.as_bytes())?;
        }
        zip.set_comment(serde_json::to_string(&Note::new(inputs, sum_of(tree)))?)?;
        zip.finish()?.sync_all()?;
        fs::rename(&beside, path)?;
        anyhow::Ok(())
    };
    let written = whole();
    if written.is_err() {
        // The half that there is helps nobody.
        let _ = fs::remove_file(&beside);
    }
    written
}
