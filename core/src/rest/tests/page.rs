//! Gets the Stream Recording page from a listener.
//! Gives whether it may run, who gets it, and what may run in it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::*;
use crate::rest::page;

/// What stands between `<name>` and `</name>`, of which the page has one.
fn only_element<'a>(text: &'a str, name: &str) -> &'a str {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    assert_eq!(
        (text.matches(&format!("<{name}")).count(), text.matches(&close).count()),
        (1, 1)
    );
    text.split_once(&open).unwrap().1.split_once(&close).unwrap().0
}

#[test]
fn the_page_runs_its_own_script_and_style_and_nothing_else() {
    let served = Served::new();
    let answer = served.get("/", &[]);
    assert_eq!((answer.status, answer.body.as_slice()), (200, page::text().as_bytes()));
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(
        answer.header("permissions-policy"),
        Some("camera=(self), microphone=(self)")
    );
    let policy = answer.header("content-security-policy").unwrap();
    let directive = |name: &str| {
        let found = policy
            .split("; ")
            .find_map(|one| one.strip_prefix(name)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("{name}: {policy}"))
    };
    for (name, element) in [("script-src", "script"), ("style-src", "style")] {
        let hash = STANDARD.encode(Sha256::digest(only_element(page::text(), element)));
        assert_eq!(directive(name), format!("'sha256-{hash}'"));
    }
    for name in [
        "default-src",
        "base-uri",
        "form-action",
        "frame-ancestors",
        "trusted-types",
    ] {
        assert_eq!(directive(name), "'none'", "{name}");
    }
    for name in ["connect-src", "media-src"] {
        assert_eq!(directive(name), "'self'", "{name}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
}

#[test]
fn the_page_needs_nothing_from_elsewhere_and_makes_no_html_of_text() {
    let text = page::text();
    for wrong in [
        "http://",
        "https://",
        "src=",
        "@import",
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "eval(",
    ] {
        assert!(!text.contains(wrong), "{wrong}");
    }
    // No handler and no style in an attribute: the policy would refuse both.
    let (head, _) = text.split_once("<script>").unwrap();
    let markup = head.replace(only_element(text, "style"), "");
    for attribute in [" on", " style="] {
        let found = markup.match_indices(attribute).find(|(at, _)| {
            let rest = &markup[at + attribute.len()..];
            attribute.ends_with('=')
                || rest
                    .split(|c: char| !c.is_ascii_lowercase())
                    .next()
                    .is_some_and(|word| rest[word.len()..].starts_with("=\""))
        });
        assert_eq!(found, None);
    }
}

#[test]
fn head_tells_of_the_page_and_a_client_that_has_it_is_not_sent_it_again() {
    let served = Served::new();
    let whole = served.get("/", &[]);
    assert_eq!(whole.header("cache-control"), Some("no-cache"));
    let etag = whole.header("etag").unwrap();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    let head = served.send("HEAD", "/", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in ["content-length", "content-type", "etag", "content-security-policy"] {
        assert_eq!(head.header(name), whole.header(name), "{name}");
    }
    for known in [
        etag.to_owned(),
        format!("W/{etag}"),
        format!("\"a\", {etag}"),
        "*".to_owned(),
    ] {
        let again = served.get("/", &[("If-None-Match", &known)]);
        assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
        assert_eq!(again.header("etag"), Some(etag));
    }
    assert_eq!(served.get("/", &[("If-None-Match", "\"a\"")]).status, 200);
}

#[test]
fn the_page_takes_no_other_method_and_no_name_that_is_not_of_loopback() {
    let served = Served::new();
    for method in ["POST", "PUT", "DELETE"] {
        let answer = served.send(method, "/", &[], b"");
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("GET, HEAD")),
            "{method}"
        );
    }
    let other = served.raw(b"GET / HTTP/1.1\r\nHost: page.example\r\nConnection: close\r\n\r\n");
    assert_eq!(Answer::read(&other).status, 421);
}

#[test]
fn the_page_itself_needs_no_token_where_all_that_it_does_needs_one() {
    let secret = |text: &str| Some(crate::engine::config::Secret(text.to_owned()));
    let served = Served::with(RestOptions {
        rest_token: secret("rest-secret"),
        download_token: secret("download-secret"),
        ..RestOptions::default()
    });
    assert_eq!(served.get("/", &[]).status, 200);
    assert_eq!(served.get("/client/records/", &[]).status, 401);
    assert_eq!(served.post("/rest-api/recorder/record_info", "{}").status, 401);
}
