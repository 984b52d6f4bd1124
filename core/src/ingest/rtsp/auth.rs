//! Gets the credentials of a URL and the challenges of a server.
//! Gives the `Authorization` of each request: Digest where it is offered, else Basic.

use http_auth::{PasswordClient, PasswordParams};
use percent_encoding::percent_decode_str;

use super::message::Headers;
use crate::media::{Error, ErrorKind, Result};

use super::connection::OPERATION;

/// What a server is answered when it asks who is there (RFC 2326 section 14, RFC 7616, RFC 7617).
pub(super) struct Auth {
    credentials: Option<(String, String)>,
    challenge: Option<PasswordClient>,
}

impl Auth {
    /// The credentials of `url`, percent-decoded.
    ///
    /// # Errors
    /// `InvalidArgument` where they are not UTF-8 or have control characters.
    pub(super) fn new(url: &url::Url) -> Result<Self> {
        let decoded = |text: &str| {
            percent_decode_str(text)
                .decode_utf8()
                .ok()
                .filter(|text| !text.chars().any(char::is_control))
                .map(|text| text.into_owned())
                .ok_or_else(|| {
                    Error::new(
                        ErrorKind::InvalidArgument,
                        OPERATION,
                        "user and password of the URL are not plain text",
                    )
                })
        };
        let named = !url.username().is_empty() || url.password().is_some();
        let credentials = named
            .then(|| Ok((decoded(url.username())?, decoded(url.password().unwrap_or_default())?)))
            .transpose()?;
        Ok(Self {
            credentials,
            challenge: None,
        })
    }

    /// The header's value for a request, once the server has asked for one.
    ///
    /// # Errors
    /// `Unsupported` where the challenge cannot be answered.
    pub(super) fn authorization(&mut self, method: &str, uri: &str) -> Result<Option<String>> {
        let (Some((username, password)), Some(challenge)) = (&self.credentials, &mut self.challenge) else {
            return Ok(None);
        };
        challenge
            .respond(&PasswordParams {
                username,
                password,
                uri,
                method,
                body: Some(&[]),
            })
            .map(Some)
            .map_err(|message| unanswerable(&message))
    }

    /// Takes the challenge of a 401.
    ///
    /// # Errors
    /// `AccessDenied` where there are no credentials, `Unsupported` where the challenge is of no known kind.
    pub(super) fn challenged(&mut self, headers: &Headers) -> Result<()> {
        if self.credentials.is_none() {
            return Err(Error::new(
                ErrorKind::AccessDenied,
                OPERATION,
                "the source asks for a user name and a password (rtsp://user:password@host/...)",
            ));
        }
        let mut builder = PasswordClient::builder();
        for challenge in headers.all("WWW-Authenticate") {
            builder = builder.challenges(challenge);
        }
        self.challenge = Some(builder.build().map_err(|message| unanswerable(&message))?);
        Ok(())
    }
}

fn unanswerable(message: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        OPERATION,
        "the source asks for a password in a way that is not served (Basic and Digest are)",
    )
    .with("detail", message.escape_debug())
}
