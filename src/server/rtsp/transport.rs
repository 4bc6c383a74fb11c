//! The `Transport` header (RFC 2326 section 12.39): how a client wants the packets of a track, and the answer. Pure.
//!
//! Parsed here, because what `rtsp_types` parses of it can panic (an address in quotes that is a quotation mark).

use std::fmt;

/// How a track is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// On the connection of the requests, on these channels for packets and for reports.
    Interleaved {
        /// The channel of its packets.
        rtp: u8,
        /// The channel of its reports.
        rtcp: u8,
    },
    /// To these UDP ports of the client.
    Udp {
        /// The port for its packets.
        rtp: u16,
        /// The port for its reports.
        rtcp: u16,
    },
}

/// The first port that a program may use without privileges. What is sent to a lower one would be to a service of the client.
const FIRST_PORT: u16 = 1024;

impl Delivery {
    /// This way, on other channels if those are taken by the other track.
    pub fn besides(self, taken: Option<(u8, u8)>) -> Self {
        let is_free = |way: &Self| match (way, taken) {
            (Self::Interleaved { rtp, rtcp }, Some((one, other))) => {
                ![one, other].iter().any(|at| at == rtp || at == rtcp)
            }
            (Self::Interleaved { .. }, None) | (Self::Udp { .. }, _) => true,
        };
        // Two channels overlap with two pairs at most.
        let pairs = [0, 2, 4].map(|rtp| Self::Interleaved { rtp, rtcp: rtp + 1 });
        [self].into_iter().chain(pairs).find(is_free).unwrap_or(self)
    }
}

/// The first of the ways in a `Transport` header, which are in order of preference, that we can go. `channel` is the one for
/// clients that name none.
pub fn choose(header: &str, channel: u8) -> Option<Delivery> {
    header.split(',').find_map(|transport| parse(transport, channel))
}

fn parse(transport: &str, channel: u8) -> Option<Delivery> {
    let mut parts = transport.split(';').map(str::trim);
    let is_tcp = match parts.next()?.to_ascii_uppercase().as_str() {
        "RTP/AVP" | "RTP/AVP/UDP" => false,
        "RTP/AVP/TCP" => true,
        _ => return None,
    };
    let (mut pair, mut is_multicast) = (None, false);
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "multicast" => is_multicast = true,
            "interleaved" if is_tcp => pair = Some(numbers(value)?),
            "client_port" if !is_tcp => pair = Some(numbers(value)?),
            "mode" if !value.trim_matches('"').eq_ignore_ascii_case("play") => return None,
            _ => {}
        }
    }
    match (is_tcp, pair) {
        (true, pair) => {
            let (rtp, rtcp) = pair.unwrap_or((channel.into(), u16::from(channel) + 1));
            let (rtp, rtcp) = (rtp.try_into().ok()?, rtcp.try_into().ok()?);
            (rtp != rtcp).then_some(Delivery::Interleaved { rtp, rtcp })
        }
        (false, Some((rtp, rtcp))) if !is_multicast && rtp >= FIRST_PORT && rtcp >= FIRST_PORT => {
            Some(Delivery::Udp { rtp, rtcp })
        }
        (false, _) => None,
    }
}

/// A pair such as `4588-4589`; of a single number also the one after it.
fn numbers(text: &str) -> Option<(u16, u16)> {
    let (first, second) = match text.split_once('-') {
        Some((first, second)) => (first.trim().parse().ok()?, second.trim().parse().ok()?),
        None => {
            let first: u16 = text.trim().parse().ok()?;
            (first, first.checked_add(1)?)
        }
    };
    Some((first, second))
}

/// How a track is sent, as the answer to SETUP names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptedTransport {
    /// The way.
    pub delivery: Delivery,
    /// Our UDP ports for packets and reports, if it is UDP.
    pub server_ports: Option<(u16, u16)>,
    /// The synchronisation source.
    pub ssrc: u32,
}

impl fmt::Display for AcceptedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.delivery {
            Delivery::Interleaved { rtp, rtcp } => write!(f, "RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}")?,
            Delivery::Udp { rtp, rtcp } => write!(f, "RTP/AVP;unicast;client_port={rtp}-{rtcp}")?,
        }
        if let Some((rtp, rtcp)) = self.server_ports {
            write!(f, ";server_port={rtp}-{rtcp}")?;
        }
        write!(f, ";ssrc={:08X};mode=\"PLAY\"", self.ssrc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_way_that_is_possible_is_chosen() {
        let udp = |rtp, rtcp| Some(Delivery::Udp { rtp, rtcp });
        let interleaved = |rtp, rtcp| Some(Delivery::Interleaved { rtp, rtcp });
        for (header, expected) in [
            // ffmpeg, VLC, GStreamer, go2rtc.
            ("RTP/AVP/UDP;unicast;client_port=20000-20001", udp(20_000, 20_001)),
            ("RTP/AVP;unicast;client_port=58464-58465", udp(58_464, 58_465)),
            ("RTP/AVP/TCP;unicast;interleaved=2-3", interleaved(2, 3)),
            (
                "RTP/AVPF;unicast;client_port=1-2, RTP/AVP;multicast, rtp/avp/tcp ; Interleaved = 8 - 9",
                interleaved(8, 9),
            ),
            ("RTP/AVP;unicast;client_port=20000-20001,RTP/AVP/TCP;unicast;interleaved=0-1", udp(20_000, 20_001)),
            ("RTP/AVP/TCP;unicast;mode=play", interleaved(4, 5)),
            ("RTP/AVP/TCP;interleaved=255", None),
            ("RTP/AVP;client_port=65534;mode=\"PLAY\";destination=192.0.2.1", udp(65_534, 65_535)),
            ("RTP/AVP;client_port=65535", None),
            ("RTP/AVP;client_port=0-1", None),
            ("RTP/AVP;client_port=1024-1023", None),
            ("RTP/AVP;client_port=53-54,RTP/AVP/TCP;interleaved=6-7", interleaved(6, 7)),
            ("RTP/AVP;multicast;client_port=5000-5001", None),
            ("RTP/AVP;unicast", None),
            ("RTP/AVP/TCP;interleaved=1-1", None),
            ("RTP/AVP/TCP;interleaved=256-257", None),
            ("RTP/AVP/TCP;interleaved=0-1;mode=record", None),
            ("RTP/SAVP;unicast;client_port=1-2", None),
            ("RTP/AVP;dest_addr=\"/\"", None),
            ("", None),
        ] {
            assert_eq!(choose(header, 4), expected, "{header}");
        }
    }

    #[test]
    fn channels_of_the_other_track_are_not_used_again() {
        let way = |rtp, rtcp| Delivery::Interleaved { rtp, rtcp };
        for (wanted, taken, expected) in [
            (way(2, 3), Some((0, 1)), way(2, 3)),
            (way(0, 1), Some((0, 1)), way(2, 3)),
            (way(1, 2), Some((0, 1)), way(2, 3)),
            (way(9, 2), Some((1, 2)), way(4, 5)),
            (way(3, 2), Some((2, 3)), way(0, 1)),
            (way(0, 1), None, way(0, 1)),
            (Delivery::Udp { rtp: 2_000, rtcp: 2_001 }, Some((0, 1)), Delivery::Udp { rtp: 2_000, rtcp: 2_001 }),
        ] {
            assert_eq!(wanted.besides(taken), expected, "{wanted:?} {taken:?}");
        }
    }

    #[test]
    fn the_answer_names_both_ends() {
        let accepted = |delivery, server_ports| AcceptedTransport { delivery, server_ports, ssrc: 0xab_cd }.to_string();
        assert_eq!(
            accepted(Delivery::Udp { rtp: 20_000, rtcp: 20_001 }, Some((30_000, 30_001))),
            "RTP/AVP;unicast;client_port=20000-20001;server_port=30000-30001;ssrc=0000ABCD;mode=\"PLAY\""
        );
        assert_eq!(
            accepted(Delivery::Interleaved { rtp: 0, rtcp: 1 }, None),
            "RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=0000ABCD;mode=\"PLAY\""
        );
    }
}
