//! Gets the documents that the server has about itself.
//! Gives whether they are true.

use super::*;
use crate::rest::openapi;

#[test]
fn every_path_of_the_document_is_served_and_every_reference_in_it_leads_somewhere() {
    let served = Served::new();
    let document = served.get("/openapi.json", &[]).json();
    assert_eq!(document, openapi::text());
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 14);
    for path in paths.keys() {
        let answer = served.send(
            "PUT",
            &path
                .replace("{file}", "a.mp4")
                .replace("{streamName}", "cam")
                .replace("{resource}", "x"),
            &[],
            b"",
        );
        assert_eq!(answer.status, 405, "{path}");
        let allowed = answer.header("allow").unwrap();
        for method in paths[path].as_object().unwrap().keys() {
            assert!(allowed.contains(&method.to_uppercase()), "{path}: {method}");
        }
    }
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}

#[test]
fn the_page_about_the_methods_needs_nothing_from_elsewhere() {
    let served = Served::new();
    let page = served.get("/docs", &[]);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let text = String::from_utf8(page.body).unwrap();
    assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("src="));
}

#[test]
fn metrics_tell_sessions_recordings_files_and_requests() {
    let served = Served::new();
    let metrics = || String::from_utf8(served.get("/metrics", &[]).body).unwrap();
    let before = metrics();
    assert!(before.contains("livereel_sessions{protocol=\"rtmp\"} 0\n"), "{before}");
    assert!(before.ends_with("# EOF\n"));
    let (publisher, _) = served.publish("cam");
    served.event("recording_started");
    let running = metrics();
    assert!(
        running.contains("livereel_sessions{protocol=\"rtmp\"} 1\n"),
        "{running}"
    );
    assert!(running.contains("livereel_recordings 1\n"), "{running}");
    let value = |text: &str, name: &str| -> f64 {
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{name}: {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let received = value(&running, "livereel_received_bytes_total");
    assert!(received > 0.0);
    drop(publisher);
    served.event("recording_finished");
    served.get("/client/records/none.mp4", &[]);
    let after = metrics();
    assert!(
        after.contains("livereel_files_finished_total{container=\"mp4\"} 1\n"),
        "{after}"
    );
    assert_eq!(value(&after, "livereel_finish_seconds_count"), 1.0);
    assert!(
        value(&after, "livereel_received_bytes_total") >= received,
        "never falls"
    );
    let missed = "livereel_http_requests_total{route=\"/client/records/{*file}\",method=\"GET\",status=\"404\"} 1\n";
    assert!(after.contains(missed), "{after}");
    assert_eq!(value(&after, "livereel_sessions{protocol=\"rtmp\"}"), 0.0);
}
