//! Gets the engine's settings.
//! Gives those of HTTP, typed.

use std::path::PathBuf;
use std::time::Duration;

use crate::engine::PullHosts;
use crate::engine::config::{Secret, Settings};
use crate::engine::webhook::WebhookOptions;

/// Connections served at once over one listener. Each costs a descriptor, and a process may often have
/// no more than 1,024, which recordings need too.
const DEFAULT_MAX_CONNECTIONS: usize = 512;

/// Bytes of clips kept: `record_fragments_max_size`.
const DEFAULT_FRAGMENTS_BYTES: u64 = 1 << 30;

/// What REST, downloads and their listeners are told. Fields are named as the settings are.
#[derive(Clone, Debug)]
pub struct RestOptions {
    /// `host:port` of the HTTP listener; port 0 picks a free one. `None` opens none.
    pub http_listen: Option<String>,
    /// The same of HTTPS, which needs `tls_cert` and `tls_key`.
    pub https_listen: Option<String>,
    /// Certificate chain, PEM. Read again when it changes.
    pub tls_cert: Option<PathBuf>,
    /// Private key, PEM. Read again when it changes.
    pub tls_key: Option<PathBuf>,
    /// Lets a listener beyond loopback open without a guard.
    pub allow_unauthenticated: bool,
    /// The Bearer token of REST, pulls and metrics.
    pub rest_token: Option<Secret>,
    /// The Bearer token of downloads; `?token=` is taken too.
    pub download_token: Option<Secret>,
    /// Origins that browsers may call from; `*` for any.
    pub cors_allowed_origins: Vec<String>,
    /// Where pulls that are asked for over REST may go.
    pub pull_allowed_hosts: PullHosts,
    /// Whether downloads are offered as attachments
    /// (`record_response_content_disposition_header_value`).
    pub attachment: bool,
    /// Where clips are kept (`record_fragments_dir`); `None` is the record folder.
    pub record_fragments_dir: Option<PathBuf>,
    /// Bytes of clips kept, least recently used go first.
    pub record_fragments_max_size: u64,
    /// Whether a clip of WebM or TS is the whole file (`clip_whole_file`).
    pub clip_whole_file: bool,
    /// How long an answer waits for files that are being finished (`record_stop_timeout`).
    pub record_stop_timeout: Duration,
    /// Connections served at once over one listener.
    pub http_max_connections: usize,
    /// Where events are posted to.
    pub webhook: Option<WebhookOptions>,
}

impl Default for RestOptions {
    fn default() -> Self {
        Self {
            http_listen: None,
            https_listen: None,
            tls_cert: None,
            tls_key: None,
            allow_unauthenticated: false,
            rest_token: None,
            download_token: None,
            cors_allowed_origins: Vec::new(),
            pull_allowed_hosts: PullHosts::default(),
            attachment: false,
            record_fragments_dir: None,
            record_fragments_max_size: DEFAULT_FRAGMENTS_BYTES,
            clip_whole_file: false,
            record_stop_timeout: Duration::from_secs(15),
            http_max_connections: DEFAULT_MAX_CONNECTIONS,
            webhook: None,
        }
    }
}

impl RestOptions {
    /// What the settings say.
    pub fn from_settings(settings: &Settings) -> Self {
        Self {
            http_listen: settings.http_listen.clone(),
            https_listen: settings.https_listen.clone(),
            tls_cert: settings.tls_cert.clone(),
            tls_key: settings.tls_key.clone(),
            allow_unauthenticated: settings.allow_unauthenticated,
            rest_token: settings.rest_token.clone(),
            download_token: settings.download_token.clone(),
            cors_allowed_origins: settings.cors_allowed_origins.clone(),
            pull_allowed_hosts: settings.pull_allowed_hosts.clone(),
            attachment: settings.attachment,
            record_fragments_dir: settings.fragments_dir.clone(),
            record_fragments_max_size: settings.fragments_max_size,
            clip_whole_file: settings.clip_whole_file,
            record_stop_timeout: settings.stop_timeout,
            http_max_connections: settings.http_max_connections,
            webhook: settings.webhook.clone(),
        }
    }

    /// Which guard is missing for a listener that everybody can reach.
    pub(super) fn missing_guard(&self) -> Option<&'static str> {
        match (&self.rest_token, &self.download_token) {
            (Some(_), Some(_)) => None,
            (Some(_), None) => Some("download_token"),
            (None, Some(_)) => Some("rest_token"),
            (None, None) => Some("rest_token and download_token"),
        }
    }
}
