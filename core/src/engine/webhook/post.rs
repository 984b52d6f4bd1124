//! Gets an event that is to be posted.
//! Gives it to the host's URL, signed, and tells what became of it.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use ring::hmac;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::WebhookOptions;
use super::queue::Entry;
use crate::engine::clock::unix_now;
use crate::media::{Error, ErrorKind, Result};

/// Answers that say the event itself is not wanted: it would be refused each time.
const REFUSALS: [StatusCode; 4] = [
    StatusCode::BAD_REQUEST,
    StatusCode::GONE,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNPROCESSABLE_ENTITY,
];

/// What became of a post.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// 2xx.
    Taken,
    /// One of [`REFUSALS`].
    Refused(String),
    /// Anything else: it is tried again.
    Failed(String),
}

/// Posts to one URL.
pub(super) struct Post {
    url: Uri,
    key: Option<hmac::Key>,
    timeout: Duration,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Runtime,
}

impl Post {
    pub(super) fn new(options: &WebhookOptions) -> Result<Self> {
        const OPERATION: &str = "set the webhook up";
        let wrong = |message: String| {
            Error::new(ErrorKind::InvalidConfig, OPERATION, message).with("setting", "event_webhook_url")
        };
        let url: Uri = options
            .url
            .parse()
            .map_err(|error| wrong(format!("it is no URL: {error}")))?;
        if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none_or(str::is_empty) {
            return Err(wrong("allowed: http:// and https:// with a host".to_owned()));
        }
        if url
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err(wrong(
                "a user and a password are not sent: posts are signed with event_webhook_secret".to_owned(),
            ));
        }
        let provider = rustls::crypto::ring::default_provider();
        let failed = |error: rustls::Error| Error::new(ErrorKind::Internal, OPERATION, error.to_string());
        let builder = hyper_rustls::HttpsConnectorBuilder::new();
        let builder = match &options.ca {
            None => builder.with_provider_and_webpki_roots(provider).map_err(failed)?,
            Some(path) => {
                let unreadable = |error: &dyn std::fmt::Display| {
                    Error::new(ErrorKind::InvalidConfig, OPERATION, error.to_string()).with("path", path.display())
                };
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))? {
                    let certificate = certificate.map_err(|error| unreadable(&error))?;
                    roots.add(certificate).map_err(|error| unreadable(&error))?;
                }
                let config = ClientConfig::builder_with_provider(provider.into())
                    .with_safe_default_protocol_versions()
                    .map_err(failed)?;
                builder.with_tls_config(config.with_root_certificates(roots).with_no_client_auth())
            }
        };
        let connector = builder.https_or_http().enable_http1().build();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self {
            url,
            key: options
                .secret
                .as_ref()
                .map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.0.as_bytes())),
            timeout: options.timeout,
            client: Client::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .build(connector),
            runtime: runtime.map_err(|error| Error::io(OPERATION, error))?,
        })
    }

    /// Posts an event, unless `give_up` fires first. Blocks. Redirects are not followed.
    pub(super) fn send(&self, entry: &Entry, attempt: u32, give_up: &CancellationToken) -> Outcome {
        let request = match self.request(entry, attempt) {
            Ok(request) => request,
            Err(error) => return Outcome::Failed(error.to_string()),
        };
        let answer = self.runtime.block_on(async {
            let answer = tokio::time::timeout(self.timeout, self.client.request(request));
            give_up.run_until_cancelled(answer).await
        });
        match answer {
            None => Outcome::Failed("the engine stopped meanwhile".to_owned()),
            Some(Err(_)) => Outcome::Failed(format!("no answer in {} s", self.timeout.as_secs())),
            Some(Ok(Err(error))) => Outcome::Failed(reason(&error)),
            Some(Ok(Ok(answer))) if answer.status().is_success() => Outcome::Taken,
            Some(Ok(Ok(answer))) if REFUSALS.contains(&answer.status()) => {
                Outcome::Refused(answer.status().to_string())
            }
            Some(Ok(Ok(answer))) => Outcome::Failed(format!("it answered {}", answer.status())),
        }
    }

    fn request(&self, entry: &Entry, attempt: u32) -> http::Result<Request<Full<Bytes>>> {
        let mut request = Request::post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("livereel/", env!("CARGO_PKG_VERSION")))
            .header("Livereel-Event", &entry.name)
            .header("Livereel-Event-Id", &entry.id)
            .header("Livereel-Attempt", attempt);
        if let Some(key) = &self.key {
            // The time of the post is signed too, so that a receiver can refuse a copy of an old one.
            let seconds = unix_now().0 / 1000;
            request = request.header("Livereel-Signature", signature(key, seconds, &entry.body));
        }
        request.body(Full::new(entry.body.clone()))
    }
}

/// `t=<Unix seconds>,v1=<hex of HMAC-SHA-256 over "<t>.<body>">`.
pub(super) fn signature(key: &hmac::Key, seconds: i64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(format!("{seconds}.").as_bytes());
    context.update(body);
    format!("t={seconds},v1={}", hex::encode(context.sign()))
}

/// An error with what caused it.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
