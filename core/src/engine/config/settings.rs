//! Gets checked values.
//! Gives them typed, for the engine.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::engine::access::PullHosts;
use crate::engine::webhook::WebhookOptions;
use crate::ingest::pull::RtspTransport;
use crate::ingest::webrtc::UdpPorts;
use crate::media::{Error, Result};
use crate::recording::naming::{NameEncoding, NameOptions, Template};
use crate::recording::plan::{Containers, Sound};
use crate::recording::rotation::RotationLimit;

/// A token. Its debug form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The settings, typed. `config/keys.rs` says what each means.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `record_streams`.
    pub record_streams: bool,
    /// `record_rtmp_streams`.
    pub record_rtmp_streams: bool,
    /// `record_rtsp_streams`.
    pub record_rtsp_streams: bool,
    /// `record_webrtc_streams`.
    pub record_webrtc_streams: bool,
    /// `record_pushed_streams`.
    pub record_pushed_streams: bool,
    /// `record_formats`: the container of each video codec.
    pub containers: Containers,
    /// `record_audio_codec_*`, `record_fdk_aac_bitrate_mode`, `webm_audio_codec`.
    pub sound: Sound,
    /// `stream_record_policy_template`.
    pub template: Template,
    /// `encode_record_name`.
    pub name_encoding: NameEncoding,
    /// `exclude_record_name_characters`.
    pub name_exclude: String,
    /// `record_rotation`.
    pub rotation: RotationLimit,
    /// `record_rotation_index_enabled`.
    pub rotation_index_enabled: bool,
    /// `record_audio_buffer_max_size`, in packets.
    pub audio_buffer_max_size: usize,
    /// `record_dir`.
    pub record_dir: PathBuf,
    /// `record_tmp_dir`.
    pub tmp_dir: Option<PathBuf>,
    /// `on_record_hook_script`.
    pub hook_script: Option<PathBuf>,
    /// `on_record_hook_timeout`.
    pub hook_timeout: Duration,
    /// `on_record_hook_max_running`.
    pub hook_max_running: usize,
    /// `mp4_container_moov_first`.
    pub index_first: bool,
    /// `mp4_container_moov_first_reserve_space` and `mp4_container_moov_reserved_space_size`: bytes.
    pub index_reserve_bytes: u64,
    /// `webm_cluster_max_duration`, in milliseconds.
    pub cluster_max_ms: u32,
    /// `webm_cluster_max_size`, in bytes.
    pub cluster_max_bytes: u32,
    /// `record_on_format_change=new-part`.
    pub new_part_on_change: bool,
    /// `record_reconnect_window`; zero for none.
    pub reconnect_window: Duration,
    /// `pull_allowed_hosts`.
    pub pull_allowed_hosts: PullHosts,
    /// `rtsp_transport`.
    pub rtsp_transport: RtspTransport,
    /// `pull_idle_timeout`.
    pub pull_idle_timeout: Duration,
    /// `pull_retry_max_delay`.
    pub pull_retry_max_delay: Duration,
    /// `publish_duplicate_name=take-over`.
    pub take_over: bool,
    /// `record_threads`.
    pub threads: usize,
    /// `record_stop_timeout`.
    pub stop_timeout: Duration,
    /// `record_sync_interval`; zero for never.
    pub sync_interval: Duration,
    /// `record_min_free_space`, in bytes.
    pub min_free_space: u64,
    /// `record_retention_max_age`.
    pub retention_max_age: Option<Duration>,
    /// `record_retention_max_size`, in bytes.
    pub retention_max_size: Option<u64>,
    /// `record_retention_min_free_space`, in bytes.
    pub retention_min_free_space: Option<u64>,
    /// `record_preroll`.
    pub preroll: Duration,
    /// `record_file_sha256`.
    pub file_sha256: bool,
    /// `rtmp_listen`.
    pub rtmp_listen: Option<String>,
    /// `http_listen`.
    pub http_listen: Option<String>,
    /// `https_listen`.
    pub https_listen: Option<String>,
    /// `tls_cert`.
    pub tls_cert: Option<PathBuf>,
    /// `tls_key`.
    pub tls_key: Option<PathBuf>,
    /// `webrtc_udp_ports`.
    pub webrtc_udp_ports: Option<UdpPorts>,
    /// `webrtc_public_ips`.
    pub webrtc_public_ips: Vec<IpAddr>,
    /// `webrtc_ice_servers`.
    pub webrtc_ice_servers: Vec<String>,
    /// `webrtc_jitter_max_delay`.
    pub webrtc_jitter_max_delay: Duration,
    /// `webrtc_broken_frames=keep`.
    pub webrtc_keep_broken_frames: bool,
    /// `allow_unauthenticated`.
    pub allow_unauthenticated: bool,
    /// `rest_token`.
    pub rest_token: Option<Secret>,
    /// `download_token`.
    pub download_token: Option<Secret>,
    /// `cors_allowed_origins`.
    pub cors_allowed_origins: Vec<String>,
    /// `record_response_content_disposition_header_value=attachment`.
    pub attachment: bool,
    /// `record_fragments_dir`.
    pub fragments_dir: Option<PathBuf>,
    /// `record_fragments_max_size`, in bytes.
    pub fragments_max_size: u64,
    /// `clip_whole_file`.
    pub clip_whole_file: bool,
    /// `http_max_connections`.
    pub http_max_connections: usize,
    /// `event_webhook_*`.
    pub webhook: Option<WebhookOptions>,
    /// `publish_token`.
    pub publish_token: Option<Secret>,
}

impl Settings {
    /// Where files grow.
    pub fn record_tmp_dir(&self) -> &Path {
        self.tmp_dir.as_deref().unwrap_or(&self.record_dir)
    }

    /// The same with absolute paths, so that a later change of the working directory changes nothing
    /// and events tell where a file is.
    ///
    /// # Errors
    /// `Io` where the working directory is gone.
    pub fn with_absolute_paths(mut self) -> Result<Self> {
        let paths = [
            Some(&mut self.record_dir),
            self.tmp_dir.as_mut(),
            self.hook_script.as_mut(),
            self.fragments_dir.as_mut(),
            self.tls_cert.as_mut(),
            self.tls_key.as_mut(),
            self.webhook.as_mut().and_then(|webhook| webhook.ca.as_mut()),
        ];
        for path in paths.into_iter().flatten() {
            *path = std::path::absolute(&*path)
                .map_err(|error| Error::io("make a path absolute", error).with("path", path.display()))?;
        }
        Ok(self)
    }

    /// How names are made where a name may have so many bytes.
    pub fn name_options(&self, max_bytes: usize) -> NameOptions {
        NameOptions {
            encoding: self.name_encoding,
            exclude: self.name_exclude.clone(),
            max_bytes,
        }
    }
}
