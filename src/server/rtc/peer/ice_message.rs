//! The STUN messages of an ICE agent (RFC 8445 section 7): checks, their responses, and what is read of both. Pure.

use std::net::SocketAddr;

use rtc::crypto::RTCCrypto;
use rtc::stun::attributes::{
    ATTR_ICE_CONTROLLED, ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME,
};
use rtc::stun::error_code::CODE_ROLE_CONFLICT;
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{
    BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, Message, MessageType, Setter as _, TransactionId,
};
use rtc::stun::xoraddr::XorMappedAddress;

/// The priority that our checks name for a peer-reflexive candidate (RFC 8445 section 5.1.2.1): preference 110 of its
/// type, the highest local one, component 1.
const PEER_REFLEXIVE_PRIORITY: u32 = (110 << 24) | (0xffff << 8) | 255;

/// The agent's role (RFC 8445 section 6.1.1), with its tie-breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IceRole {
    /// The other side nominates the path.
    Controlled(u64),
    /// We nominate it.
    Controlling(u64),
}

/// What to send in a check.
pub struct CheckRequest<'a> {
    /// Names the check.
    pub id: TransactionId,
    /// The other side's username fragment and ours, with a colon between them.
    pub username: &'a str,
    /// The password of the other side.
    pub password: &'a str,
    /// Our role.
    pub role: IceRole,
    /// Whether the check nominates its path.
    pub nominates: bool,
}

impl CheckRequest<'_> {
    /// The message.
    pub fn write(&self, crypto: &dyn RTCCrypto) -> Option<Vec<u8>> {
        let mut message = begin(BINDING_REQUEST, self.id);
        message.add(ATTR_USERNAME, self.username.as_bytes());
        message.add(ATTR_PRIORITY, &PEER_REFLEXIVE_PRIORITY.to_be_bytes());
        match self.role {
            IceRole::Controlled(tie_breaker) => message.add(ATTR_ICE_CONTROLLED, &tie_breaker.to_be_bytes()),
            IceRole::Controlling(tie_breaker) => message.add(ATTR_ICE_CONTROLLING, &tie_breaker.to_be_bytes()),
        }
        if self.nominates {
            message.add(ATTR_USE_CANDIDATE, &[]);
        }
        sign(message, self.password, crypto)
    }
}

/// The response to a check that was received from `from`; `password` is ours.
pub fn success(id: TransactionId, from: SocketAddr, password: &str, crypto: &dyn RTCCrypto) -> Option<Vec<u8>> {
    let mut message = begin(BINDING_SUCCESS, id);
    XorMappedAddress { ip: from.ip(), port: from.port() }.add_to(&mut message).ok()?;
    sign(message, password, crypto)
}

/// The response to a check from an agent that has our own role (RFC 8445 section 7.3.1.1).
pub fn role_conflict(id: TransactionId, password: &str, crypto: &dyn RTCCrypto) -> Option<Vec<u8>> {
    let mut message = begin(BINDING_ERROR, id);
    CODE_ROLE_CONFLICT.add_to(&mut message).ok()?;
    sign(message, password, crypto)
}

/// Parses a message; `None` if it is malformed.
pub fn parse(datagram: &[u8]) -> Option<Message> {
    let mut message = Message { raw: datagram.to_vec(), ..Default::default() };
    message.decode().ok()?;
    Some(message)
}

/// The username of a check.
pub fn username(message: &Message) -> Option<String> {
    String::from_utf8(message.get(ATTR_USERNAME).ok()?).ok()
}

/// Whether a check nominates its path.
pub fn nominates(message: &Message) -> bool {
    message.contains(ATTR_USE_CANDIDATE)
}

/// Whether the sender of a check has this role, too.
pub fn conflicts(message: &Message, role: IceRole) -> bool {
    message.contains(match role {
        IceRole::Controlled(_) => ATTR_ICE_CONTROLLED,
        IceRole::Controlling(_) => ATTR_ICE_CONTROLLING,
    })
}

/// Whether a message is signed with this password.
pub fn is_authentic(message: &mut Message, password: &str, crypto: &dyn RTCCrypto) -> bool {
    MessageIntegrity::check(message, password.as_bytes(), crypto).is_ok()
}

fn begin(typ: MessageType, id: TransactionId) -> Message {
    let mut message = Message { typ, transaction_id: id, ..Message::new() };
    message.write_header();
    message
}

fn sign(mut message: Message, password: &str, crypto: &dyn RTCCrypto) -> Option<Vec<u8>> {
    MessageIntegrity::new_short_term_integrity_with_provider(password.into(), crypto).add_to(&mut message).ok()?;
    FINGERPRINT.add_to(&mut message).ok()?;
    Some(message.raw)
}
