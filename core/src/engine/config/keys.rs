//! Gets nothing.
//! Gives every setting as data: the one table behind validation, flags, the schema and the docs.

/// A setting.
#[derive(Debug)]
pub struct Key {
    /// Its name, the same in every place.
    pub name: &'static str,
    /// What Web Call Server calls it, where that differs.
    pub aliases: &'static [&'static str],
    /// What it takes.
    pub kind: Kind,
    /// Its value where nothing is set; empty for none.
    pub default: &'static str,
    /// One sentence, with the unit.
    pub help: &'static str,
    /// Whether this version acts on it.
    pub served: Served,
}

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds.
    Integer {
        /// Least.
        min: i64,
        /// Most.
        max: i64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any text.
    Text,
    /// A path.
    Path,
    /// A file-name template.
    Template,
    /// A rotation.
    Rotation,
    /// A list of codec-container pairs.
    Formats,
    /// Bytes, with `K`, `M` or `G` (1024 each) behind the number where wanted.
    Bytes,
    /// `host:port`; port 0 picks a free one.
    Address,
    /// A list of hosts and CIDR blocks.
    Hosts,
    /// `port` or `first-last`, with an address and a colon before it where wanted; port 0 picks a free one.
    UdpPorts,
    /// IP addresses with commas between them.
    Ips,
    /// URLs of STUN and TURN servers with commas between them.
    IceServers,
}

/// Whether this version acts on a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// It does.
    Yes,
    /// It is accepted and changes nothing, because of this.
    NoEffect(&'static str),
}

impl Key {
    /// Whether it is a switch.
    pub fn is_boolean(&self) -> bool {
        self.kind == Kind::Bool
    }

    /// Whether its value must not be shown.
    pub fn is_secret(&self) -> bool {
        self.name.ends_with("_token") || self.name.ends_with("_secret")
    }

    /// The key of this name or alias.
    pub fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name || key.aliases.contains(&name))
    }

    /// The key whose name is the most like this one, for "did you mean".
    pub fn nearest(name: &str) -> Option<&'static str> {
        let names = KEYS
            .iter()
            .flat_map(|key| std::iter::once(&key.name).chain(key.aliases));
        let (distance, nearest) = names.map(|known| (distance(name, known), *known)).min()?;
        (distance <= name.len().max(nearest.len()) / 3).then_some(nearest)
    }
}

/// Levenshtein distance, in bytes.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, from) in left.bytes().enumerate() {
        let mut diagonal = index;
        let mut before = index + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(right.bytes()) {
            let replaced = diagonal + usize::from(from != to);
            diagonal = *cell;
            *cell = replaced.min(before + 1).min(diagonal + 1);
            before = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

const fn key(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Key {
    Key {
        name,
        aliases: &[],
        kind,
        default,
        help,
        served: Served::Yes,
    }
}

impl Key {
    const fn alias(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn served(mut self, served: Served) -> Self {
        self.served = served;
        self
    }
}

const fn integer(min: i64, max: i64) -> Kind {
    Kind::Integer { min, max }
}

/// Every setting, in the order of the documentation.
pub const KEYS: &[Key] = &[
    key(
        "record_streams",
        Kind::Bool,
        "true",
        "Record streams where the publisher does not say",
    ),
    key(
        "record_rtmp_streams",
        Kind::Bool,
        "true",
        "Record what is published or pulled over RTMP",
    )
    .alias(&["record_flash_published_streams"]),
    key(
        "record_rtsp_streams",
        Kind::Bool,
        "true",
        "Record what is pulled over RTSP",
    ),
    key(
        "record_webrtc_streams",
        Kind::Bool,
        "true",
        "Record what is published over WebRTC",
    ),
    key(
        "record_pushed_streams",
        Kind::Bool,
        "true",
        "Record what the host pushes",
    )
    .alias(&["record_mixer_streams"]),
    key(
        "record_formats",
        Kind::Formats,
        "h264-mp4,vp8-webm",
        "Container of each video codec: h264 and h265 in mp4, ts or webm; vp8, vp9 and av1 in webm or mp4",
    ),
    key(
        "stream_record_policy_template",
        Kind::Template,
        "stream-{mediaSessionId}-{login}",
        "Template of file names",
    ),
    key(
        "encode_record_name",
        Kind::Choice(&["none", "hex", "base64"]),
        "none",
        "How the expanded name is written",
    ),
    key(
        "exclude_record_name_characters",
        Kind::Text,
        ":",
        "Characters removed from file names",
    ),
    key(
        "record_rotation",
        Kind::Rotation,
        "disabled",
        "When a part is full: disabled, 10s, 5m, 1h, 10M, 1G",
    ),
    key(
        "record_rotation_index_enabled",
        Kind::Bool,
        "true",
        "Part numbers in file names",
    ),
    key(
        "record_audio_buffer_max_size",
        integer(1, 10_000),
        "100",
        "Audio packets held to line sound up with picture",
    ),
    key("record_dir", Kind::Path, "records", "Folder of finished files"),
    key(
        "record_tmp_dir",
        Kind::Path,
        "",
        "Folder where files grow; may be another file system (default: record_dir)",
    ),
    key(
        "record_fragments_dir",
        Kind::Path,
        "",
        "Folder of clips (default: record_dir)",
    )
    .alias(&["mp4_cutter_dir"]),
    key(
        "on_record_hook_script",
        Kind::Path,
        "",
        "Program run for each finished file, with its stream name and path",
    ),
    key(
        "on_record_hook_timeout",
        integer(1, 86_400),
        "60",
        "Seconds before a hook is killed",
    ),
    key(
        "on_record_hook_max_running",
        integer(1, 256),
        "4",
        "Hooks that run at once",
    ),
    key(
        "record_audio_codec_sample_rate",
        integer(8_000, 96_000),
        "44100",
        "Sample rate of transcoded audio, Hz",
    ),
    key(
        "record_audio_codec_channels",
        integer(1, 2),
        "2",
        "Channels of transcoded audio",
    ),
    key(
        "record_fdk_aac_bitrate_mode",
        integer(0, 5),
        "5",
        "AAC bit rate: 0 constant, 1 to 5 variable",
    ),
    key(
        "mp4_audio_codec",
        Kind::Choice(&["aac", "copy"]),
        "aac",
        "Audio in MP4 that is not AAC",
    ),
    key(
        "webm_audio_codec",
        Kind::Choice(&["opus", "vorbis"]),
        "opus",
        "Audio in WebM",
    ),
    key(
        "mp4_container_moov_first",
        Kind::Bool,
        "true",
        "MP4: the index before the media",
    ),
    key(
        "mp4_container_moov_first_reserve_space",
        Kind::Bool,
        "false",
        "MP4: reserve the index's room at the start",
    ),
    key(
        "mp4_container_moov_reserved_space_size",
        integer(1, 1_048_576),
        "2048",
        "MP4: KiB reserved for the index",
    ),
    key("record_threads", integer(1, 256), "4", "Writer threads").alias(&["file_recorder_thread_pool_max_size"]),
    key(
        "webm_cluster_max_duration",
        integer(100, 60_000),
        "5000",
        "WebM: longest cluster, ms",
    ),
    key(
        "webm_cluster_max_size",
        integer(65_536, 268_435_456),
        "5242880",
        "WebM: largest cluster, bytes",
    ),
    key(
        "webm_java_writer_enable",
        Kind::Bool,
        "",
        "Accepted for Web Call Server's files",
    )
    .served(Served::NoEffect("there is one WebM writer")),
    key(
        "record_stop_timeout",
        integer(0, 3_600),
        "15",
        "Seconds that a stop waits for files to be finished",
    ),
    key(
        "record_response_content_disposition_header_value",
        Kind::Choice(&["inline", "attachment"]),
        "inline",
        "How downloads are offered",
    ),
    key(
        "record_sync_interval",
        integer(0, 60_000),
        "1000",
        "ms between syncs of a growing file; 0 for none",
    ),
    key(
        "record_min_free_space",
        Kind::Bytes,
        "0",
        "Recordings end, or do not start, with less free than this, bytes",
    ),
    key(
        "record_retention_max_age",
        integer(0, 315_360_000),
        "0",
        "Seconds after which finished files are removed; 0 never",
    ),
    key(
        "record_retention_max_size",
        Kind::Bytes,
        "0",
        "Bytes of finished files above which the oldest are removed; 0 any",
    ),
    key(
        "record_retention_min_free_space",
        Kind::Bytes,
        "0",
        "Free bytes below which the oldest finished files are removed; 0 any",
    ),
    key(
        "record_preroll",
        integer(0, 600),
        "0",
        "Seconds before its start that a recording begins with",
    ),
    key(
        "record_on_format_change",
        Kind::Choice(&["same-file", "new-part"]),
        "same-file",
        "Where pictures of another size or codec go",
    ),
    key(
        "record_reconnect_window",
        integer(0, 86_400),
        "0",
        "Seconds in which a publisher that comes back continues its recording; 0 for none",
    ),
    key(
        "publish_duplicate_name",
        Kind::Choice(&["refuse", "take-over"]),
        "refuse",
        "What happens to a second publisher under one name",
    ),
    key(
        "record_file_sha256",
        Kind::Bool,
        "false",
        "Tell the SHA-256 of each finished file",
    ),
    key(
        "rtmp_listen",
        Kind::Address,
        "",
        "host:port of the RTMP listener; port 0 for a free one",
    ),
    key("http_listen", Kind::Address, "", "host:port of the HTTP listener"),
    key("https_listen", Kind::Address, "", "host:port of the HTTPS listener"),
    key(
        "tls_cert",
        Kind::Path,
        "",
        "Certificate chain of the HTTPS listener, PEM",
    ),
    key("tls_key", Kind::Path, "", "Private key of the HTTPS listener, PEM"),
    key(
        "webrtc_udp_ports",
        Kind::UdpPorts,
        "",
        "UDP port or ports of WebRTC, and of ICE over TCP",
    ),
    key(
        "webrtc_public_ips",
        Kind::Ips,
        "",
        "Addresses told to WebRTC publishers instead of this machine's own",
    ),
    key(
        "webrtc_ice_servers",
        Kind::IceServers,
        "",
        "STUN and TURN servers that WebRTC publishers are told of",
    ),
    key(
        "webrtc_jitter_max_delay",
        integer(0, 10_000),
        "500",
        "ms that a missing WebRTC packet is waited for",
    ),
    key(
        "webrtc_broken_frames",
        Kind::Choice(&["drop", "keep"]),
        "drop",
        "Pictures that miss packets or refer to lost ones: dropped until a key frame, or kept",
    ),
    key(
        "allow_unauthenticated",
        Kind::Bool,
        "false",
        "Let listeners beyond loopback run without a token",
    ),
    key(
        "publish_token",
        Kind::Text,
        "",
        "Token that publishers show: name?token=...",
    ),
    key("rest_token", Kind::Text, "", "Bearer token of REST"),
    key("download_token", Kind::Text, "", "Bearer token of downloads"),
    key(
        "cors_allowed_origins",
        Kind::Text,
        "",
        "Origins that browsers may call from",
    ),
    key(
        "pull_allowed_hosts",
        Kind::Hosts,
        "",
        "Hosts or CIDR blocks that REST may pull from, * for any",
    ),
    key(
        "rtsp_transport",
        Kind::Choice(&["tcp", "udp"]),
        "tcp",
        "How the media of an RTSP pull travels",
    ),
    key(
        "pull_idle_timeout",
        integer(1000, 600_000),
        "10000",
        "Milliseconds of silence after which a pull connects anew",
    ),
    key(
        "pull_retry_max_delay",
        integer(500, 600_000),
        "30000",
        "Longest wait in milliseconds before a pull connects again; waits begin at 500 and double",
    ),
    key(
        "http_max_connections",
        integer(1, 65_536),
        "512",
        "Connections served at once over one HTTP listener",
    ),
    key(
        "event_webhook_url",
        Kind::Text,
        "",
        "http:// or https:// address that every event is posted to",
    ),
    key(
        "event_webhook_secret",
        Kind::Text,
        "",
        "Key that posts to the webhook are signed with",
    ),
    key(
        "event_webhook_ca",
        Kind::Path,
        "",
        "Certificates that the webhook's is checked by, PEM (default: the public ones)",
    ),
    key(
        "event_webhook_timeout",
        integer(1, 300),
        "10",
        "Seconds that one post to the webhook may take",
    ),
    key(
        "clip_whole_file",
        Kind::Bool,
        "false",
        "Send a WebM or TS file whole where a clip of it is asked for",
    ),
    key("record_fragments_max_size", Kind::Bytes, "1G", "Bytes of clips kept"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_aliases_are_spelled_once() {
        let mut seen = std::collections::HashSet::new();
        for key in KEYS {
            for name in std::iter::once(&key.name).chain(key.aliases) {
                assert!(seen.insert(*name), "{name}");
                assert!(
                    name.bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
                );
            }
        }
    }

    #[test]
    fn a_misspelled_key_finds_the_one_that_was_meant() {
        assert_eq!(Key::nearest("record_rotatoin"), Some("record_rotation"));
        assert_eq!(Key::nearest("rtmp-listen"), Some("rtmp_listen"));
        assert_eq!(Key::nearest("something_else_altogether"), None);
    }
}
