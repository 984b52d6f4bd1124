//! Gets certificates made by OpenSSL, and curl as a client.
//! Gives HTTPS: both versions of HTTP, and a certificate that changes without a restart.

use super::*;
use crate::media::ErrorKind;
use crate::rest::tls::Certificate;

fn certificate(folder: &Path, subject: &str) {
    let made = Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -addext".split_whitespace())
        .arg("subjectAltName=DNS:localhost,IP:127.0.0.1")
        .args(["-subj", &format!("/CN={subject}"), "-keyout"])
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("cert.pem"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn options(folder: &Path) -> RestOptions {
    RestOptions {
        https_listen: Some("127.0.0.1:0".to_owned()),
        tls_cert: Some(folder.join("cert.pem")),
        tls_key: Some(folder.join("key.pem")),
        ..RestOptions::default()
    }
}

#[test]
fn https_serves_both_versions_of_http() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "one");
    let served = Served::with(options(folder.path()));
    let bytes = served.place("a.mp4", 2_000_000);
    let https = served.engine.address("https").unwrap();
    let told: Vec<_> = std::iter::from_fn(|| served.events.next_timeout(Some(Duration::ZERO)))
        .map(|event| event.to_json()["protocol"].clone())
        .collect();
    assert_eq!(told, ["rtmp", "http", "https"]);
    let url = format!("https://localhost:{}/client/records/a.mp4", https.port());
    for (version, told) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let output = Command::new("curl")
            .args(["-sS", "--fail", version, "-w", "%{stderr}%{http_version}", "--cacert"])
            .arg(folder.path().join("cert.pem"))
            .arg(&url)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), told);
        assert!(output.stdout == bytes, "{version}");
    }
    // Plain HTTP on that port is no request.
    let mut plain = TcpStream::connect(https).unwrap();
    plain
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"));
}

#[test]
fn a_certificate_that_changes_is_read_again_and_a_broken_one_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    assert_eq!(
        Certificate::load(&chain, &key).unwrap_err().kind(),
        ErrorKind::InvalidConfig
    );
    certificate(folder.path(), "one");
    let held = Certificate::load(&chain, &key).unwrap();
    let first = held.chain();
    assert!(!held.refresh().unwrap());
    std::fs::write(&chain, "-----BEGIN CERTIFICATE-----\nhalf").unwrap();
    assert!(held.refresh().is_err());
    assert_eq!(held.chain(), first);
    assert!(!held.refresh().unwrap(), "told once");
    certificate(folder.path(), "two");
    assert!(held.refresh().unwrap());
    assert_ne!(held.chain(), first);
    // A key of another certificate.
    let other = tempfile::tempdir().unwrap();
    certificate(other.path(), "three");
    std::fs::copy(other.path().join("key.pem"), &key).unwrap();
    assert!(held.refresh().is_err());
}

#[test]
fn https_without_a_certificate_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new();
    config.set("record_dir", folder.path().to_str().unwrap()).unwrap();
    let engine = Engine::new(config).unwrap();
    let half = RestOptions {
        tls_key: None,
        ..options(folder.path())
    };
    for options in [half, options(folder.path())] {
        assert_eq!(
            engine.start_with_http(&options).unwrap_err().kind(),
            ErrorKind::InvalidConfig
        );
    }
    engine.start_with_http(&RestOptions::default()).unwrap();
}
