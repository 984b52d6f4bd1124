//! Gets what was given for each key.
//! Gives the settings in force, or every problem at once.

use std::net::{IpAddr, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Config, Effective, Given, KEYS, Key, Kind, Origin, Remark, Resolved, Secret, Served, Settings, Switch};
use crate::engine::access::PullHosts;
use crate::engine::webhook::WebhookOptions;
use crate::ingest::pull::RtspTransport;
use crate::ingest::webrtc::UdpPorts;
use crate::media::{Container, Error, ErrorKind, Result};
use crate::recording::naming::{Element, NameEncoding, Template};
use crate::recording::plan::{Containers, Sound};
use crate::recording::rotation::RotationLimit;

/// The values in force, and what is wrong with them.
struct Checked {
    effective: Vec<Effective>,
    problems: Vec<Remark>,
}

pub(super) fn resolve(config: &Config) -> Result<Resolved> {
    let mut warnings = config.warnings.clone();
    let mut checked = Checked {
        effective: Vec::new(),
        problems: config.problems.clone(),
    };
    for key in KEYS {
        let given = given(config, key, &mut checked.problems);
        warnings.extend(given.windows(2).filter_map(repeated));
        let (spelled, value, origin) = match given.last() {
            Some((given, value)) => (given.spelled.as_str(), value.clone(), given.origin.clone()),
            None => (key.name, key.default.to_owned(), Origin::Default),
        };
        let remark = |message: String| Remark::new(spelled, &value, message, origin.clone());
        if let Served::NoEffect(why) = key.served
            && origin != Origin::Default
            && value != key.default
        {
            warnings.push(remark(format!("has no effect: {why}")));
        }
        if let Err(message) = check(key, &value) {
            checked.problems.push(remark(message));
        }
        checked.effective.push(Effective { key, value, origin });
    }
    checked.check_together(&mut warnings);
    let settings = checked.settings();
    if checked.problems.is_empty() {
        return Ok(Resolved {
            settings,
            effective: checked.effective,
            warnings,
        });
    }
    let lines: Vec<_> = checked.problems.iter().map(ToString::to_string).collect();
    Err(Error::new(ErrorKind::InvalidConfig, "use the settings", lines.join("\n")).with("problems", lines.len()))
}

/// What was given for a key, in the order of precedence, with what it says in the key's own words.
fn given<'a>(config: &'a Config, key: &Key, problems: &mut Vec<Remark>) -> Vec<(&'a Given, String)> {
    let mut sorted: Vec<_> = config.given.iter().filter(|given| given.key.name == key.name).collect();
    sorted.sort_by_key(|given| given.origin.rank());
    let mut said: Vec<(&Given, String)> = Vec::new();
    for given in sorted {
        let trimmed = match key.kind {
            Kind::Text => given.value.as_str(),
            _ => given.value.trim(),
        };
        let Some(switch) = Switch::find(&given.spelled) else {
            said.push((given, trimmed.to_owned()));
            continue;
        };
        match boolean(trimmed) {
            Some(true) => said.push((given, switch.on.to_owned())),
            Some(false) => said.retain(|(before, _)| before.spelled != given.spelled),
            None => problems.push(Remark::new(
                &given.spelled,
                trimmed,
                "true or false is allowed".to_owned(),
                given.origin.clone(),
            )),
        }
    }
    said
}

/// A warning where one file says two things about one key.
fn repeated(pair: &[(&Given, String)]) -> Option<Remark> {
    let [(before, _), (last, _)] = pair else { return None };
    let (Origin::File { name, line }, Origin::File { name: same, .. }) = (&before.origin, &last.origin) else {
        return None;
    };
    (name == same).then(|| {
        let message = format!("line {line} says it too, as {}; this one is taken", before.spelled);
        Remark::new(&last.spelled, &last.value, message, last.origin.clone())
    })
}

/// Sample rates in Hz that AAC encoders take (ISO/IEC 14496-3 table 1.18).
const AAC_RATES: [u32; 12] = [
    8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000,
];

/// What is wrong with one value, and what is allowed.
fn check(key: &Key, value: &str) -> Result<(), String> {
    if value.is_empty() && key.default.is_empty() {
        return Ok(());
    }
    let in_words = |error: Error| error.message().to_owned();
    match key.kind {
        Kind::Bool if boolean(value).is_some() => Ok(()),
        Kind::Bool => Err("true or false is allowed".to_owned()),
        Kind::Integer { min, max } => match value.parse::<i64>() {
            Ok(number) if (min..=max).contains(&number) => Ok(()),
            _ => Err(format!("a whole number from {min} to {max} is allowed")),
        },
        Kind::Choice(words) if words.contains(&value) => Ok(()),
        Kind::Choice(words) => Err(format!("{} is allowed", words.join(" or "))),
        Kind::Text => Ok(()),
        Kind::Path if value.contains('\0') || value.is_empty() => Err("a path is allowed".to_owned()),
        Kind::Path => Ok(()),
        Kind::Template => Template::parse(value).map(|_| ()).map_err(|error| {
            let elements: Vec<_> = Element::ALL.iter().map(|(_, name, _)| format!("{{{name}}}")).collect();
            format!("{}; text and {} are allowed", error.message(), elements.join(" "))
        }),
        Kind::Rotation => RotationLimit::parse(value).map(|_| ()).map_err(in_words),
        Kind::Formats => formats(value).map(|_| ()),
        Kind::Bytes if bytes(value).is_some() => Ok(()),
        Kind::Bytes => Err("bytes are allowed, with K, M or G (1024 each) behind the number".to_owned()),
        Kind::Hosts => PullHosts::parse(value).map(|_| ()).map_err(in_words),
        Kind::Address if address(value) => Ok(()),
        Kind::Address => Err("host:port is allowed, such as 127.0.0.1:1935, port 0 for a free one".to_owned()),
        Kind::UdpPorts if UdpPorts::parse(value).is_some() => Ok(()),
        Kind::UdpPorts => Err("a port or first-last is allowed, such as 8189 or 127.0.0.1:50000-50100".to_owned()),
        Kind::Ips if ips(value).is_some() => Ok(()),
        Kind::Ips => Err("IP addresses are allowed, with commas between them".to_owned()),
        Kind::IceServers if ice_servers(value).is_some() => Ok(()),
        Kind::IceServers => {
            Err("stun:, stuns:, turn: and turns: URLs are allowed, with commas between them".to_owned())
        }
    }
}

fn boolean(value: &str) -> Option<bool> {
    match value {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Bytes with an optional unit.
fn bytes(value: &str) -> Option<u64> {
    let digits = value
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let shift = match unit {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Addresses with commas between them.
fn ips(value: &str) -> Option<Vec<IpAddr>> {
    value
        .split(',')
        .map(str::trim)
        .filter(|address| !address.is_empty())
        .map(|address| address.parse().ok())
        .collect()
}

/// URLs of STUN and TURN servers (RFC 7064, RFC 7065) with commas between them.
fn ice_servers(value: &str) -> Option<Vec<String>> {
    let usable = |url: &str| {
        let rest = url
            .split_once(':')
            .filter(|(scheme, _)| matches!(*scheme, "stun" | "stuns" | "turn" | "turns"));
        rest.is_some_and(|(_, host)| !host.is_empty())
            && url
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte))
    };
    value
        .split(',')
        .map(str::trim)
        .filter(|url| !url.is_empty())
        .map(|url| usable(url).then(|| url.to_owned()))
        .collect()
}

fn address(value: &str) -> bool {
    value
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// The container of each codec in a list such as `h264-mp4,vp8-webm`. H.265 goes where H.264 does
/// unless the list says otherwise.
fn formats(value: &str) -> Result<Containers, String> {
    const ALLOWED: &str = "a list of h264-mp4, h264-ts, h264-webm, the same of h265, vp8-webm, vp8-mp4, and the \
                           same of vp9 and av1 is allowed";
    let mut containers = Containers::default();
    let mut named: Vec<(&str, Container)> = Vec::new();
    for pair in value.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (codec, container) = match pair.split_once('-') {
            Some((codec, "mp4")) => (codec, Container::Mp4),
            Some((codec, "webm")) => (codec, Container::Webm),
            Some((codec @ ("h264" | "h265"), "ts")) => (codec, Container::Ts),
            _ => return Err(format!("{pair:?} is no codec and container; {ALLOWED}")),
        };
        let place = match codec {
            "h264" => &mut containers.h264,
            "h265" => &mut containers.h265,
            "vp8" => &mut containers.vp8,
            "vp9" => &mut containers.vp9,
            "av1" => &mut containers.av1,
            _ => return Err(format!("{pair:?} is no codec and container; {ALLOWED}")),
        };
        *place = container;
        if named
            .iter()
            .any(|(other, before)| *other == codec && *before != container)
        {
            return Err(format!("{codec} is named twice; {ALLOWED}"));
        }
        named.push((codec, container));
    }
    if !named.iter().any(|(codec, _)| *codec == "h265") {
        containers.h265 = containers.h264;
    }
    Ok(containers)
}

impl Checked {
    fn value(&self, name: &str) -> &str {
        self.effective
            .iter()
            .find(|effective| effective.key.name == name)
            .map_or("", |found| found.value.as_str())
    }

    fn on(&self, name: &str) -> bool {
        boolean(self.value(name)).unwrap_or_default()
    }

    fn number(&self, name: &str) -> u64 {
        self.value(name).parse().unwrap_or_default()
    }

    fn some(&self, name: &str) -> Option<String> {
        Some(self.value(name))
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
    }

    /// The rate that AAC has next to the one asked for.
    fn aac_rate(&self) -> u32 {
        let asked = self.number("record_audio_codec_sample_rate");
        let nearest = AAC_RATES.iter().min_by_key(|rate| asked.abs_diff(u64::from(**rate)));
        nearest.copied().unwrap_or(44_100)
    }

    /// Checks that need more than one key, or this machine.
    fn check_together(&mut self, warnings: &mut Vec<Remark>) {
        let remark = |name: &str, message: String, checked: &Self| {
            let found = checked.effective.iter().find(|effective| effective.key.name == name);
            found.map(|effective| Remark::new(name, &effective.value, message, effective.origin.clone()))
        };
        let processors = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let set = self
            .effective
            .iter()
            .any(|it| it.key.name == "record_threads" && it.origin != Origin::Default);
        if set && self.number("record_threads") > processors {
            let message = format!("more than the {processors} processors of this machine");
            warnings.extend(remark("record_threads", message, self));
        }
        let rate = self.aac_rate();
        if self.number("record_audio_codec_sample_rate") != u64::from(rate) {
            let message = format!("AAC has no such rate: {rate} is taken");
            warnings.extend(remark("record_audio_codec_sample_rate", message, self));
        }
        let open = self.some("publish_token").is_some() || self.on("allow_unauthenticated");
        // WebRTC is published over HTTP.
        let by_http: &[&str] = match self.some("webrtc_udp_ports") {
            Some(_) => &["http_listen", "https_listen"],
            None => &[],
        };
        for name in std::iter::once(&"rtmp_listen").chain(by_http) {
            let listen = self.value(name);
            if !listen.is_empty() && !open && address(listen) && !is_loopback(listen) {
                let message =
                    "beyond loopback everybody could publish: set publish_token, or allow_unauthenticated=true";
                let problem = remark(name, message.to_owned(), self);
                self.problems.extend(problem);
            }
        }
        // A warning only: settings are checked on other machines too, and files are recorded without it.
        let hook = self.some("on_record_hook_script");
        if let Some(why) = hook.and_then(|script| cannot_run(Path::new(&script))) {
            warnings.extend(remark("on_record_hook_script", why, self));
        }
        warnings.extend(self.rotation_remarks(remark));
    }

    /// What rotates in a way that is hardly meant.
    fn rotation_remarks(&self, remark: impl Fn(&str, String, &Self) -> Option<Remark>) -> Vec<Remark> {
        let settings = self.settings();
        let mut remarks = Vec::new();
        if let RotationLimit::Size { bytes } = settings.rotation
            && bytes <= settings.index_reserve_bytes
        {
            let reserve = settings.index_reserve_bytes;
            let message = format!(
                "every part is full at its first chance: {reserve} bytes are reserved for its index, see \
                 mp4_container_moov_reserved_space_size"
            );
            remarks.extend(remark("record_rotation", message, self));
        }
        if settings.rotation.is_enabled() && !settings.rotation_index_enabled && !settings.template.tells_parts_apart()
        {
            let message = "each part of a recording replaces the one before: the template has no time in it";
            remarks.extend(remark("record_rotation_index_enabled", message.to_owned(), self));
        }
        remarks
    }

    fn settings(&self) -> Settings {
        let seconds = |name| Duration::from_secs(self.number(name));
        let size = |name| bytes(self.value(name)).unwrap_or_default();
        let count = |name| usize::try_from(self.number(name)).unwrap_or(usize::MAX);
        let reserve = self.on("mp4_container_moov_first_reserve_space") && self.on("mp4_container_moov_first");
        Settings {
            record_streams: self.on("record_streams"),
            record_rtmp_streams: self.on("record_rtmp_streams"),
            record_rtsp_streams: self.on("record_rtsp_streams"),
            record_webrtc_streams: self.on("record_webrtc_streams"),
            record_pushed_streams: self.on("record_pushed_streams"),
            containers: formats(self.value("record_formats")).unwrap_or_default(),
            sound: Sound {
                sample_rate: self.aac_rate(),
                channels: self.number("record_audio_codec_channels").try_into().unwrap_or(2),
                aac_mode: self.number("record_fdk_aac_bitrate_mode").try_into().unwrap_or(5),
                webm_vorbis: self.value("webm_audio_codec") == "vorbis",
                mp4_copy: self.value("mp4_audio_codec") == "copy",
            },
            template: Template::parse(self.value("stream_record_policy_template")).unwrap_or_default(),
            name_encoding: match self.value("encode_record_name") {
                "hex" => NameEncoding::Hex,
                "base64" => NameEncoding::Base64,
                _ => NameEncoding::None,
            },
            name_exclude: self.value("exclude_record_name_characters").to_owned(),
            rotation: RotationLimit::parse(self.value("record_rotation")).unwrap_or_default(),
            rotation_index_enabled: self.on("record_rotation_index_enabled"),
            audio_buffer_max_size: count("record_audio_buffer_max_size"),
            record_dir: PathBuf::from(self.value("record_dir")),
            tmp_dir: self.some("record_tmp_dir").map(PathBuf::from),
            hook_script: self.some("on_record_hook_script").map(PathBuf::from),
            hook_timeout: seconds("on_record_hook_timeout"),
            hook_max_running: count("on_record_hook_max_running"),
            index_first: self.on("mp4_container_moov_first"),
            index_reserve_bytes: if reserve {
                self.number("mp4_container_moov_reserved_space_size") * 1024
            } else {
                0
            },
            cluster_max_ms: self.number("webm_cluster_max_duration").try_into().unwrap_or(u32::MAX),
            cluster_max_bytes: self.number("webm_cluster_max_size").try_into().unwrap_or(u32::MAX),
            new_part_on_change: self.value("record_on_format_change") == "new-part",
            reconnect_window: seconds("record_reconnect_window"),
            pull_allowed_hosts: PullHosts::parse(self.value("pull_allowed_hosts")).unwrap_or_default(),
            rtsp_transport: RtspTransport::parse(self.value("rtsp_transport")).unwrap_or_default(),
            pull_idle_timeout: Duration::from_millis(self.number("pull_idle_timeout")),
            pull_retry_max_delay: Duration::from_millis(self.number("pull_retry_max_delay")),
            take_over: self.value("publish_duplicate_name") == "take-over",
            threads: count("record_threads"),
            stop_timeout: seconds("record_stop_timeout"),
            sync_interval: Duration::from_millis(self.number("record_sync_interval")),
            min_free_space: size("record_min_free_space"),
            retention_max_age: Some(seconds("record_retention_max_age")).filter(|age| !age.is_zero()),
            retention_max_size: Some(size("record_retention_max_size")).filter(|size| *size > 0),
            retention_min_free_space: Some(size("record_retention_min_free_space")).filter(|size| *size > 0),
            preroll: seconds("record_preroll"),
            file_sha256: self.on("record_file_sha256"),
            rtmp_listen: self.some("rtmp_listen"),
            http_listen: self.some("http_listen"),
            https_listen: self.some("https_listen"),
            tls_cert: self.some("tls_cert").map(PathBuf::from),
            tls_key: self.some("tls_key").map(PathBuf::from),
            webrtc_udp_ports: UdpPorts::parse(self.value("webrtc_udp_ports")),
            webrtc_public_ips: ips(self.value("webrtc_public_ips")).unwrap_or_default(),
            webrtc_ice_servers: ice_servers(self.value("webrtc_ice_servers")).unwrap_or_default(),
            webrtc_jitter_max_delay: Duration::from_millis(self.number("webrtc_jitter_max_delay")),
            webrtc_keep_broken_frames: self.value("webrtc_broken_frames") == "keep",
            allow_unauthenticated: self.on("allow_unauthenticated"),
            rest_token: self.some("rest_token").map(Secret),
            download_token: self.some("download_token").map(Secret),
            cors_allowed_origins: self
                .value("cors_allowed_origins")
                .split(',')
                .map(str::trim)
                .filter(|origin| !origin.is_empty())
                .map(str::to_owned)
                .collect(),
            attachment: self.value("record_response_content_disposition_header_value") == "attachment",
            fragments_dir: self.some("record_fragments_dir").map(PathBuf::from),
            fragments_max_size: size("record_fragments_max_size"),
            clip_whole_file: self.on("clip_whole_file"),
            http_max_connections: count("http_max_connections"),
            webhook: self.some("event_webhook_url").map(|url| WebhookOptions {
                secret: self.some("event_webhook_secret").map(Secret),
                ca: self.some("event_webhook_ca").map(PathBuf::from),
                timeout: seconds("event_webhook_timeout"),
                ..WebhookOptions::new(url)
            }),
            publish_token: self.some("publish_token").map(Secret),
        }
    }
}

/// Why a script cannot be run here, if so.
fn cannot_run(script: &Path) -> Option<String> {
    if script.as_os_str().as_bytes().contains(&0) {
        return None;
    }
    match std::fs::metadata(script) {
        Err(error) => Some(format!("no file can be handed to it: {error}")),
        Ok(found) if !found.is_file() => Some("no file can be handed to it: it is no regular file".to_owned()),
        Ok(_) => rustix::fs::access(script, rustix::fs::Access::EXEC_OK)
            .err()
            .map(|error| format!("no file can be handed to it: it is not executable ({error})")),
    }
}

/// Whether every address that a name stands for is this machine's own. An unresolvable one is not.
fn is_loopback(listen: &str) -> bool {
    listen
        .to_socket_addrs()
        .is_ok_and(|mut addresses| addresses.all(|address| address.ip().is_loopback()))
}
