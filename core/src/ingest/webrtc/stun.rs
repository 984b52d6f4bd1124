//! Gets datagrams that look like STUN.
//! Gives the connectivity checks in them, and the answers of an ICE-lite agent.

use ring::hmac;
use std::net::SocketAddr;

/// Bytes of the header (RFC 8489 section 5).
const HEADER_BYTES: usize = 20;

/// `0x2112A442` (RFC 8489 section 5).
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
const ICE_CONTROLLED: u16 = 0x8029;

/// Bytes of the attribute `MESSAGE-INTEGRITY` with its head, and of `FINGERPRINT`.
const INTEGRITY_BYTES: usize = 24;
const FINGERPRINT_BYTES: usize = 8;

/// What CRC-32 is combined with for `FINGERPRINT` (RFC 8489 section 14.7).
const FINGERPRINT_XOR: u32 = 0x5354_554e;

/// Whether a datagram is for STUN (RFC 7983 section 7).
pub(super) fn is_stun(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(0..=3)) && datagram.get(4..8) == Some(&MAGIC_COOKIE)
}

/// A connectivity check (RFC 8445 section 7.2), not yet authenticated.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Check<'a> {
    datagram: &'a [u8],
    /// Where `MESSAGE-INTEGRITY` begins.
    integrity_at: usize,
    /// This side's part of `USERNAME`.
    pub(super) local_ufrag: &'a str,
    /// Whether the controlling side nominates the pair.
    pub(super) nominates: bool,
    /// Whether the other side takes itself for the controlled one, which this one is always.
    conflicts: bool,
}

impl<'a> Check<'a> {
    /// Reads a binding request with a user name and integrity; `None` for anything else.
    pub(super) fn parse(datagram: &'a [u8]) -> Option<Self> {
        if !is_stun(datagram) || be16(datagram, 0)? != BINDING_REQUEST {
            return None;
        }
        let length_bytes = usize::from(be16(datagram, 2)?);
        if length_bytes % 4 != 0 || HEADER_BYTES + length_bytes != datagram.len() {
            return None;
        }
        let mut at = HEADER_BYTES;
        let (mut local_ufrag, mut nominates, mut conflicts) = (None, false, false);
        // Nothing behind the integrity is protected by it (RFC 8489 section 14.5).
        while at < datagram.len() {
            let kind = be16(datagram, at)?;
            let value_bytes = usize::from(be16(datagram, at + 2)?);
            let value = datagram.get(at + 4..at + 4 + value_bytes)?;
            match kind {
                USERNAME => {
                    let name = std::str::from_utf8(value).ok()?;
                    local_ufrag = Some(name.split_once(':')?.0);
                }
                USE_CANDIDATE => nominates = true,
                ICE_CONTROLLED => conflicts = true,
                MESSAGE_INTEGRITY => {
                    return (value_bytes == 20).then_some(Self {
                        datagram,
                        integrity_at: at,
                        local_ufrag: local_ufrag?,
                        nominates,
                        conflicts,
                    });
                }
                _ => {}
            }
            at += 4 + value_bytes.next_multiple_of(4);
        }
        None
    }

    /// Whether it was made with `password` (RFC 8489 section 9.1.3).
    pub(super) fn is_authentic(&self, password: &str) -> bool {
        let (Some(before), Some(shown)) = (
            self.datagram.get(..self.integrity_at),
            self.datagram
                .get(self.integrity_at + 4..self.integrity_at + INTEGRITY_BYTES),
        ) else {
            return false;
        };
        hmac::verify(&key(password), &covered(before), shown).is_ok()
    }

    /// The answer to it: where it came from, or that the roles conflict (RFC 8445 section 7.3.1.1).
    /// Only to be sent where it [is authentic](Self::is_authentic).
    pub(super) fn answer(&self, from: SocketAddr, password: &str) -> Vec<u8> {
        let mut answer = Vec::with_capacity(80);
        let kind = if self.conflicts { BINDING_ERROR } else { BINDING_SUCCESS };
        answer.extend_from_slice(&kind.to_be_bytes());
        answer.extend_from_slice(&[0, 0]);
        answer.extend_from_slice(self.datagram.get(4..HEADER_BYTES).unwrap_or_default());
        if self.conflicts {
            const ROLE_CONFLICT: &[u8] = b"\0\0\x04\x57Role Conflict\0\0\0";
            attribute(&mut answer, ERROR_CODE, 17, ROLE_CONFLICT);
        } else {
            let address = xor_mapped(from, &answer);
            attribute(&mut answer, XOR_MAPPED_ADDRESS, address.len(), &address);
        }
        let tag = hmac::sign(&key(password), &covered(&answer));
        attribute(&mut answer, MESSAGE_INTEGRITY, tag.as_ref().len(), tag.as_ref());
        set_length(&mut answer, FINGERPRINT_BYTES);
        let crc = crc32fast::hash(&answer) ^ FINGERPRINT_XOR;
        attribute(&mut answer, FINGERPRINT, 4, &crc.to_be_bytes());
        set_length(&mut answer, 0);
        answer
    }

    /// Whether this answers with success, so that the address may be used.
    pub(super) fn succeeds(&self) -> bool {
        !self.conflicts
    }
}

fn key(password: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes())
}

/// What the integrity covers: all before it, with a length that ends behind it.
fn covered(before: &[u8]) -> Vec<u8> {
    let mut covered = before.to_vec();
    set_length(&mut covered, INTEGRITY_BYTES);
    covered
}

/// Writes the length of a message that is `more_bytes` longer than what is here.
fn set_length(message: &mut [u8], more_bytes: usize) {
    let length = message.len().saturating_sub(HEADER_BYTES) + more_bytes;
    let length = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&length);
    }
}

/// Adds an attribute whose value is `padded`, of which `length_bytes` count.
fn attribute(message: &mut Vec<u8>, kind: u16, length_bytes: usize, padded: &[u8]) {
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&u16::try_from(length_bytes).unwrap_or(u16::MAX).to_be_bytes());
    message.extend_from_slice(padded);
}

/// RFC 8489 section 14.2; `header` holds the cookie and the transaction's identity.
fn xor_mapped(address: SocketAddr, header: &[u8]) -> Vec<u8> {
    let mask = header.get(4..HEADER_BYTES).unwrap_or_default();
    let ip = match address.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
        std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let family = if ip.len() == 4 { 1 } else { 2 };
    let port = address.port().to_be_bytes();
    let masked = |bytes: &[u8]| -> Vec<u8> { bytes.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect() };
    [&[0, family][..], &masked(&port), &masked(&ip)].concat()
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes(pair.try_into().ok()?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A check of a publisher.
    pub(in super::super) fn request(username: &str, password: &str, nominates: bool, transaction: [u8; 12]) -> Vec<u8> {
        let mut request = vec![0, 1, 0, 0];
        request.extend_from_slice(&MAGIC_COOKIE);
        request.extend_from_slice(&transaction);
        let mut padded = username.as_bytes().to_vec();
        padded.resize(username.len().next_multiple_of(4), 0);
        attribute(&mut request, USERNAME, username.len(), &padded);
        if nominates {
            attribute(&mut request, USE_CANDIDATE, 0, &[]);
        }
        let tag = hmac::sign(&key(password), &covered(&request));
        attribute(&mut request, MESSAGE_INTEGRITY, 20, tag.as_ref());
        set_length(&mut request, 0);
        request
    }

    /// RFC 5769 section 2.1: user name `evtj:h6vY`, password `VOkJxbRl1RmTxUk/WvJxBt`.
    const SAMPLE: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74\
                          002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020\
                          000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf";

    #[test]
    fn a_published_check_is_authentic_and_a_changed_one_is_not() {
        let mut sample = hex::decode(SAMPLE).unwrap();
        let check = Check::parse(&sample).unwrap();
        assert_eq!(check.local_ufrag, "evtj");
        assert!(check.is_authentic("VOkJxbRl1RmTxUk/WvJxBt"));
        assert!(!check.is_authentic("VOkJxbRl1RmTxUk/WvJxBu"));
        assert!(!check.nominates);
        assert!(!check.succeeds(), "the sample says ICE-CONTROLLED");
        sample[45] ^= 1;
        assert!(!Check::parse(&sample).unwrap().is_authentic("VOkJxbRl1RmTxUk/WvJxBt"));
    }

    #[test]
    fn answers_tell_the_address_under_integrity_and_fingerprint() {
        let request = request("us:th", "secret", true, [7; 12]);
        let check = Check::parse(&request).unwrap();
        assert!(check.nominates && check.succeeds() && check.is_authentic("secret"));
        let answer = check.answer("192.0.2.1:32853".parse().unwrap(), "secret");
        assert_eq!(be16(&answer, 0), Some(BINDING_SUCCESS));
        assert_eq!(usize::from(be16(&answer, 2).unwrap()) + HEADER_BYTES, answer.len());
        // RFC 5769 section 2.2 has the same address.
        assert_eq!(&answer[24..32], hex::decode("0001a147e112a643").unwrap());
        let crc_at = answer.len() - 4;
        let crc = crc32fast::hash(&answer[..crc_at - 4]) ^ FINGERPRINT_XOR;
        assert_eq!(&answer[crc_at..], crc.to_be_bytes());
    }

    #[test]
    fn cut_and_changed_checks_are_read_without_harm() {
        let sample = hex::decode(SAMPLE).unwrap();
        for end in 0..sample.len() {
            assert_eq!(Check::parse(&sample[..end]), None);
        }
        for at in 0..sample.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = sample.clone();
                changed[at] = value;
                if let Some(check) = Check::parse(&changed) {
                    let _ = check.is_authentic("x");
                    let _ = check.answer("[::1]:1".parse().unwrap(), "x");
                }
            }
        }
    }
}
