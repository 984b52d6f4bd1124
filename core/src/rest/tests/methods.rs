//! Gets every method of REST.
//! Gives each status and field that it may answer with.

use super::*;

/// Method, path, body; status, error code, field.
const REFUSED: &[(&str, &str, &str, u16, &str, &str)] = &[
    (
        "POST",
        "/rest-api/recorder/startup",
        "{}",
        400,
        "invalid_argument",
        "mediaSessionId",
    ),
    (
        "POST",
        "/rest-api/recorder/startup",
        "",
        400,
        "invalid_argument",
        "mediaSessionId",
    ),
    (
        "POST",
        "/rest-api/recorder/startup",
        r#"{"mediaSessionId":5}"#,
        400,
        "invalid_argument",
        "mediaSessionId",
    ),
    (
        "POST",
        "/rest-api/recorder/startup",
        r#"{"mediaSessionId":"x"}"#,
        404,
        "not_found",
        "mediaSessionId",
    ),
    (
        "POST",
        "/rest-api/recorder/startup",
        r#"{"mediaSessionId":"x","mediaSessionId":"y"}"#,
        400,
        "invalid_argument",
        "mediaSessionId",
    ),
    (
        "POST",
        "/rest-api/recorder/startup",
        r#"{"mediaSessionId":"x","extra":1}"#,
        400,
        "invalid_argument",
        "extra",
    ),
    (
        "POST",
        "/rest-api/recorder/startup",
        r#"{"mediaSessionId":"x","config":5}"#,
        400,
        "invalid_argument",
        "config",
    ),
    (
        "POST",
        "/rest-api/recorder/startup",
        r#"{"mediaSessionId":"x","config":{"rotation":20}}"#,
        400,
        "invalid_argument",
        "config.rotation",
    ),
    (
        "POST",
        "/rest-api/recorder/startup",
        r#"{"mediaSessionId":"x","config":{"rotation":"20X"}}"#,
        400,
        "invalid_argument",
        "config.rotation",
    ),
    (
        "POST",
        "/rest-api/recorder/startup",
        r#"{"mediaSessionId":"x","config":{"fileTemplate":"{nope}"}}"#,
        400,
        "invalid_argument",
        "config.fileTemplate",
    ),
    (
        "POST",
        "/rest-api/recorder/startup",
        r#"{"mediaSessionId":"x","config":{"template":"a"}}"#,
        400,
        "invalid_argument",
        "config.template",
    ),
    (
        "POST",
        "/rest-api/recorder/startup",
        "[]",
        400,
        "invalid_argument",
        "body",
    ),
    (
        "POST",
        "/rest-api/recorder/startup",
        r#"["x"]"#,
        400,
        "invalid_argument",
        "body",
    ),
    (
        "POST",
        "/rest-api/recorder/startup",
        r#"{"mediaSessionId":"x"} {}"#,
        400,
        "invalid_argument",
        "body",
    ),
    (
        "POST",
        "/rest-api/recorder/startup",
        r#"{"mediaSessionId""#,
        400,
        "invalid_argument",
        "body",
    ),
    (
        "POST",
        "/rest-api/recorder/terminate",
        r#"{"mediaSessionId":"x"}"#,
        404,
        "not_found",
        "mediaSessionId",
    ),
    (
        "POST",
        "/rest-api/recorder/terminate",
        r#"{"id":"x"}"#,
        400,
        "invalid_argument",
        "id",
    ),
    ("POST", "/rest-api/recorder/find_all", "{}", 404, "not_found", ""),
    ("POST", "/rest-api/recorder/find_all", "", 404, "not_found", ""),
    (
        "POST",
        "/rest-api/recorder/find_all",
        r#"{"a":1}"#,
        400,
        "invalid_argument",
        "a",
    ),
    (
        "POST",
        "/rest-api/recorder/record_info",
        r#"{"mediaSessionId":"x"}"#,
        404,
        "not_found",
        "mediaSessionId",
    ),
    (
        "POST",
        "/rest-api/stream/terminate",
        r#"{"mediaSessionId":"x"}"#,
        404,
        "not_found",
        "mediaSessionId",
    ),
    ("POST", "/rest-api/pull/startup", "{}", 400, "invalid_argument", "uri"),
    (
        "POST",
        "/rest-api/pull/startup",
        r#"{"uri":"http://127.0.0.1/"}"#,
        400,
        "invalid_argument",
        "uri",
    ),
    (
        "POST",
        "/rest-api/pull/startup",
        r#"{"uri":"rtsp://127.0.0.1/a"}"#,
        403,
        "access_denied",
        "uri",
    ),
    (
        "POST",
        "/rest-api/pull/startup",
        r#"{"uri":"rtsp://10.0.0.1/a","config":{"rotation":"x"}}"#,
        400,
        "invalid_argument",
        "config.rotation",
    ),
    (
        "POST",
        "/rest-api/pull/startup",
        r#"{"uri":"rtsp://10.0.0.1/a","record":"yes"}"#,
        400,
        "invalid_argument",
        "record",
    ),
    (
        "POST",
        "/rest-api/pull/terminate",
        r#"{"mediaSessionId":"x"}"#,
        404,
        "not_found",
        "mediaSessionId",
    ),
    ("GET", "/rest-api/recorder/startup", "", 405, "unsupported", ""),
    ("PUT", "/rest-api/recorder/find_all", "{}", 405, "unsupported", ""),
    ("POST", "/client/records/a.mp4", "{}", 405, "unsupported", ""),
    ("DELETE", "/client/records/", "", 405, "unsupported", ""),
    ("POST", "/healthz", "{}", 405, "unsupported", ""),
    ("POST", "/rest-api/recorder/nothing", "{}", 404, "not_found", ""),
    ("POST", "/rest-api/recorder/startup/", "{}", 404, "not_found", ""),
    ("GET", "/nothing", "", 404, "not_found", ""),
    ("GET", "/client/records/none.mp4", "", 404, "not_found", ""),
];

#[test]
fn every_wrong_request_is_answered_with_its_status_and_the_field() {
    let served = Served::with(RestOptions {
        pull_allowed_hosts: crate::engine::PullHosts::parse("10.0.0.0/8").unwrap(),
        ..RestOptions::default()
    });
    for (method, path, body, status, code, field) in REFUSED {
        let json = [("Content-Type", "application/json; charset=utf-8")];
        let answer = served.send(method, path, &json, body.as_bytes());
        let wanted = (*status, (*code).to_owned(), (*field).to_owned());
        assert_eq!(answer.error(), wanted, "{method} {path} {body}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
        assert_eq!(answer.header("allow").is_some(), *status == 405, "{path}");
    }
}

#[test]
fn a_pull_is_begun_listed_and_ended() {
    let served = Served::with(RestOptions {
        pull_allowed_hosts: crate::engine::PullHosts::parse("127.0.0.1").unwrap(),
        ..RestOptions::default()
    });
    // Nobody listens there: the pull goes on trying.
    let body = r#"{"uri":"rtsp://user:secret@127.0.0.1:9/door","streamName":"door","record":true}"#;
    let begun = served.post("/rest-api/pull/startup", body);
    assert_eq!(begun.status, 200, "{begun:?}");
    let id = begun.json()["mediaSessionId"].as_str().unwrap().to_owned();
    let again = served.post("/rest-api/pull/startup", body).error();
    assert_eq!(again, (400, "invalid_argument".to_owned(), "streamName".to_owned()));
    let listed = served.post("/rest-api/stream/find_all", "{}");
    let text = listed.json().to_string();
    assert!(text.contains(&id) && text.contains("rtsp://127.0.0.1:9/door"), "{text}");
    assert!(!text.contains("secret"), "{text}");
    let body = format!(r#"{{"mediaSessionId":"{id}"}}"#);
    assert_eq!(served.post("/rest-api/pull/terminate", &body).status, 200);
    assert_eq!(served.post("/rest-api/pull/terminate", &body).error().0, 404);
}

#[test]
fn a_body_that_is_not_told_to_be_json_is_refused_with_what_to_send() {
    let served = Served::new();
    for headers in [
        &[][..],
        &[("Content-Type", "application/x-www-form-urlencoded")],
        &[("Content-Type", "text/plain")],
    ] {
        let answer = served.send("POST", "/rest-api/recorder/startup", headers, b"{}");
        let wanted = (415, "unsupported".to_owned(), "Content-Type".to_owned());
        assert_eq!(answer.error(), wanted);
        assert!(answer.json()["message"].as_str().unwrap().contains("application/json"));
    }
    let large = format!(r#"{{"mediaSessionId":"{}"}}"#, "x".repeat(64 * 1024));
    assert_eq!(served.post("/rest-api/recorder/startup", &large).error().0, 413);
    assert_eq!(served.get("/healthz", &[]).body, b"ok\n");
    assert_eq!(
        served.post("/rest-api/stream/find_all", "{}").json(),
        serde_json::json!([])
    );
}

#[test]
fn a_session_is_recorded_rotated_listed_and_ended_over_rest() {
    let served = Served::with_settings(RestOptions::default(), &[("record_streams", "false")], |_| {});
    let (publisher, id) = served.publish("cam");
    let body = serde_json::json!({ "mediaSessionId": id }).to_string();

    let streams = served.post("/rest-api/stream/find_all", "{}").json();
    assert_eq!(streams[0]["mediaSessionId"], *id);
    assert_eq!(streams[0]["streamName"], "cam");
    assert_eq!(streams[0]["protocol"], "rtmp");
    assert!(streams[0]["bytesIn"].as_u64().unwrap() > 0);
    assert_eq!(
        served.post("/rest-api/recorder/terminate", &body).error().0,
        404,
        "nothing is recorded yet"
    );
    assert_eq!(
        served.post("/rest-api/recorder/record_info", &body).json(),
        serde_json::json!([])
    );

    let startup = serde_json::json!({
        "mediaSessionId": id, "config": { "fileTemplate": "{streamName}-{startTime}-{endTime}", "rotation": "1h" }
    });
    let first = served.post("/rest-api/recorder/startup", &startup.to_string());
    assert_eq!(first.status, 200, "{first:?}");
    served.event("recording_started");
    let all = served.post("/rest-api/recorder/find_all", "{}").json();
    assert_eq!(all.as_array().unwrap().len(), 1);
    assert_eq!(all[0].as_object().unwrap().len(), 2, "WCS's two fields and no other");
    assert_eq!(all[0]["mediaSessionId"], *id);
    let name = all[0]["fileName"].as_str().unwrap();
    assert!(name.starts_with("cam-") && name.ends_with("-{endTime}_1.mp4"), "{name}");

    // Another one: the first is finished, its file is there.
    let second = served.post("/rest-api/recorder/startup", &body);
    assert_eq!(second.status, 200);
    assert_ne!(second.json()["recordingId"], first.json()["recordingId"]);
    let finished = served.event("file_finished");
    assert_eq!(finished["recording_id"], first.json()["recordingId"]);
    let info = served.post("/rest-api/recorder/record_info", &body).json();
    assert_eq!(info[0]["fileName"], finished["file_name"]);
    assert_eq!(info[0]["finished"], true);
    assert_eq!(info[1]["finished"], false);
    served.event("recording_started");

    assert_eq!(served.post("/rest-api/recorder/terminate", &body).status, 200);
    assert_eq!(served.post("/rest-api/recorder/find_all", "{}").error().0, 404);
    let info = served.post("/rest-api/recorder/record_info", &body).json();
    assert!(
        info.as_array().unwrap().iter().all(|file| file["finished"] == true),
        "{info}"
    );
    for file in info.as_array().unwrap() {
        let path = served.folder.path().join("got.mp4");
        std::fs::write(&path, served.get(file["url"].as_str().unwrap(), &[]).body).unwrap();
        let seconds = file["durationMs"].as_f64().unwrap() / 1000.0;
        assert!((ffprobe_seconds(&path) - seconds).abs() < 0.1, "{file}");
    }
    // None is lost when the session is over, and it ends when it is told to.
    assert_eq!(served.post("/rest-api/stream/terminate", &body).status, 200);
    served.event("session_ended");
    assert_eq!(served.post("/rest-api/recorder/record_info", &body).json(), info);
    drop(publisher);
}

#[test]
fn record_info_waits_for_the_files_of_a_session_that_ended() {
    let served = Served::new();
    let (publisher, id) = served.publish("cam");
    served.event("recording_started");
    drop(publisher);
    served.event("session_ended");
    let body = serde_json::json!({ "mediaSessionId": id }).to_string();
    let info = served.post("/rest-api/recorder/record_info", &body).json();
    assert_eq!(info.as_array().unwrap().len(), 1, "{info}");
    assert_eq!(info[0]["finished"], true);
}

#[test]
fn a_host_without_sockets_gets_the_same_answers() {
    let served = Served::new();
    let bytes = served.place("a.mp4", 600_000);
    let rest = crate::rest::Rest::new(served.engine.clone(), RestOptions::default());
    let ask = |method: &str, path: &str, range: Option<&str>, body: &str| {
        let mut request = http::Request::builder().method(method).uri(path);
        if let Some(range) = range {
            request = request.header("Range", range);
        }
        let request = request.header("Content-Type", "application/json");
        rest.handle_blocking(request.body(bytes::Bytes::from(body.to_owned())).unwrap())
    };
    let whole = |body: crate::rest::Body| -> Vec<u8> { body.chunks().flat_map(|chunk| chunk.unwrap()).collect() };

    let answer = ask("GET", "/client/records/a.mp4", None, "");
    assert_eq!(answer.status(), 200);
    let range = answer.body().file_range().unwrap();
    assert_eq!((range.offset, range.len), (0, 600_000));
    assert_eq!(whole(answer.into_body()), bytes);

    let answer = ask("GET", "/client/records/a.mp4", Some("bytes=0-9,100-109"), "");
    assert_eq!(answer.status(), 206);
    assert!(answer.body().file_range().is_none());
    assert_eq!(
        answer.headers()["content-length"],
        answer.body().len_bytes().to_string()
    );

    let answer = ask("HEAD", "/client/records/a.mp4", None, "");
    assert_eq!(answer.headers()["content-length"], "600000");
    assert_eq!(answer.body().len_bytes(), 0);

    let answer = ask("POST", "/rest-api/recorder/find_all", None, "{}");
    assert_eq!(answer.status(), 404);
    let error: Value = serde_json::from_slice(&whole(answer.into_body())).unwrap();
    assert_eq!(error["error"], "not_found");

    served.engine.stop(Some(DEADLINE)).unwrap();
    assert_eq!(ask("GET", "/healthz", None, "").status(), 503);
}
