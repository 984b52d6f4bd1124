//! Gets settings from every source.
//! Gives what is in force, or every problem at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::media::Container;
use crate::recording::naming::{NameEncoding, Template};
use crate::recording::rotation::RotationLimit;

/// A key, values other than the default that it takes, and values that it refuses.
type Case = (&'static str, &'static [&'static str], &'static [&'static str]);

const SWITCH: &[&str] = &["", "yes", "1", "True", "on"];

/// In the order of the table; a key of it that is missing here fails the test.
const CASES: &[Case] = &[
    ("record_streams", &["false"], SWITCH),
    ("record_rtmp_streams", &["false"], SWITCH),
    ("record_rtsp_streams", &["false"], SWITCH),
    ("record_webrtc_streams", &["false"], SWITCH),
    ("record_pushed_streams", &["false"], SWITCH),
    (
        "record_formats",
        &[
            "h264-ts",
            "h264-ts,vp8-webm",
            "vp8-webm, h264-ts",
            "h264-webm",
            "h265-ts,vp9-mp4,av1-mp4",
        ],
        &["mp4", "h264-mp4,h264-ts", "h264_ts", "vp9-ts"],
    ),
    (
        "stream_record_policy_template",
        &["{streamName}-{startTimeMillis}", "fixed", "{login}{duration}"],
        &["", "{stream}", "{streamName", "}"],
    ),
    ("encode_record_name", &["hex", "base64"], &["", "HEX", "url"]),
    ("exclude_record_name_characters", &["", " :", "äß"], &[]),
    (
        "record_rotation",
        &["10", "10s", "5m", "1h", "10M", "1G"],
        &["", "0", "10k", "-1", "1.5h", "never"],
    ),
    ("record_rotation_index_enabled", &["false"], SWITCH),
    (
        "record_audio_buffer_max_size",
        &["1", "10000"],
        &["", "0", "10001", "1e2", "many"],
    ),
    ("record_dir", &["/var/records", "a b", "ü"], &["", "nul\0"]),
    ("record_tmp_dir", &["/mnt/ram"], &["nul\0"]),
    ("record_fragments_dir", &["/var/clips"], &["nul\0"]),
    ("on_record_hook_script", &["/opt/hook.sh", "hook.sh"], &["nul\0"]),
    ("on_record_hook_timeout", &["1", "86400"], &["", "0", "86401", "5s"]),
    ("on_record_hook_max_running", &["1", "256"], &["0", "257"]),
    (
        "record_audio_codec_sample_rate",
        &["8000", "96000"],
        &["7999", "96001", "44.1k"],
    ),
    ("record_audio_codec_channels", &["1"], &["0", "3"]),
    ("record_fdk_aac_bitrate_mode", &["0", "1"], &["-1", "6"]),
    ("mp4_audio_codec", &["copy"], &["opus", ""]),
    ("webm_audio_codec", &["vorbis"], &["aac"]),
    ("mp4_container_moov_first", &["false"], SWITCH),
    ("mp4_container_moov_first_reserve_space", &["true"], SWITCH),
    (
        "mp4_container_moov_reserved_space_size",
        &["1", "1048576"],
        &["0", "1048577", "2M"],
    ),
    ("record_threads", &["1", "256"], &["0", "257"]),
    ("webm_cluster_max_duration", &["100", "60000"], &["99", "60001"]),
    ("webm_cluster_max_size", &["65536", "268435456"], &["65535", "1M"]),
    ("webm_java_writer_enable", &["true", "false"], &["yes"]),
    ("record_stop_timeout", &["0", "3600"], &["-1", "3601"]),
    (
        "record_response_content_disposition_header_value",
        &["attachment"],
        &["download"],
    ),
    ("record_sync_interval", &["0", "60000"], &["-1", "60001", "1s"]),
    (
        "record_min_free_space",
        &["1", "512K", "1M", "2G"],
        &["", "-1", "1k", "1T", "99999999999G"],
    ),
    ("record_retention_max_age", &["1", "315360000"], &["-1", "7d"]),
    ("record_retention_max_size", &["1G"], &["1GB"]),
    ("record_retention_min_free_space", &["100M"], &["10%"]),
    ("record_preroll", &["1", "600"], &["-1", "601"]),
    ("record_on_format_change", &["new-part"], &["", "same_file"]),
    ("record_reconnect_window", &["1", "86400"], &["-1", "86401", "10s"]),
    ("publish_duplicate_name", &["take-over"], &["", "allow"]),
    ("record_file_sha256", &["true"], SWITCH),
    (
        "rtmp_listen",
        &["127.0.0.1:1935", "[::1]:0", "localhost:0"],
        &[
            "1935",
            ":1935",
            "127.0.0.1",
            "127.0.0.1:65536",
            "0.0.0.0:1935",
            "[::]:0",
        ],
    ),
    ("http_listen", &["127.0.0.1:8081", "[::1]:0"], &["8081", ":8081"]),
    ("https_listen", &["127.0.0.1:8444"], &["8444", "127.0.0.1:65536"]),
    ("tls_cert", &["cert.pem"], &["nul\0"]),
    ("tls_key", &["key.pem"], &["nul\0"]),
    (
        "webrtc_udp_ports",
        &["8189", "8000-8100", "127.0.0.1:0", "[::1]:8189"],
        &["udp", "70000", "9-7", "host:1"],
    ),
    (
        "webrtc_public_ips",
        &["192.0.2.1", "192.0.2.1, 2001:db8::1"],
        &["example.com", "192.0.2"],
    ),
    (
        "webrtc_ice_servers",
        &[
            "stun:stun.example.com",
            "stun:a.example:3478, turn:b.example?transport=udp",
        ],
        &["http://a.example", "stun:", "stun:a>b"],
    ),
    ("webrtc_jitter_max_delay", &["0", "10000"], &["", "10001", "1s"]),
    ("webrtc_broken_frames", &["keep"], &["", "freeze"]),
    ("allow_unauthenticated", &["true"], SWITCH),
    ("publish_token", &["s3cr3t", " kept as it is "], &[]),
    ("rest_token", &["s3cr3t"], &[]),
    ("download_token", &["s3cr3t"], &[]),
    (
        "cors_allowed_origins",
        &["*", "https://a.example, https://b.example"],
        &[],
    ),
    (
        "pull_allowed_hosts",
        &["*", "cam.example, 10.0.0.0/8"],
        &["10.0.0.0/99"],
    ),
    ("rtsp_transport", &["udp"], &["", "quic"]),
    ("pull_idle_timeout", &["1000", "600000"], &["999", "600001"]),
    ("pull_retry_max_delay", &["500", "600000"], &["499", "600001"]),
    ("http_max_connections", &["1", "65536"], &["0", "65537"]),
    ("event_webhook_url", &["http://127.0.0.1:9/events"], &[]),
    ("event_webhook_secret", &["s3cr3t"], &[]),
    ("event_webhook_ca", &["ca.pem"], &["nul\0"]),
    ("event_webhook_timeout", &["1", "300"], &["0", "301"]),
    ("clip_whole_file", &["true"], SWITCH),
    ("record_fragments_max_size", &["2G"], &["x"]),
];

fn set(pairs: &[(&str, &str)]) -> Config {
    let mut config = Config::new();
    for (key, value) in pairs {
        config.set(key, value).unwrap();
    }
    config
}

fn toml_of(key: &str, value: &str) -> String {
    format!("\n{key} = {}\n", toml::Value::String(value.to_owned()))
}

fn properties_of(key: &str, value: &str) -> String {
    // A leading blank belongs to the separator unless it is escaped; `load_properties` trims values.
    format!("# comment\n{key}={}\n", value.replace('\\', "\\\\"))
}

fn in_force(config: &Config, key: &str) -> (String, Origin) {
    let resolved = config.resolve().unwrap();
    let found = resolved
        .effective
        .into_iter()
        .find(|effective| effective.key.name == key);
    found.map(|effective| (effective.value, effective.origin)).unwrap()
}

#[test]
fn every_key_has_its_default_takes_what_is_allowed_and_refuses_the_rest() {
    let names: Vec<_> = CASES.iter().map(|(key, ..)| *key).collect();
    assert_eq!(names, Config::keys());
    let defaults = Config::new().resolve().unwrap();
    assert!(defaults.warnings.is_empty(), "{:?}", defaults.warnings);
    for ((name, valid, wrong), effective) in CASES.iter().zip(&defaults.effective) {
        let key = Key::find(name).unwrap();
        assert_eq!(
            (effective.value.as_str(), &effective.origin),
            (key.default, &Origin::Default)
        );
        assert_eq!(in_force(&set(&[(name, key.default)]), name).0, key.default, "{name}");
        for value in *valid {
            let changed = set(&[(name, value)]).resolve();
            let changed = changed.unwrap_or_else(|error| panic!("{name} = {value:?}: {error}"));
            let told = changed.warnings.iter().any(|warning| warning.key == *name);
            match key.served {
                // Two keys act together with others only; the tests below look at them.
                Served::Yes
                    if !matches!(
                        *name,
                        "mp4_container_moov_reserved_space_size"
                            | "event_webhook_secret"
                            | "event_webhook_ca"
                            | "event_webhook_timeout"
                    ) =>
                {
                    assert_ne!(changed.settings, defaults.settings, "{name} = {value:?} has no effect");
                }
                Served::Yes => {}
                Served::NoEffect(why) => assert!(told && changed.warnings[0].message.contains(why), "{name}"),
            }
            from_each_source(name, value);
        }
        for value in *wrong {
            let error = set(&[(name, value)]).resolve().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            let message = error.message();
            assert!(message.starts_with(&format!("set by the host: {name} = ")), "{message}");
            let shown = if key.is_secret() { "***" } else { value };
            assert!(message.contains(&format!("= {shown:?}: ")), "{message}");
            let told = ["allowed", "is served", "is not served", "beyond loopback"];
            assert!(told.iter().any(|words| message.contains(words)), "{message}");
        }
    }
}

fn from_each_source(name: &str, value: &str) {
    let mut config = Config::new();
    config.load_toml(&toml_of(name, value), "a.toml").unwrap();
    let line = |name: &str| Origin::File {
        name: name.to_owned(),
        line: 2,
    };
    assert_eq!(in_force(&config, name), (value.to_owned(), line("a.toml")));

    let mut config = Config::new();
    config
        .load_properties(properties_of(name, value).as_bytes(), "a.properties")
        .unwrap();
    assert_eq!(in_force(&config, name), (value.trim().to_owned(), line("a.properties")));

    let mut config = Config::new();
    let variable = format!("LIVEREEL_{}", name.to_ascii_uppercase());
    config.load_environment([
        (variable.clone(), value.to_owned()),
        ("PATH".to_owned(), "/bin".to_owned()),
    ]);
    assert_eq!(
        in_force(&config, name),
        (value.to_owned(), Origin::Environment { variable })
    );
}

/// The table of the specification: our keys with the spellings of Web Call Server.
#[test]
fn every_alias_and_switch_of_web_call_server_is_known() {
    for (alias, key) in [
        ("record_flash_published_streams", "record_rtmp_streams"),
        ("record_mixer_streams", "record_pushed_streams"),
        ("mp4_cutter_dir", "record_fragments_dir"),
        ("file_recorder_thread_pool_max_size", "record_threads"),
    ] {
        assert_eq!(Key::find(alias).unwrap().name, key);
    }
    let aliases = KEYS.iter().map(|key| key.aliases.len()).sum::<usize>();
    assert_eq!(aliases, 4, "an alias without a test");
    for (switch, key, on) in [
        ("record_h264_to_ts", "record_formats", "h264-ts,vp8-webm"),
        ("encode_record_name_to_hex", "encode_record_name", "hex"),
        ("encode_record_name_to_base64", "encode_record_name", "base64"),
    ] {
        assert_eq!(in_force(&set(&[(switch, "true")]), key).0, on);
        let default = Key::find(key).unwrap().default;
        assert_eq!(in_force(&set(&[(switch, "false")]), key).0, default);
        let error = set(&[(switch, "perhaps")]).resolve().unwrap_err();
        let expected = format!("set by the host: {switch} = \"perhaps\": true or false is allowed");
        assert_eq!(error.message(), expected);
        // A switch that is off takes back the same switch that was on with less precedence, and
        // nothing else.
        let mut config = set(&[(switch, "false")]);
        config.load_toml(&format!("{switch} = true"), "a.toml").unwrap();
        assert_eq!(in_force(&config, key).0, default);
        config.load_toml(&format!("{key} = \"{on}\""), "b.toml").unwrap();
        assert_eq!(in_force(&config, key).0, on);
    }
}

#[test]
fn the_host_wins_over_the_environment_over_files_and_the_later_over_the_earlier() {
    let key = "record_stop_timeout";
    let mut config = set(&[(key, "1"), (key, "2")]);
    config.load_environment([("LIVEREEL_RECORD_STOP_TIMEOUT".to_owned(), "3".to_owned())]);
    config.load_toml("record_stop_timeout = 4", "a.toml").unwrap();
    config
        .load_properties(b"record_stop_timeout=5", "b.properties")
        .unwrap();
    assert_eq!(in_force(&config, key), ("2".to_owned(), Origin::Host));
    config.given.retain(|given| given.origin != Origin::Host);
    assert_eq!(in_force(&config, key).0, "3");
    config.given.retain(|given| given.origin.rank() == 1);
    assert_eq!(in_force(&config, key).0, "5");
    let resolved = config.resolve().unwrap();
    assert!(resolved.warnings.is_empty(), "a second file overrides the first");
    assert_eq!(resolved.settings.stop_timeout, Duration::from_secs(5));
}

#[test]
fn all_problems_are_reported_at_once_each_with_its_place() {
    let mut config = set(&[("record_threads", "0")]);
    let text = "record_rotatoin = \"5m\"\nrecord_streams = \"maybe\"\n\n[nested]\nkey = 1\n";
    config.load_toml(text, "a.toml").unwrap();
    config
        .load_properties(b"\nrecord_formats=avi\n", "b.properties")
        .unwrap();
    config.load_environment([("LIVEREEL_RECORD_PREROLL".to_owned(), "long".to_owned())]);
    let error = config.resolve().unwrap_err();
    let lines: Vec<_> = error.message().lines().collect();
    assert_eq!(
        lines,
        [
            "a.toml:1: record_rotatoin = \"5m\": there is no such setting; did you mean record_rotation?",
            "a.toml:4: nested = \"a table or date\": settings are flat: a string, number, boolean or array of them is \
             allowed",
            "a.toml:2: record_streams = \"maybe\": true or false is allowed",
            "b.properties:2: record_formats = \"avi\": \"avi\" is no codec and container; a list of h264-mp4, \
             h264-ts, h264-webm, the same of h265, vp8-webm, vp8-mp4, and the same of vp9 and av1 is allowed",
            "set by the host: record_threads = \"0\": a whole number from 1 to 256 is allowed",
            "environment LIVEREEL_RECORD_PREROLL: record_preroll = \"long\": a whole number from 0 to 600 is allowed",
        ]
    );
    assert!(error.to_string().contains("problems: 6"), "{error}");
}

#[test]
fn a_broken_toml_file_names_its_line() {
    for (text, line) in [
        ("a = 1\nrecord_streams = = true", "line: 2"),
        ("record_streams = true\nrecord_streams = true", "line: 2"),
    ] {
        let error = Config::new().load_toml(text, "a.toml").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains(line), "{error}");
    }
}

#[test]
fn toml_takes_numbers_switches_and_lists_as_they_are() {
    let text = "\u{feff}record_rotation = 30\nrecord_min_free_space = 1024\nrecord_file_sha256 = true\n\
                record_formats = [\"h264-ts\", \"vp8-webm\"]\nrtmp_listen = \"[::1]:0\"\n";
    let mut config = Config::new();
    config.load_toml(text, "a.toml").unwrap();
    let settings = config.resolve().unwrap().settings;
    assert_eq!(settings.rotation, RotationLimit::Duration { ms: 30_000 });
    assert_eq!(settings.min_free_space, 1024);
    assert!(settings.file_sha256);
    assert_eq!(settings.containers.h264, Container::Ts);
    assert_eq!(settings.rtmp_listen.as_deref(), Some("[::1]:0"));
}

#[test]
fn a_file_of_web_call_server_loads_and_each_key_has_its_effect() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/wcs.properties");
    let mut config = Config::new();
    config.load_file(&path).unwrap();
    let resolved = config.resolve().unwrap();
    let settings = &resolved.settings;
    assert!(settings.record_streams);
    assert!(!settings.record_rtmp_streams);
    assert_eq!(settings.containers.h264, Container::Ts);
    assert_eq!(
        settings.template,
        Template::parse("{streamName}-{startTime}-{endTime}").unwrap()
    );
    assert_eq!(settings.name_encoding, NameEncoding::Base64);
    assert_eq!(settings.name_exclude, ":*?");
    assert_eq!(settings.rotation, RotationLimit::Size { bytes: 20 << 20 });
    assert!(!settings.rotation_index_enabled);
    assert_eq!(settings.audio_buffer_max_size, 150);
    assert_eq!(settings.record_dir, Path::new("/usr/local/records"));
    assert_eq!(settings.tmp_dir.as_deref(), Some(Path::new("/mnt/ramé")));
    assert_eq!(settings.hook_script.as_deref(), Some(Path::new("on_record_hook.sh")));
    assert!(settings.index_first);
    assert_eq!(settings.index_reserve_bytes, 4096 * 1024);
    assert_eq!(settings.threads, 1);
    assert_eq!(settings.stop_timeout, Duration::from_secs(20));

    // What this version does not act on is said, key by key, and what is not ours by line.
    let told: BTreeMap<_, _> = resolved
        .warnings
        .iter()
        .map(|remark| (remark.key.as_str(), remark))
        .collect();
    let unused = told["webm_java_writer_enable"];
    assert!(unused.message.starts_with("has no effect: "), "{unused:?}");
    assert!(
        told["port_from"]
            .to_string()
            .ends_with(":3: port_from = \"31001\": there is no such setting")
    );
    // record_formats and record_h264_to_ts say two things about one key.
    assert!(told["record_h264_to_ts"].message.contains("line 11 says it too"));
    // It lies beside the server there; here it is not, and that is no reason to refuse the file.
    assert!(
        told["on_record_hook_script"]
            .message
            .contains("no file can be handed to it")
    );
    assert_eq!(told.len(), 5, "{told:#?}");
}

#[test]
fn a_key_that_one_file_has_twice_is_warned_about_and_the_last_is_taken() {
    let mut config = Config::new();
    let text = b"record_rtmp_streams=true\nrecord_dir=x\nrecord_flash_published_streams=false\n";
    config.load_properties(text, "a.properties").unwrap();
    let resolved = config.resolve().unwrap();
    assert!(!resolved.settings.record_rtmp_streams);
    let warnings: Vec<_> = resolved.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "a.properties:3: record_flash_published_streams = \"false\": line 1 says it too, as record_rtmp_streams; \
          this one is taken"
        ]
    );
}

#[test]
fn properties_come_in_utf_8_with_or_without_a_mark_and_in_latin_1() {
    for bytes in [
        "record_dir=/data/é\n".as_bytes(),
        b"\xef\xbb\xbfrecord_dir=/data/\xc3\xa9\r\n",
        b"record_dir=/data/\xe9\n",
        b"record_dir : /data/\\u00e9",
    ] {
        let mut config = Config::new();
        config.load_properties(bytes, "a.properties").unwrap();
        let settings = config.resolve().unwrap().settings;
        assert_eq!(settings.record_dir, Path::new("/data/é"), "{bytes:?}");
    }
}

#[test]
fn an_unknown_key_is_refused_by_the_host_and_warned_about_elsewhere() {
    let mut config = Config::new();
    let error = config.set("rtmp_lisen", "x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("did you mean rtmp_listen?"), "{error}");
    config.load_properties(b"\n\nrecord_dirr=x\n", "a.properties").unwrap();
    config.load_environment([
        ("LIVEREEL_RECORD_DIRS".to_owned(), "x".to_owned()),
        ("LIVEREEL_LOG".to_owned(), "debug".to_owned()),
    ]);
    let warnings = config.resolve().unwrap().warnings;
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    let meant = "there is no such setting; did you mean record_dir?";
    assert_eq!(
        warnings,
        [
            format!("a.properties:3: record_dirr = \"x\": {meant}"),
            format!("environment LIVEREEL_RECORD_DIRS: record_dirs = \"x\": {meant}"),
        ]
    );
}

#[test]
fn no_secret_is_shown_anywhere() {
    const TOKEN: &str = "hunter2hunter2";
    let mut config = set(&[("publish_token", TOKEN)]);
    let text = format!("rest_token = \"{TOKEN}\"\npublish_tokn = \"{TOKEN}\"\ndownload_token = \"{TOKEN}\"\n");
    config.load_toml(&text, "a.toml").unwrap();
    let text = format!("publish_token={TOKEN}\npublish_token={TOKEN}2\nwss_keystore_password={TOKEN}\n");
    config.load_properties(text.as_bytes(), "b.properties").unwrap();
    config.load_environment([
        ("LIVEREEL_REST_TOKEN".to_owned(), TOKEN.to_owned()),
        ("LIVEREEL_PUBLISH_TOKN".to_owned(), TOKEN.to_owned()),
    ]);
    let error = config.resolve().unwrap_err();
    for shown in [format!("{config:?}"), error.to_string(), format!("{error:?}")] {
        assert!(!shown.contains(TOKEN), "{shown}");
    }
    assert_eq!(error.message().lines().count(), 1, "{error}");

    let resolved = set(&[("publish_token", TOKEN)]).resolve().unwrap();
    assert_eq!(resolved.settings.publish_token, Some(Secret(TOKEN.to_owned())));
    for shown in [format!("{resolved:?}"), resolved.to_toml()] {
        assert!(!shown.contains(TOKEN) && shown.contains("***"), "{shown}");
    }
}

#[test]
fn a_listener_beyond_loopback_needs_a_token_or_a_word() {
    for address in ["127.0.0.1:0", "127.3.2.1:0", "[::1]:0", "localhost:0"] {
        set(&[("rtmp_listen", address)]).resolve().unwrap();
    }
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:1935", "no-such-host.invalid:1935"] {
        let error = set(&[("rtmp_listen", address)]).resolve().unwrap_err();
        assert!(error.message().contains("set publish_token"), "{error}");
        set(&[("rtmp_listen", address), ("publish_token", "t")])
            .resolve()
            .unwrap();
        set(&[("rtmp_listen", address), ("allow_unauthenticated", "true")])
            .resolve()
            .unwrap();
    }
}

#[test]
fn http_beyond_loopback_needs_a_publish_token_where_webrtc_is_published_over_it() {
    let listen = ("http_listen", "0.0.0.0:0");
    set(&[listen]).resolve().unwrap();
    let error = set(&[listen, ("webrtc_udp_ports", "0")]).resolve().unwrap_err();
    assert!(error.message().contains("set publish_token"), "{error}");
    set(&[listen, ("webrtc_udp_ports", "0"), ("publish_token", "t")])
        .resolve()
        .unwrap();
}

#[test]
fn the_reserve_counts_where_the_index_comes_first_and_room_is_asked_for() {
    let reserve = |pairs: &[(&str, &str)]| set(pairs).resolve().unwrap().settings.index_reserve_bytes;
    let asked = ("mp4_container_moov_first_reserve_space", "true");
    let size = ("mp4_container_moov_reserved_space_size", "64");
    assert_eq!(reserve(&[size]), 0);
    assert_eq!(reserve(&[asked]), 2048 * 1024);
    assert_eq!(reserve(&[asked, size]), 64 * 1024);
    assert_eq!(reserve(&[asked, size, ("mp4_container_moov_first", "false")]), 0);
}

#[test]
fn more_writer_threads_than_processors_are_warned_about_where_somebody_set_them() {
    let warnings = set(&[("record_threads", "256")]).resolve().unwrap().warnings;
    assert!(warnings[0].message.contains("processors of this machine"));
}

#[test]
fn a_hook_script_that_cannot_run_is_warned_about_before_the_first_file() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "no program").unwrap();
    let warnings = |script: &Path| set(&[("on_record_hook_script", script.to_str().unwrap())]).resolve();
    for (script, why) in [
        (folder.path().join("missing"), "No such file"),
        (text, "not executable"),
        (folder.path().to_owned(), "no regular file"),
    ] {
        let warnings = warnings(&script).unwrap().warnings;
        assert_eq!(warnings[0].key, "on_record_hook_script");
        assert!(warnings[0].message.contains(why), "{}", warnings[0]);
    }
    assert!(warnings(Path::new("/bin/sh")).unwrap().warnings.is_empty());
}

#[test]
fn a_rotation_that_is_hardly_meant_is_warned_about() {
    let told = |pairs: &[(&str, &str)]| -> Vec<_> {
        let warnings = set(pairs).resolve().unwrap().warnings;
        warnings.into_iter().map(|remark| remark.key).collect()
    };
    let reserve = ("mp4_container_moov_first_reserve_space", "true");
    assert_eq!(told(&[reserve, ("record_rotation", "2M")]), ["record_rotation"]);
    assert!(told(&[reserve, ("record_rotation", "3M")]).is_empty());
    assert!(told(&[("record_rotation", "1M")]).is_empty());
    let unnumbered = ("record_rotation_index_enabled", "false");
    let times = ("stream_record_policy_template", "{streamName}-{startTime}");
    assert_eq!(
        told(&[unnumbered, ("record_rotation", "10")]),
        ["record_rotation_index_enabled"]
    );
    assert!(told(&[unnumbered, ("record_rotation", "10"), times]).is_empty());
    assert!(told(&[unnumbered]).is_empty());
}

#[test]
fn variables_that_are_not_utf_8_are_passed_over_or_named() {
    use std::os::unix::ffi::OsStringExt;
    let raw = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let mut config = Config::new();
    config.load_environment([
        (raw(b"OTHER"), raw(b"\xff")),
        (raw(b"LIVEREEL_\xff"), raw(b"x")),
        (raw(b"LIVEREEL_RECORD_THREADS"), raw(b"1")),
    ]);
    assert_eq!(config.resolve().unwrap().settings.threads, 1);
    config.load_environment([(raw(b"LIVEREEL_RECORD_DIR"), raw(b"/data/\xff"))]);
    let error = config.resolve().unwrap_err();
    assert!(
        error
            .message()
            .starts_with("environment LIVEREEL_RECORD_DIR: record_dir = "),
        "{error}"
    );
    assert!(error.message().ends_with("UTF-8 is allowed"), "{error}");
}

#[test]
fn the_printed_settings_load_again_to_the_same() {
    let mut pairs: Vec<(&str, &str)> = CASES
        .iter()
        .filter(|(key, ..)| !Key::find(key).unwrap().is_secret())
        .filter_map(|(key, valid, _)| Some((*key, *valid.last()?)))
        .collect();
    pairs.push(("exclude_record_name_characters", "\"'\\\n\t#:= "));
    let mut config = set(&pairs);
    config.load_toml("record_threads = 3", "odd\nname = 5\n.toml").unwrap();
    let before = config.resolve().unwrap();
    let text = before.to_toml();
    let mut again = Config::new();
    again.load_toml(&text, "printed.toml").unwrap();
    assert_eq!(again.resolve().unwrap().settings, before.settings, "{text}");
    let defaults = Config::new().resolve().unwrap();
    let mut again = Config::new();
    again.load_toml(&defaults.to_toml(), "printed.toml").unwrap();
    assert_eq!(again.resolve().unwrap().settings, defaults.settings);
}

/// A value as a TOML or JSON file has it.
fn native(key: &Key, value: &str) -> Value {
    match (key.kind, value) {
        (Kind::Bool, "true") => json!(true),
        (Kind::Bool, "false") => json!(false),
        (Kind::Integer { .. }, _) => value
            .parse::<i64>()
            .map_or_else(|_| json!(value), |number| json!(number)),
        _ => json!(value),
    }
}

/// The words of JSON Schema that `json_schema` uses.
fn fits(schema: &Value, value: &Value) -> bool {
    let kinds = match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        kinds => kinds.as_array().unwrap().iter().filter_map(Value::as_str).collect(),
    };
    let kind = match value {
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        other => panic!("{other}"),
    };
    let text = value.as_str().unwrap_or_default();
    let number = value.as_i64().unwrap_or_default();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let pattern = |pattern: &str| match pattern {
        "^(disabled|0*[1-9][0-9]*[smhMG]?)$" => {
            let number = text.strip_suffix(['s', 'm', 'h', 'M', 'G']).unwrap_or(text);
            text == "disabled" || (digits(number) && number.bytes().any(|byte| byte != b'0'))
        }
        "^[0-9]+[KMG]?$" => digits(text.strip_suffix(['K', 'M', 'G']).unwrap_or(text)),
        "^(.+:[0-9]{1,5})?$" => text.rsplit_once(':').map_or(text.is_empty(), |(host, port)| {
            !host.is_empty() && digits(port) && port.len() <= 5
        }),
        "^((.+:)?[0-9]{1,5}(-[0-9]{1,5})?)?$" => {
            let ports = text.rsplit_once(':').map_or(text, |(_, ports)| ports);
            let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
            text.is_empty() || [first, last].iter().all(|port| digits(port) && port.len() <= 5)
        }
        other => panic!("{other} is not known to this test"),
    };
    kinds.contains(&kind)
        && schema["enum"].as_array().is_none_or(|words| words.contains(value))
        && (kind != "string" || schema["pattern"].as_str().is_none_or(pattern))
        && (kind != "string"
            || schema["minLength"]
                .as_u64()
                .is_none_or(|least| text.len() as u64 >= least))
        && (kind != "integer" || schema["minimum"].as_i64().is_none_or(|least| number >= least))
        && (kind != "integer" || schema["maximum"].as_i64().is_none_or(|most| number <= most))
}

#[test]
fn the_schema_takes_and_refuses_what_the_check_does() {
    let schema = json_schema();
    assert_eq!(schema["properties"].as_object().unwrap().len(), KEYS.len());
    for (name, valid, wrong) in CASES {
        let key = Key::find(name).unwrap();
        let property = &schema["properties"][name];
        for value in valid.iter().chain([&key.default]) {
            let unset = value.is_empty() && !matches!(property["type"].as_str(), Some("string"));
            assert!(
                unset || fits(property, &native(key, value)),
                "{name} = {value:?}: {property}"
            );
        }
        for value in *wrong {
            // What a pattern cannot say: the grammar of templates and lists, sizes beyond 64 bits, a NUL
            // in a path, ports above 65535 or the wrong way round, what is an address, and what depends
            // on another key.
            let beyond = matches!(
                *value,
                "{stream}"
                    | "{streamName"
                    | "}"
                    | "mp4"
                    | "h264-webm"
                    | "h264-mp4,h264-ts"
                    | "h264_ts"
                    | "vp9-ts"
                    | "10.0.0.0/99"
            ) || matches!(
                *value,
                "99999999999G" | "nul\0" | "127.0.0.1:65536" | "0.0.0.0:1935" | "[::]:0"
            ) || matches!(
                *value,
                "70000" | "9-7" | "host:1" | "example.com" | "192.0.2" | "http://a.example" | "stun:" | "stun:a>b"
            );
            assert_eq!(
                fits(property, &native(key, value)),
                beyond,
                "{name} = {value:?}: {property}"
            );
        }
    }
}

#[test]
fn a_settings_file_of_another_kind_or_size_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("a.json"), "{}").unwrap();
    std::fs::write(file("latin.toml"), b"record_dir = \"\xe9\"").unwrap();
    std::fs::File::create(file("long.properties"))
        .and_then(|made| made.set_len(MAX_FILE_BYTES + 1))
        .unwrap();
    std::fs::write(file("UPPER.TOML"), "record_threads = 1").unwrap();
    let load = |name: &str| Config::new().load_file(&file(name));
    let kind = |name: &str| load(name).unwrap_err().kind();
    assert_eq!(kind("a.json"), ErrorKind::InvalidArgument);
    assert_eq!(kind("latin.toml"), ErrorKind::InvalidConfig);
    assert_eq!(kind("long.properties"), ErrorKind::LimitExceeded);
    assert_eq!(kind("missing.toml"), ErrorKind::NotFound);
    load("UPPER.TOML").unwrap();
    assert!(load("missing.toml").unwrap_err().to_string().contains("missing.toml"));
}

#[test]
fn paths_become_absolute_once() {
    let config = set(&[("record_dir", "a/b"), ("on_record_hook_script", "hook.sh")]);
    let settings = config.resolve().unwrap().settings.with_absolute_paths().unwrap();
    let here = std::env::current_dir().unwrap();
    assert_eq!(settings.record_dir, here.join("a/b"));
    assert_eq!(settings.hook_script, Some(here.join("hook.sh")));
    assert_eq!(settings.tmp_dir, None::<PathBuf>);
    assert_eq!(settings.record_tmp_dir(), settings.record_dir);
}

#[test]
fn the_page_of_settings_is_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("settings.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, describe::page()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    let how = "UPDATE=1 cargo test -p livereel the_page_of_settings";
    assert!(written == describe::page(), "core/settings.md is not up to date: {how}");
}
