//! The ICE sessions of one peer connection: trickled candidates, and restarts, by which the viewer comes back on
//! another network path (RFC 8445 section 2.4, RFC 9725 section 4.3.3).
//!
//! webrtc-rs restarts ICE when it is given another offer on the same connection: the original one, with other
//! credentials. Which candidates we offer is decided in `ice`.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::Semaphore;
use webrtc::peer_connection::{PeerConnection, RTCIceCandidateInit, RTCSessionDescription};

use super::Ice;
use super::remote_candidate::RemoteCandidates;
use crate::server::rtc::error::RestartError;
use crate::server::rtc::mux::{Credentials, VirtualSocket};
use crate::server::rtc::negotiation;
use crate::server::rtc::sdp::trickle::{self, RemoteIce, TrickledCandidate};
use crate::server::rtc::sdp::{candidates, sections};
use crate::server::sessions::random_id;
use crate::util::lock::{Mutex, MutexGuard};

/// A restarted ICE session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restarted {
    /// Its ETag, for `If-Match`.
    pub etag: String,
    /// The fragment with our new credentials and candidates.
    pub fragment: String,
}

/// The current ICE session of a peer connection.
pub struct IceSession {
    connection: Arc<dyn PeerConnection>,
    socket: VirtualSocket,
    ice: Ice,
    /// The viewer's offer.
    offer: String,
    /// Our answer to it.
    answer: String,
    state: Mutex<IceSessionState>,
    /// Serialises restarts.
    restart_lock: Semaphore,
}

/// What a restart replaces.
struct IceSessionState {
    etag: String,
    /// The local address that its request was received on.
    local_addr: IpAddr,
    /// The number of restarts.
    restarts: u64,
    theirs: Credentials,
    ours: Credentials,
    accepted: RemoteCandidates,
}

impl IceSession {
    /// The first ICE session, of an `offer` that was received on `local_addr` and its `answer`. Its checks are routed
    /// to `socket`.
    ///
    /// # Errors
    ///
    /// If one of them has no ICE credentials.
    pub fn new(
        connection: Arc<dyn PeerConnection>,
        socket: VirtualSocket,
        ice: Ice,
        offer: String,
        answer: String,
        local_addr: IpAddr,
    ) -> anyhow::Result<Self> {
        let theirs = Credentials::of(&offer).context("the offer has no ICE credentials")?;
        let ours = Credentials::of(&answer).context("the answer has no ICE credentials")?;
        socket.register_ufrag(ours.clone());
        let state = IceSessionState {
            etag: random_id(),
            local_addr,
            restarts: 0,
            theirs,
            ours,
            accepted: RemoteCandidates::default(),
        };
        let state = Mutex::new(state);
        Ok(Self { connection, socket, ice, offer, answer, state, restart_lock: Semaphore::new(1) })
    }

    /// The ETag of the current ICE session, for `If-Match`.
    pub fn etag(&self) -> String {
        self.state().etag.clone()
    }

    /// The ETag, if ICE was never restarted and these are the offer's credentials.
    pub fn etag_of_offer(&self, remote: &RemoteIce) -> Option<String> {
        let state = self.state();
        let theirs = &state.theirs;
        let same = state.restarts == 0 && theirs.ufrag == remote.ufrag && theirs.password == remote.pwd;
        same.then(|| state.etag.clone())
    }

    /// Adds candidates of the viewer. Those that can't be used are skipped silently.
    pub async fn add_candidates(&self, candidates: &[TrickledCandidate]) {
        for candidate in self.accept(candidates) {
            let candidate = RTCIceCandidateInit { candidate, ..Default::default() };
            if let Err(error) = self.connection.add_ice_candidate(candidate).await {
                tracing::debug!("candidate not used: {error}");
            }
        }
    }

    /// The candidates that are accepted, in the form that the library parses.
    fn accept(&self, candidates: &[TrickledCandidate]) -> Vec<String> {
        let ours = self.ice.locals();
        let mut state = self.state();
        let local_addr = state.local_addr;
        // All sections share one transport. A viewer that does not know so yet has candidates for each of them.
        let used = candidates.iter().filter(|candidate| match &candidate.mid {
            Some(mid) => !sections::is_bundled(&self.answer, mid),
            None => true,
        });
        used.filter_map(|candidate| state.accepted.accept(&candidate.candidate, local_addr, &ours))
            .map(|remote| remote.to_string())
            .collect()
    }

    /// Restarts ICE with the viewer's new credentials, for a request received on `local_addr`. If it is the current ICE
    /// session already, the reply is repeated: the first one may have been lost.
    ///
    /// # Errors
    ///
    /// See [`RestartError`].
    pub async fn restart(&self, remote: &RemoteIce, local_addr: IpAddr) -> Result<Restarted, RestartError> {
        let theirs = credentials(remote)?;
        let gone = |_| RestartError::Failed(anyhow::anyhow!("the session is ending"));
        let _permit = self.restart_lock.acquire().await.map_err(gone)?;
        // Gathered before the library gives up its current path.
        let candidates = self.ice.candidates(local_addr).await;
        if self.state().theirs != theirs {
            self.negotiate(theirs, local_addr).await.map_err(RestartError::Failed)?;
        }
        self.add_candidates(&remote.candidates).await;
        let state = self.state();
        let fragment = trickle::write_fragment(&self.answer, &state.ours.ufrag, &state.ours.password, &candidates);
        Ok(Restarted { etag: state.etag.clone(), fragment })
    }

    /// Makes the library restart ICE.
    async fn negotiate(&self, theirs: Credentials, local_addr: IpAddr) -> anyhow::Result<()> {
        let (restarts, former) = {
            let mut state = self.state();
            // A version is never reused, even if the library rejects the offer.
            state.restarts += 1;
            (state.restarts, state.ours.clone())
        };
        let offer = RTCSessionDescription::offer(renew_offer(&self.offer, &theirs, restarts))?;
        self.connection.set_remote_description(offer).await?;
        negotiation::answer(self.connection.as_ref()).await?;
        let local = self.connection.local_description().await.context("the connection has no local description")?;
        let ours = Credentials::of(&local.sdp).context("the local description has no ICE credentials")?;
        anyhow::ensure!(ours.ufrag != former.ufrag, "webrtc-rs has kept its ICE session");
        // Checks of the previous ICE session are routed until the viewer has given it up; older ones are not.
        self.socket.retain_ufrag(&former.ufrag);
        self.socket.register_ufrag(ours.clone());
        let mut state = self.state();
        *state = IceSessionState {
            etag: random_id(),
            local_addr,
            restarts,
            theirs,
            ours,
            accepted: RemoteCandidates::default(),
        };
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, IceSessionState> {
        self.state.lock()
    }
}

/// The viewer's credentials, if they are valid (RFC 8839 section 5.4).
fn credentials(remote: &RemoteIce) -> Result<Credentials, RestartError> {
    let ice_char = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let is_valid = |text: &str, min: usize| (min..=256).contains(&text.len()) && text.bytes().all(ice_char);
    if !is_valid(&remote.ufrag, 4) {
        return Err(RestartError::Credentials("ice-ufrag", "4 to 256"));
    }
    if !is_valid(&remote.pwd, 22) {
        return Err(RestartError::Credentials("ice-pwd", "22 to 256"));
    }
    Ok(Credentials { ufrag: remote.ufrag.clone(), password: remote.pwd.clone() })
}

/// The offer with other credentials, without candidates, and with its version increased by `restarts` (RFC 3264 section
/// 8).
fn renew_offer(offer: &str, theirs: &Credentials, restarts: u64) -> String {
    let lines = offer.lines().map(|line| {
        let line = line.trim_end();
        if line.starts_with("a=ice-ufrag:") {
            format!("a=ice-ufrag:{}\r\n", theirs.ufrag)
        } else if line.starts_with("a=ice-pwd:") {
            format!("a=ice-pwd:{}\r\n", theirs.password)
        } else if let Some(origin) = line.strip_prefix("o=") {
            // o=<username> <sess-id> <sess-version> <nettype> <addrtype> <unicast-address> (RFC 8866 section 5.2)
            let raise_version = |(place, word): (usize, &str)| match word.parse::<u64>() {
                Ok(version) if place == 2 => version.wrapping_add(restarts).to_string(),
                _ => word.to_owned(),
            };
            let words: Vec<String> = origin.split(' ').enumerate().map(raise_version).collect();
            format!("o={}\r\n", words.join(" "))
        } else {
            format!("{line}\r\n")
        }
    });
    candidates::replace_candidates(&lines.collect::<String>(), &[])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_offer_is_renewed_with_other_credentials_and_no_candidates() {
        let offer = "v=0\r\no=- 46117314 18446744073709551615 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
                     m=video 9 UDP/TLS/RTP/SAVPF 97\r\na=candidate:1 1 udp 1 192.0.2.1 5000 typ host\r\na=mid:0\r\n\
                     a=ice-ufrag:old\r\na=ice-pwd:old\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:1\r\n\
                     a=ice-ufrag:old\r\na=ice-pwd:old\r\na=end-of-candidates\r\n";
        let theirs = Credentials { ufrag: "new+".into(), password: "word".into() };
        assert_eq!(
            renew_offer(offer, &theirs, 2),
            "v=0\r\no=- 46117314 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
             m=video 9 UDP/TLS/RTP/SAVPF 97\r\na=mid:0\r\na=ice-ufrag:new+\r\na=ice-pwd:word\r\n\
             m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:1\r\na=ice-ufrag:new+\r\na=ice-pwd:word\r\n"
        );
    }

    #[test]
    fn credentials_have_their_length_and_letters() {
        let read = |ufrag: &str, pwd: &str| {
            let remote = RemoteIce { ufrag: ufrag.into(), pwd: pwd.into(), candidates: Vec::new() };
            credentials(&remote).map(|credentials| credentials.ufrag).map_err(|error| error.to_string())
        };
        let pwd = "vw5LmwG4y/e6dPP/zAP9Gp5k";
        assert_eq!(read("ysXw", pwd).as_deref(), Ok("ysXw"));
        for (ufrag, pwd, words) in [
            ("ysX", pwd, "ice-ufrag"),
            (&*"y".repeat(257), pwd, "ice-ufrag"),
            ("ysX w", pwd, "ice-ufrag"),
            ("ysXw\r\na=x", pwd, "ice-ufrag"),
            ("ysXw", &pwd[..21], "ice-pwd"),
            ("ysXw", &*"y".repeat(257), "ice-pwd"),
            ("ysXw", "vw5LmwG4y/e6dPP/zAP9:p5k", "ice-pwd"),
        ] {
            let error = read(ufrag, pwd).expect_err("should be refused");
            assert!(error.starts_with(words), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_offer_panics(offer in "((o=|m=|a=ice-pwd:|a=ice-ufrag:|a=candidate:|\\PC)\\PC{0,20}(\r\n|\n)?){0,12}", restarts: u64) {
            let renewed = renew_offer(&offer, &Credentials { ufrag: "abcd".into(), password: "word".into() }, restarts);
            prop_assert!(!renewed.contains("a=candidate:") || offer.contains("ca=candidate:") || !renewed.lines().any(|line| line.starts_with("a=candidate:")));
        }
    }
}
