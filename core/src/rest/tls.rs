//! Gets the paths of a certificate chain and its key.
//! Gives TLS with whatever lies there now: a change is seen without a restart.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::media::sync::Mutex;
use crate::media::{Error, ErrorKind, Result};

/// A certificate that is read again when its files change.
#[derive(Debug)]
pub(super) struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    certified: Arc<CertifiedKey>,
    seen: Seen,
}

/// What tells one version of the two files from another.
type Seen = [Option<(u64, i64, i64, u64)>; 2];

impl Certificate {
    pub(super) fn load(chain: &Path, key: &Path) -> Result<Arc<Self>> {
        // First the look, then the reading: a change in between is seen by the next look.
        let seen = look(chain, key);
        let certified = Arc::new(read(chain, key)?);
        Ok(Arc::new(Self {
            chain: chain.to_owned(),
            key: key.to_owned(),
            held: Mutex::new(Held { certified, seen }),
        }))
    }

    /// Reads the files again where they changed. After an error the certificate is the one before, and
    /// the next change is looked for.
    pub(super) fn refresh(&self) -> Result<bool> {
        let seen = look(&self.chain, &self.key);
        if self.held.lock().seen == seen {
            return Ok(false);
        }
        let read = read(&self.chain, &self.key);
        let mut held = self.held.lock();
        held.seen = seen;
        held.certified = Arc::new(read?);
        Ok(true)
    }

    #[cfg(test)]
    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.held.lock().certified.cert.clone()
    }

    /// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
    pub(super) fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>> {
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::new(ErrorKind::Internal, "set TLS up", error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.held.lock().certified))
    }
}

fn look(chain: &Path, key: &Path) -> Seen {
    let facts = |found: Metadata| (found.ino(), found.mtime(), found.mtime_nsec(), found.len());
    [chain, key].map(|path| std::fs::metadata(path).ok().map(facts))
}

fn read(chain: &Path, key: &Path) -> Result<CertifiedKey> {
    const OPERATION: &str = "read the TLS certificate";
    let wrong = |path: &Path, why: &dyn std::fmt::Display| {
        Error::new(ErrorKind::InvalidConfig, OPERATION, why.to_string()).with("path", path.display())
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(chain, &error))?;
    if certificates.is_empty() {
        return Err(wrong(chain, &"there is no certificate in it"));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
    CertifiedKey::from_der(certificates, secret, &ring::default_provider()).map_err(|error| wrong(key, &error))
}
