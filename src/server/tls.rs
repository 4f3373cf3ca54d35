//! TLS at our own listener: certificate and key from files, read again when they change.
//!
//! A pair that cannot be used leaves the one before in place: a half-written file must not close the door. The log says
//! so, and an error of the node stands until a good pair comes, since the old certificate will expire. While the pair
//! cannot be used it is tried again at each look: rights may change without the file.

use std::{path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::kit::{Node, settings::TlsSettings};
use crate::{
    clock::Time,
    domain::{
        error::{ErrorRecord, Scope},
        ids::ErrorId,
    },
    store::StoreError,
};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(3);
/// Code of the node's error.
const CODE: &str = "tls_certificate";

/// The certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("{0}: {1}")]
    File(String, String),
    /// Certificate and key do not belong together, or are of a kind that TLS does not use.
    #[error("[node] tls: {0}")]
    Pair(String),
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// What tells one version of the files from another.
fn stamp(settings: &TlsSettings) -> Vec<Option<(std::time::SystemTime, u64)>> {
    let of = |path: &Path| std::fs::metadata(path).ok().and_then(|meta| Some((meta.modified().ok()?, meta.len())));
    vec![of(&settings.cert), of(&settings.key)]
}

fn load(settings: &TlsSettings, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let told = |path: &Path| {
        let path = path.display().to_string();
        move |error: rustls::pki_types::pem::Error| TlsError::File(path, error.to_string())
    };
    let chain = CertificateDer::pem_file_iter(&settings.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(told(&settings.cert))?;
    if chain.is_empty() {
        return Err(TlsError::File(settings.cert.display().to_string(), "holds no certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&settings.key).map_err(told(&settings.key))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| TlsError::Pair(error.to_string()))
}

/// A server configuration whose certificate follows its files.
pub fn config(settings: &TlsSettings, node: &Arc<Node>) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let seen = stamp(settings);
    let current = Arc::new(Current(ArcSwap::from_pointee(load(settings, &provider)?)));
    let following = follow(settings.clone(), node.clone(), current.clone(), provider.clone(), seen);
    let stopping = node.lifecycle.stopping();
    node.lifecycle.spawn("tls.reload", async move {
        tokio::select! { () = stopping => {}, () = following => {} }
    });
    let resolver = current;
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Pair(error.to_string()))
        .map(|builder| builder.with_no_client_auth().with_cert_resolver(resolver))
}

async fn follow(
    settings: TlsSettings,
    node: Arc<Node>,
    current: Arc<Current>,
    provider: Arc<CryptoProvider>,
    mut good: Vec<Option<(std::time::SystemTime, u64)>>,
) {
    // What is told of the pair that cannot be used; an error of the last run may stand.
    let mut told = String::new();
    tell(&node, "").await;
    loop {
        node.clock.sleep(LOOK).await;
        let found = stamp(&settings);
        if good == found {
            // The old files came back.
            if !std::mem::take(&mut told).is_empty() {
                tell(&node, "").await;
            }
            continue;
        }
        match load(&settings, &provider) {
            Ok(pair) => {
                current.0.store(Arc::new(pair));
                good = found;
                told.clear();
                tracing::info!(cert = %settings.cert.display(), "the TLS certificate was read again");
                tell(&node, "").await;
            }
            Err(error) => {
                let why = error.to_string();
                if told != why {
                    tracing::warn!(%error, "the new TLS certificate cannot be used; the one before stays");
                    tell(&node, &why).await;
                    told = why;
                }
            }
        }
    }
}

/// Opens the node's error about its certificate, or closes it where nothing is wrong.
async fn tell(node: &Node, wrong: &str) {
    let (wrong, now, id) = (wrong.to_owned(), node.now(), ErrorId(node.clock.id()));
    let written = node.store.write("tls.tell", move |tx| {
        Box::pin(async move {
            let known = tx.error_of("node", CODE).await?;
            match known {
                Some(known) if wrong.is_empty() => tx.close_error(known.id).await.map(|_| ()),
                None if wrong.is_empty() => Ok(()),
                known => tx.put_error(&record(known.map_or(id, |known| known.id), wrong, now)).await,
            }
        })
    });
    let written: Result<(), StoreError> = written.await;
    if let Err(error) = written {
        tracing::warn!(%error, "the error about the TLS certificate could not be kept");
    }
}

fn record(id: ErrorId, wrong: String, now: Time) -> ErrorRecord {
    ErrorRecord {
        id,
        scope: Scope::Node,
        connection_id: None,
        twin_id: None,
        tracker: None,
        code: CODE.to_owned(),
        title: "The new TLS certificate cannot be used".to_owned(),
        detail: format!("{wrong}; the one before is still shown to callers"),
        advice: "Put certificate and key that belong together where `[node] tls` names them; they are read again at once."
            .to_owned(),
        retryable: true,
        attempts: 1,
        occurred_at: now,
        next_attempt_at: None,
    }
}
