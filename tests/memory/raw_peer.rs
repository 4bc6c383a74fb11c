//! A viewer of one UDP socket that passes the connectivity checks and then sends whatever it likes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rtc::crypto::default_provider;
use rtc::stun::attributes::ATTR_USERNAME;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{BINDING_REQUEST, Message, Setter as _};
use tokio::net::UdpSocket;

use super::common::{OFFER, Porthole, request};

/// How long the answer to a check may take. A session that has ended gives none.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

pub struct RawPeer {
    /// The URL of its session.
    pub session: String,
    socket: UdpSocket,
    to: SocketAddr,
    ufrag: String,
    password: String,
}

impl RawPeer {
    /// Posts an offer as the DTLS client, and has one check answered.
    pub async fn connect(porthole: &Porthole) -> Result<Self> {
        let offer = OFFER.replace("a=setup:actpass", "a=setup:active");
        let url = format!("{}whep", porthole.base);
        let response = request("POST", &url, &[("content-type", "application/sdp")], offer).await?;
        ensure!(response.status == 201, "{} {}", response.status, response.body);
        let location = response.header("location").context("no Location")?;
        let line = |start: &str| response.body.lines().find_map(|line| line.strip_prefix(start)).map(str::to_owned);
        let udp =
            |line: &&str| line.starts_with("a=candidate:") && line.contains(" udp ") && line.contains(" 127.0.0.1 ");
        let candidate = response.body.lines().find(udp).context("no candidate")?;
        let port = candidate.split(' ').nth(5).context("no port")?.parse()?;
        let this = Self {
            session: format!("{}{location}", porthole.base),
            socket: UdpSocket::bind("127.0.0.1:0").await?,
            to: SocketAddr::from(([127, 0, 0, 1], port)),
            ufrag: line("a=ice-ufrag:").context("no ufrag")?,
            password: line("a=ice-pwd:").context("no password")?,
        };
        ensure!(this.is_served().await?, "the check was not answered");
        Ok(this)
    }

    pub async fn send(&self, datagram: &[u8]) -> Result<()> {
        self.socket.send_to(datagram, self.to).await?;
        Ok(())
    }

    /// Whether a check is answered, by when the session has read everything that was sent before.
    pub async fn is_served(&self) -> Result<bool> {
        let mut check = Message { typ: BINDING_REQUEST, ..Message::new() };
        check.new_transaction_id()?;
        check.write_header();
        check.add(ATTR_USERNAME, format!("{}:abcd", self.ufrag).as_bytes());
        let crypto = default_provider()?;
        MessageIntegrity::new_short_term_integrity_with_provider(self.password.clone(), crypto.crypto())
            .add_to(&mut check)?;
        self.send(&check.raw).await?;
        let answered = async {
            let mut buffer = [0; 2_048];
            loop {
                let (length, _) = self.socket.recv_from(&mut buffer).await?;
                // The first byte of a success response, and its transaction.
                if length >= 20 && buffer[0] == 1 && buffer[8..20] == check.raw[8..20] {
                    return Ok(());
                }
            }
        };
        match tokio::time::timeout(ANSWER_LIMIT, answered).await {
            Ok(answered) => answered.map(|()| true),
            Err(_) => Ok(false),
        }
    }
}
