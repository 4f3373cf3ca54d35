//! A private authority, and a front that speaks TLS with its certificate and may want one of the caller too.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{io::copy_bidirectional, net::TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{Server, serve};

/// An authority that nobody trusts by itself.
pub struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    cert: CertificateDer<'static>,
    pub pem: String,
}

/// A certificate and its key, in files and in memory.
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
    chain: Vec<CertificateDer<'static>>,
    secret: PrivateKeyDer<'static>,
}

impl Authority {
    pub fn new() -> Self {
        let mut wanted = rcgen::CertificateParams::default();
        wanted.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        wanted.distinguished_name.push(rcgen::DnType::CommonName, "a private authority");
        let key = rcgen::KeyPair::generate().expect("a key");
        let cert = wanted.self_signed(&key).expect("signs");
        Self { pem: cert.pem(), cert: cert.der().clone(), issuer: rcgen::Issuer::new(wanted, key) }
    }

    /// Writes its own certificate for a `ca_file`.
    pub fn file(&self, folder: &Path) -> PathBuf {
        let path = folder.join("authority.pem");
        std::fs::write(&path, &self.pem).expect("written");
        path
    }

    /// Issues a certificate for `names` (or for a caller, where there are none) and writes it as `NAME.pem` and `NAME.key`.
    pub fn issue(&self, folder: &Path, file: &str, names: &[&str]) -> Pair {
        let key = rcgen::KeyPair::generate().expect("a key");
        let wanted = rcgen::CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).expect("names");
        let cert = wanted.signed_by(&key, &self.issuer).expect("signs");
        let pair = Pair {
            cert: folder.join(format!("{file}.pem")),
            key: folder.join(format!("{file}.key")),
            chain: vec![cert.der().clone()],
            secret: PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        };
        std::fs::write(&pair.cert, cert.pem()).expect("written");
        std::fs::write(&pair.key, key.serialize_pem()).expect("written");
        pair
    }
}

/// A front that ends TLS before a plain server.
pub struct Front {
    server: Server,
    to: Arc<Mutex<SocketAddr>>,
}

impl Front {
    /// Leads nowhere yet ([`Self::aim`]). `callers`: the authority whose certificates callers must show.
    pub async fn start(pair: &Pair, callers: Option<&Authority>) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().expect("versions");
        let builder = match callers {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.cert.clone()).expect("a root");
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("a verifier");
                builder.with_client_cert_verifier(verifier)
            }
        };
        let config = Arc::new(builder.with_single_cert(pair.chain.clone(), pair.secret.clone_key()).expect("a pair"));
        let to = Arc::new(Mutex::new(SocketAddr::from(([127, 0, 0, 1], 1))));
        let aim = to.clone();
        let server = serve(move |caller| {
            let (config, to) = (config.clone(), *aim.lock().expect("no panic"));
            async move {
                // A caller that dislikes the certificate, or whose own is disliked, hangs up here.
                let _ = carry(caller, config, to).await;
            }
        })
        .await;
        Self { server, to }
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.server.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    pub fn aim(&self, to: SocketAddr) {
        *self.to.lock().expect("no panic") = to;
    }
}

async fn carry(caller: TcpStream, config: Arc<ServerConfig>, to: SocketAddr) -> std::io::Result<()> {
    let mut caller = TlsAcceptor::from(config).accept(caller).await?;
    let mut far = TcpStream::connect(to).await?;
    copy_bidirectional(&mut caller, &mut far).await.map(|_| ())
}
