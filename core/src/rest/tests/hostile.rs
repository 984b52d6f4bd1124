//! Gets requests that nobody means well with.
//! Gives a refusal for each, and an engine that goes on.

use super::*;

#[test]
fn no_path_leads_out_of_the_folder() {
    let served = Served::new();
    served.place("a.mp4", 4);
    std::fs::write(served.folder.path().join("outside.mp4"), "secret").unwrap();
    std::os::unix::fs::symlink("../outside.mp4", served.records().join("link.mp4")).unwrap();
    std::os::unix::fs::symlink("..", served.records().join("up")).unwrap();
    let absolute = served.folder.path().join("outside.mp4");
    let long = "a".repeat(300);
    for name in [
        "../outside.mp4",
        "..%2foutside.mp4",
        "..%2Foutside.mp4",
        "%2e%2e/outside.mp4",
        "%2e%2e%2foutside.mp4",
        "%252e%252e%252foutside.mp4",
        "..%5coutside.mp4",
        "./a.mp4/../../outside.mp4",
        "up/outside.mp4",
        "link.mp4",
        "a.mp4%00",
        "a%00.mp4",
        "%00",
        "%ff%fe.mp4",
        "%",
        "%zz.mp4",
        ".",
        "..",
        "%2e",
        "%2e%2e",
        "/etc/passwd",
        absolute.to_str().unwrap(),
        &format!("{long}.mp4"),
        "a.mp4/",
        "a.mp4;x",
        "a.mp4%0d%0aX-Injected:%201",
    ] {
        let answer = served.get(&format!("/client/records/{name}"), &[]);
        assert_eq!(answer.status, 404, "{name}: {answer:?}");
        assert!(!answer.body.windows(6).any(|window| window == b"secret"), "{name}");
        assert_eq!(answer.header("x-injected"), None, "{name}");
    }
}

/// Requests that a proxy in front could read in another way than this server does.
#[test]
fn requests_whose_end_is_in_doubt_are_not_read_twice() {
    let served = Served::new();
    let smuggled = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let post = "POST /rest-api/recorder/find_all HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    for (why, headers, body) in [
        ("two lengths", "Content-Length: 2\r\nContent-Length: 3\r\n", "{}"),
        ("a length list", "Content-Length: 2, 3\r\n", "{}"),
        ("a signed length", "Content-Length: +2\r\n", "{}"),
        ("a hexadecimal length", "Content-Length: 0x2\r\n", "{}"),
        (
            "an unknown coding last",
            "Transfer-Encoding: chunked, identity\r\n",
            "2\r\n{}\r\n0\r\n\r\n",
        ),
        (
            "chunked twice, malformed",
            "Transfer-Encoding: xchunked\r\n",
            "2\r\n{}\r\n0\r\n\r\n",
        ),
        ("a space before the colon", "Content-Length : 2\r\n", "{}"),
        ("a folded header", "X-A: b\r\n Content-Length: 2\r\n", "{}"),
        ("a bare CR in a value", "X-A: b\rContent-Length: 2\r\n", "{}"),
        ("a NUL in a value", "X-A: b\0c\r\n", ""),
    ] {
        let answer = served.raw(format!("{post}{headers}\r\n{body}{smuggled}").as_bytes());
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with("HTTP/1.1 400 "), "{why}: {text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{why}: {text}");
    }
    // Both lengths: the chunked one counts, and what follows is not taken as a request that was inside.
    let both = format!("{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n");
    let answer = served.raw(format!("{both}{smuggled}").as_bytes());
    let text = String::from_utf8_lossy(&answer);
    let first = text.split("\r\n").next().unwrap();
    assert!(
        first == "HTTP/1.1 404 Not Found" || first == "HTTP/1.1 400 Bad Request",
        "{text}"
    );
    assert!(!text.contains("ok\n"), "the connection has to end behind it: {text}");
}

#[test]
fn headers_and_urls_that_are_too_large_are_refused() {
    let served = Served::new();
    let large = "a".repeat(20 * 1024);
    for request in [
        format!("GET /{large} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: {large}\r\n\r\n"),
        format!(
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
            "X-A: b\r\n".repeat(65)
        ),
    ] {
        let answer = served.raw(request.as_bytes());
        let status = String::from_utf8_lossy(&answer[..12]).into_owned();
        assert!(status == "HTTP/1.1 431" || status == "HTTP/1.1 414", "{status}");
    }
    assert_eq!(served.get("/healthz", &[]).status, 200);
}

#[test]
fn more_connections_than_there_are_places_are_closed_and_places_are_given_back() {
    let served = Served::with(RestOptions {
        http_max_connections: 8,
        ..RestOptions::default()
    });
    let hold = || {
        let mut socket = TcpStream::connect(served.http).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut first = [0; 1];
        // One byte of an answer: it has a place.
        matches!(socket.read(&mut first), Ok(1)).then_some(socket)
    };
    let held: Vec<_> = (0..20).filter_map(|_| hold()).collect();
    assert_eq!(held.len(), 4, "an address has half of the places");
    drop(held);
    let again = std::iter::repeat_with(hold).flatten().next();
    assert!(again.is_some());
}

#[test]
fn a_client_that_says_nothing_or_half_is_let_go() {
    let served = Served::new();
    let began = std::time::Duration::from_secs(9);
    std::thread::scope(|scope| {
        for half in ["", "GET /he", "GET /healthz HTTP/1.1\r\nHost: local"] {
            let served = &served;
            scope.spawn(move || {
                let mut socket = TcpStream::connect(served.http).unwrap();
                socket.set_read_timeout(Some(began)).unwrap();
                socket.write_all(half.as_bytes()).unwrap();
                let mut answer = Vec::new();
                assert!(
                    socket.read_to_end(&mut answer).is_err(),
                    "not before its time: {half:?}"
                );
                socket.set_read_timeout(Some(DEADLINE)).unwrap();
                let _ = socket.read_to_end(&mut answer);
            });
        }
    });
}

#[test]
fn a_stop_does_not_wait_for_a_client_that_takes_nothing() {
    let served = Served::new();
    served.place("a.mp4", 50_000_000);
    let mut socket = TcpStream::connect(served.http).unwrap();
    socket
        .write_all(b"GET /client/records/a.mp4 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut first = [0; 16];
    socket.read_exact(&mut first).unwrap();
    served.engine.stop(Some(Duration::from_secs(10))).unwrap();
}
