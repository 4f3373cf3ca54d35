//! The file that holds the key by which secrets in the database are sealed.
//!
//! It is made at first start and lies beside the database, never in it: who copies the database alone reads no secret.
//! A backup needs it too, or all secrets must be entered again.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use super::StoreError;
use crate::{
    clock::Clock,
    secret::{base64url, from_base64url},
};

/// Name of the file in the data folder.
pub const NAME: &str = "seal.key";
/// More than a key in base64url with line ends.
const LARGEST: u64 = 256;

/// Whether there is a key file; one that cannot be looked at counts as there.
pub fn is_there(data_dir: &Path) -> bool {
    data_dir.join(NAME).try_exists().unwrap_or(true)
}

/// The key in `<data_dir>/seal.key` (32 bytes as base64url); a new one, on disk for good, where there is none.
///
/// Errors: [`StoreError::Unavailable`] where the file cannot be read or made, [`StoreError::Broken`] where it holds no
/// key.
pub fn load_or_create(data_dir: &Path, clock: &dyn Clock) -> Result<[u8; 32], StoreError> {
    let path = data_dir.join(NAME);
    match load(&path)? {
        Some(key) => Ok(key),
        None => create(data_dir, &path, clock),
    }
}

fn load(path: &Path) -> Result<Option<[u8; 32]>, StoreError> {
    let told = |error: std::io::Error| StoreError::Unavailable(format!("the key file {}: {error}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(told(error)),
    };
    if file.metadata().map_err(told)?.permissions().mode() & 0o077 != 0 {
        tracing::warn!(file = %path.display(), "the key file can be read by other users of this machine: chmod 600 it");
    }
    let text = std::io::read_to_string(std::io::Read::take(file, LARGEST)).map_err(told)?;
    let key = from_base64url(text.trim()).and_then(|bytes| bytes.try_into().ok());
    key.map(Some).ok_or_else(|| {
        StoreError::Broken(format!(
            "the key file {} does not hold 32 bytes in base64url: restore it from your backup",
            path.display()
        ))
    })
}

fn create(data_dir: &Path, path: &Path, clock: &dyn Clock) -> Result<[u8; 32], StoreError> {
    let told = |error: std::io::Error| StoreError::Unavailable(format!("the key file {}: {error}", path.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(told)?;
    let mut key = [0u8; 32];
    clock.random(&mut key);
    // Written whole beside its place and linked there: a power cut leaves a key or none, never half of one.
    let draft = data_dir.join(format!("{NAME}.{}", clock.id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(told)?;
    file.write_all(format!("{}\n", base64url(&key)).as_bytes()).map_err(told)?;
    file.sync_all().map_err(told)?;
    let linked = std::fs::hard_link(&draft, path);
    if let Err(error) = &linked
        && error.kind() != ErrorKind::AlreadyExists
    {
        // A file system without links: take the name, last writer wins.
        std::fs::rename(&draft, path).map_err(told)?;
    } else {
        std::fs::remove_file(&draft).map_err(told)?;
    }
    // Its name must outlive a power cut as surely as what it seals.
    File::open(data_dir).and_then(|folder| folder.sync_all()).map_err(told)?;
    // Read back: where another process was first, its key counts.
    load(path)?.ok_or_else(|| StoreError::Unavailable(format!("the key file {} is gone again", path.display())))
}
