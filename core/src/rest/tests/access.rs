//! Gets tokens, callbacks, Host headers and origins.
//! Gives who gets in.

use std::sync::Arc;

use super::*;
use crate::engine::config::Secret;
use crate::engine::{Action, AuthorizeRequest};
use crate::media::ErrorKind;
use crate::media::sync::Mutex;

fn guarded() -> RestOptions {
    RestOptions {
        rest_token: Some(Secret("rest-secret".to_owned())),
        download_token: Some(Secret("download-secret".to_owned())),
        ..RestOptions::default()
    }
}

#[test]
fn each_token_opens_its_own_door() {
    let served = Served::with(guarded());
    served.place("a.mp4", 10);
    let status = |path: &str, token: Option<&str>| {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = bearer.iter().map(|value| ("Authorization", value.as_str())).collect();
        let answer = served.get(path, &headers);
        assert_eq!(
            answer.header("www-authenticate").is_some(),
            answer.status == 401,
            "{path}"
        );
        answer.status
    };
    assert_eq!(status("/client/records/a.mp4", None), 401);
    assert_eq!(status("/client/records/", None), 401);
    assert_eq!(status("/client/records/a.mp4", Some("rest-secret")), 401);
    assert_eq!(status("/client/records/a.mp4", Some("download-secret")), 200);
    assert_eq!(status("/client/records/a.mp4?token=download-secret", None), 200);
    assert_eq!(status("/client/records/a.mp4?token=download%2Dsecret", None), 200);
    assert_eq!(status("/client/records/a.mp4?token=other", None), 401);
    assert_eq!(status("/healthz", None), 200);
    let find = |headers: &[(&str, &str)], path: &str| served.send("POST", path, headers, b"").status;
    assert_eq!(find(&[], "/rest-api/stream/find_all"), 401);
    assert_eq!(
        find(&[("Authorization", "Bearer rest-secret")], "/rest-api/stream/find_all"),
        200
    );
    assert_eq!(
        find(&[("authorization", "bearer rest-secret")], "/rest-api/stream/find_all"),
        200
    );
    assert_eq!(
        find(&[("Authorization", "Basic rest-secret")], "/rest-api/stream/find_all"),
        401
    );
    assert_eq!(
        find(&[], "/rest-api/stream/find_all?token=rest-secret"),
        401,
        "links are for downloads"
    );
}

#[test]
fn an_address_that_guesses_has_to_wait() {
    let served = Served::with(guarded());
    let ask = |token: &str| {
        let bearer = format!("Bearer {token}");
        served.send("POST", "/rest-api/stream/find_all", &[("Authorization", &bearer)], b"")
    };
    for _ in 0..50 {
        assert_eq!(
            served.send("POST", "/rest-api/stream/find_all", &[], b"").status,
            401,
            "no token is no guess"
        );
    }
    for _ in 0..10 {
        assert_eq!(ask("wrong").status, 401);
    }
    let refused = ask("rest-secret");
    assert_eq!(refused.error().0, 429);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() <= 61);
}

#[test]
fn the_host_decides_about_everything_and_is_told_what_it_is_about() {
    let asked = Arc::new(Mutex::new(Vec::<AuthorizeRequest>::new()));
    let told = Arc::clone(&asked);
    let served = Served::with_settings(RestOptions::default(), &[("record_streams", "false")], |engine| {
        engine.on_authorize(move |request| {
            told.lock().push(request.clone());
            match request.action {
                Action::Publish => request.stream_name == "cam",
                Action::Record => request.token.as_deref() == Some("boss"),
                Action::Download => request.resource != "secret.mp4",
                Action::Rest => true,
                Action::Pull => panic!("a fault of the host"),
            }
        });
    });
    let refused = Publisher::start(served.engine.address("rtmp").unwrap(), "other");
    let (_publisher, id) = served.publish("cam");
    drop(refused);
    let body = serde_json::json!({ "mediaSessionId": id }).to_string();
    assert_eq!(served.post("/rest-api/recorder/startup", &body).error().0, 403);
    let headers = [("Content-Type", "application/json"), ("Authorization", "Bearer boss")];
    let started = served.send("POST", "/rest-api/recorder/startup", &headers, body.as_bytes());
    assert_eq!(started.status, 200);
    assert_eq!(
        served
            .post("/rest-api/pull/startup", r#"{"uri":"rtsp://u:p@10.0.0.1/a?b"}"#)
            .error()
            .0,
        403
    );
    served.place("secret.mp4", 1);
    served.place("open.mp4", 1);
    assert_eq!(served.get("/client/records/secret.mp4", &[]).error().0, 403);
    assert_eq!(
        served.get("/client/records/%73ecret.mp4", &[]).error().0,
        403,
        "the name, not its spelling"
    );
    assert_eq!(served.get("/client/records/open.mp4", &[]).status, 200);
    let asked = asked.lock();
    assert!(
        asked.iter().all(|request| request.peer.starts_with("127.0.0.1:")),
        "{asked:?}"
    );
    let record = asked.iter().find(|request| request.action == Action::Record).unwrap();
    assert_eq!(
        (record.stream_name.as_str(), record.media_session_id.as_str()),
        ("cam", id.as_str())
    );
    let pull = asked.iter().find(|request| request.action == Action::Pull).unwrap();
    assert_eq!(pull.resource, "rtsp://10.0.0.1/a");
    assert!(
        asked
            .iter()
            .any(|request| request.action == Action::Publish && request.stream_name == "other")
    );
}

#[test]
fn a_listener_beyond_loopback_does_not_open_unguarded() {
    let folder = tempfile::tempdir().unwrap();
    let start = |options: RestOptions, callback: bool| {
        let mut config = Config::new();
        config.set("record_dir", folder.path().to_str().unwrap()).unwrap();
        let engine = Engine::new(config).unwrap();
        if callback {
            engine.on_authorize(|_| true);
        }
        let http_listen = Some("0.0.0.0:0".to_owned());
        engine.start_with_http(&RestOptions { http_listen, ..options })
    };
    let error = start(RestOptions::default(), false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("rest_token and download_token"), "{error}");
    let half = RestOptions {
        rest_token: Some(Secret("x".to_owned())),
        ..RestOptions::default()
    };
    assert!(
        start(half, false)
            .unwrap_err()
            .to_string()
            .contains("set download_token")
    );
    start(guarded(), false).unwrap();
    start(RestOptions::default(), true).unwrap();
    let open = RestOptions {
        allow_unauthenticated: true,
        ..RestOptions::default()
    };
    start(open, false).unwrap();
}

#[test]
fn a_name_of_the_web_that_leads_to_loopback_is_turned_away() {
    let served = Served::new();
    let ask = |served: &Served, host: &str| {
        let request = format!("GET /client/records/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        Answer::read(&served.raw(request.as_bytes())).status
    };
    for host in ["evil.example", "evil.example:8081", "127.0.0.1.evil.example", ""] {
        assert_eq!(ask(&served, host), 421, "{host:?}");
    }
    for host in ["localhost", "127.0.0.1:1", "[::1]:8081"] {
        assert_eq!(ask(&served, host), 200, "{host}");
    }
    let behind_a_proxy = Served::with(guarded());
    assert_eq!(
        ask(&behind_a_proxy, "recorder.example"),
        401,
        "the token is the guard there"
    );
}

#[test]
fn browsers_may_call_from_listed_origins_only() {
    let served = Served::with(RestOptions {
        cors_allowed_origins: vec!["https://app.example".to_owned()],
        ..RestOptions::default()
    });
    let preflight = |origin: &str| {
        let headers = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "content-type"),
        ];
        served.send("OPTIONS", "/rest-api/recorder/find_all", &headers, b"")
    };
    let allowed = preflight("https://app.example");
    assert_eq!(allowed.status, 204);
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        Some("https://app.example")
    );
    assert!(
        allowed
            .header("access-control-allow-headers")
            .unwrap()
            .contains("Content-Type")
    );
    let other = preflight("https://app.example.evil");
    assert_eq!(other.status, 405);
    assert_eq!(other.header("access-control-allow-origin"), None);
    let called = served.get("/client/records/", &[("Origin", "https://app.example")]);
    assert_eq!(
        called.header("access-control-allow-origin"),
        Some("https://app.example")
    );
    assert_eq!(called.header("vary"), Some("Origin"));
}
