//! TLS at our own listener: certificate and key from files, read again when they change.
//!
//! A pair that cannot be read leaves the one before in place and says so in the log: a half-written file must not close
//! the door.

use std::{path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::kit::settings::TlsSettings;
use crate::{clock::Clock, lifecycle::Lifecycle};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(3);

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
pub fn config(settings: &TlsSettings, clock: Arc<dyn Clock>, lifecycle: &Lifecycle) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut seen = stamp(settings);
    let current = Arc::new(Current(ArcSwap::from_pointee(load(settings, &provider)?)));
    let (settings, resolver, stopping) = (settings.clone(), current.clone(), lifecycle.stopping());
    let with = provider.clone();
    lifecycle.spawn("tls.reload", async move {
        let follow = async {
            loop {
                clock.sleep(LOOK).await;
                let found = stamp(&settings);
                if seen == found {
                    continue;
                }
                match load(&settings, &with) {
                    Ok(pair) => {
                        current.0.store(Arc::new(pair));
                        tracing::info!(cert = %settings.cert.display(), "the TLS certificate was read again");
                    }
                    Err(error) => tracing::warn!(%error, "the new TLS certificate cannot be used; the one before stays"),
                }
                seen = found;
            }
        };
        tokio::select! { () = stopping => {}, () = follow => {} }
    });
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Pair(error.to_string()))
        .map(|builder| builder.with_no_client_auth().with_cert_resolver(resolver))
}
