//! Gets the DTLS datagrams of a session, and SRTP and SRTCP packets.
//! Gives what to send back, and the packets in the clear once the publisher has proved who it is.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use rtc::crypto::{RTCCryptoProvider, default_provider};
use rtc::dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc::dtls::crypto::Certificate;
use rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::dtls::state::State;
use rtc::shared::TransportProtocol;
use rtc::srtp::config::{Config, LABEL_EXTRACTOR_DTLS_SRTP};
use rtc::srtp::context::Context;
use rtc::srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use rtc::srtp::protection_profile::ProtectionProfile;

use super::offer::Fingerprint;
use crate::media::{Error, ErrorKind, Result};

/// Addresses change under a session (RFC 8445 section 9); DTLS is told of this one always.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// Packets behind the newest that are still taken: resent ones come late, half a second at 8,000 a second.
const REPLAY_WINDOW: usize = 4096;

/// Sources that a session may have keys for: forged packets of others must not grow memory.
const MAX_SOURCES: usize = 64;

/// Packets of unknown sources that may fail to decrypt before no new source is let in any more.
const MAX_FORGED: usize = 1024;

/// The certificate of this side, made anew for each server: its fingerprint is in every answer, so
/// nothing has to know it beforehand.
pub(super) struct Identity {
    certificate: Certificate,
    provider: Arc<dyn RTCCryptoProvider>,
    /// SHA-256 of it, in the form of SDP.
    pub(super) fingerprint: String,
}

impl Identity {
    /// # Errors
    /// `Internal` where no certificate can be made.
    pub(super) fn random() -> Result<Self> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Internal, "make a DTLS certificate", error.to_string())
        };
        let provider = default_provider().map_err(|error| failed(&error))?;
        let certificate = Certificate::generate_self_signed(vec!["livereel".to_owned()], provider.crypto())
            .map_err(|error| failed(&error))?;
        let der = certificate
            .certificate
            .first()
            .ok_or_else(|| failed(&"there is none"))?;
        let digest = ring::digest::digest(&ring::digest::SHA256, der);
        let pairs: Vec<_> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        Ok(Self {
            certificate,
            provider,
            fingerprint: pairs.join(":"),
        })
    }
}

/// What a datagram brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing to tell.
    Nothing,
    /// The handshake is over: media can flow.
    Connected,
    /// The publisher closed the connection.
    Closed,
}

/// A DTLS association and the keys that came of it.
pub(super) struct Secure {
    endpoint: Endpoint,
    /// What to begin the handshake with, where this side does.
    begin: Option<Arc<HandshakeConfig>>,
    provider: Arc<dyn RTCCryptoProvider>,
    keys: Option<Keys>,
}

struct Keys {
    inbound: Context,
    outbound: Context,
    sources: Vec<u32>,
    forged: usize,
}

impl Secure {
    /// An association with whoever has one of the certificates.
    ///
    /// # Errors
    /// `Internal` where DTLS cannot be set up.
    pub(super) fn new(identity: &Identity, fingerprints: Vec<Fingerprint>, active: bool) -> Result<Self> {
        let config = ConfigBuilder::default()
            .with_crypto_provider(Arc::clone(&identity.provider))
            .with_certificates(vec![identity.certificate.clone()])
            .with_srtp_protection_profiles(vec![
                SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
                SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
                SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
            ])
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            // No authority signed it: the fingerprint below is what counts.
            .with_insecure_skip_verify(true)
            .with_verify_peer_certificate(Some(Arc::new(move |certificates: &[Vec<u8>], _: &[_]| {
                let shown = certificates
                    .first()
                    .ok_or(rtc::shared::error::Error::ErrNonCertificate)?;
                let matches =
                    |expected: &Fingerprint| ring::digest::digest(expected.algorithm, shown).as_ref() == expected.value;
                if fingerprints.iter().any(matches) {
                    return Ok(());
                }
                Err(rtc::shared::error::Error::ErrNoMatchingCertificateFingerprint)
            })))
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .build(active, Some(PEER))
            .map_err(|error| failed(&error))?;
        let config = Arc::new(config);
        let (begin, accept) = if active {
            (Some(config), None)
        } else {
            (None, Some(config))
        };
        Ok(Self {
            endpoint: Endpoint::new(PEER, TransportProtocol::UDP, accept),
            begin,
            provider: Arc::clone(&identity.provider),
            keys: None,
        })
    }

    /// Begins the handshake where that is for this side, as soon as the publisher can be reached.
    ///
    /// # Errors
    /// `Internal` where there is no randomness.
    pub(super) fn reachable(&mut self, now: Instant) -> Result<()> {
        let Some(config) = self.begin.take() else {
            return Ok(());
        };
        self.endpoint
            .connect(now, PEER, config, None)
            .map_err(|error| failed(&error))
    }

    /// Takes a DTLS datagram.
    ///
    /// # Errors
    /// `Malformed` for a datagram that is to be ignored, `AccessDenied` where the association is over:
    /// another certificate than the offer's, or no keys.
    pub(super) fn datagram(&mut self, datagram: &[u8], now: Instant) -> Result<Progress> {
        let events = self
            .endpoint
            .read(now, PEER, None, BytesMut::from(datagram))
            .map_err(|error| {
                let over = matches!(error, rtc::shared::error::Error::ErrNoMatchingCertificateFingerprint);
                let kind = if over {
                    ErrorKind::AccessDenied
                } else {
                    ErrorKind::Malformed
                };
                Error::new(kind, "read a DTLS datagram", error.to_string())
            })?;
        let mut progress = Progress::Nothing;
        for event in events {
            match event {
                EndpointEvent::HandshakeComplete => {
                    let state = self.endpoint.get_connection_state(PEER);
                    let keys = state.map(|state| self.derive(state)).transpose()?;
                    self.keys = keys;
                    progress = Progress::Connected;
                }
                EndpointEvent::PeerClosed => progress = Progress::Closed,
                // Data channels are refused in the answer.
                _ => {}
            }
        }
        Ok(progress)
    }

    /// When [`timeout`](Self::timeout) is to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.endpoint.poll_timeout(&PEER)
    }

    /// Sends again what was not answered.
    ///
    /// # Errors
    /// `AccessDenied` where it was sent often enough.
    pub(super) fn timeout(&mut self, now: Instant) -> Result<()> {
        if self.deadline().is_none() {
            return Ok(());
        }
        self.endpoint
            .handle_timeout(PEER, now)
            .map_err(|error| Error::new(ErrorKind::AccessDenied, "repeat a DTLS flight", error.to_string()))
    }

    /// Tells the publisher that it is over.
    pub(super) fn close(&mut self, now: Instant) {
        // It only queues an alert.
        let _ = self.endpoint.close(now);
    }

    /// The next datagram to send.
    pub(super) fn outgoing(&mut self) -> Option<BytesMut> {
        self.endpoint.poll_transmit().map(|transmit| transmit.message)
    }

    pub(super) fn is_connected(&self) -> bool {
        self.keys.is_some()
    }

    /// RFC 5764 section 4.2.
    fn derive(&self, state: &State) -> Result<Keys> {
        let profile = match state.srtp_protection_profile() {
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => ProtectionProfile::AeadAes128Gcm,
            SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm => ProtectionProfile::AeadAes256Gcm,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
            _ => {
                let message = "the publisher takes none of the SRTP profiles";
                return Err(Error::new(ErrorKind::AccessDenied, "agree on SRTP keys", message));
            }
        };
        let denied = |error: rtc::shared::error::Error| {
            Error::new(ErrorKind::AccessDenied, "agree on SRTP keys", error.to_string())
        };
        let mut config = Config {
            profile,
            ..Config::default()
        };
        let material = state
            .export_keying_material(LABEL_EXTRACTOR_DTLS_SRTP, &[], config.keying_material_len())
            .map_err(denied)?;
        config
            .set_session_keys_from_keying_material(material.as_ref(), state.is_client())
            .map_err(denied)?;
        let (keys, crypto) = (&config.keys, self.provider.crypto());
        let inbound = Context::new(
            &keys.remote_master_key,
            &keys.remote_master_salt,
            profile,
            Some(srtp_replay_protection(REPLAY_WINDOW)),
            Some(srtcp_replay_protection(REPLAY_WINDOW)),
            crypto,
        );
        let outbound = Context::new(
            &keys.local_master_key,
            &keys.local_master_salt,
            profile,
            None,
            None,
            crypto,
        );
        Ok(Keys {
            inbound: inbound.map_err(denied)?,
            outbound: outbound.map_err(denied)?,
            sources: Vec::new(),
            forged: 0,
        })
    }

    /// An RTP packet in the clear; `None` for one that is forged, repeated or too early.
    pub(super) fn open_rtp(&mut self, packet: &[u8]) -> Option<Bytes> {
        let source = be32(packet, 8)?;
        self.keys
            .as_mut()?
            .open(source, |context| context.decrypt_rtp(packet).ok())
    }

    /// A compound RTCP packet in the clear; likewise.
    pub(super) fn open_rtcp(&mut self, packet: &[u8]) -> Option<Bytes> {
        let source = be32(packet, 4)?;
        self.keys
            .as_mut()?
            .open(source, |context| context.decrypt_rtcp(packet).ok())
    }

    /// An RTCP packet as it may be sent; `None` before there are keys.
    pub(super) fn seal_rtcp(&mut self, packet: &[u8]) -> Option<BytesMut> {
        self.keys.as_mut()?.outbound.encrypt_rtcp(packet).ok()
    }
}

#[cfg(test)]
impl Secure {
    /// As a publisher does.
    pub(super) fn seal_rtp(&mut self, packet: &[u8]) -> BytesMut {
        self.keys.as_mut().unwrap().outbound.encrypt_rtp(packet).unwrap()
    }
}

impl Keys {
    /// The library keeps a window for every source that it hears of, forged or not: count them.
    fn open(&mut self, source: u32, open: impl FnOnce(&mut Context) -> Option<BytesMut>) -> Option<Bytes> {
        let known = self.sources.contains(&source);
        if !known && (self.sources.len() >= MAX_SOURCES || self.forged >= MAX_FORGED) {
            return None;
        }
        let opened = open(&mut self.inbound);
        if !known {
            match opened {
                Some(_) => self.sources.push(source),
                None => self.forged += 1,
            }
        }
        opened.map(BytesMut::freeze)
    }
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, "set up DTLS", error.to_string())
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
