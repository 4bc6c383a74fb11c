//! The ICE sessions of one session: trickled candidates, and restarts, by which the viewer comes back on another network
//! path (RFC 8445 section 2.4, RFC 9725 section 4.3.3).
//!
//! The session's task owns the connection; it is told by [`IceCommand`]. Which candidates we offer is decided in `ice`.

use std::net::{IpAddr, SocketAddr};

use tokio::sync::{Semaphore, mpsc};

use super::Ice;
use super::remote_candidate::RemoteCandidates;
use crate::server::rtc::error::RestartError;
use crate::server::rtc::mux::{Credentials, VirtualSocket};
use crate::server::rtc::sdp::sections;
use crate::server::rtc::sdp::trickle::{self, RemoteIce, TrickledCandidate};
use crate::server::sessions::random_id;
use crate::util::lock::{Mutex, MutexGuard};

/// Commands to a session that it has not handled yet: the candidates of one fragment, and a restart.
pub const COMMAND_QUEUE: usize = super::remote_candidate::MAX_CANDIDATES + 1;

/// What the session's task is to do.
#[derive(Debug)]
pub enum IceCommand {
    /// Check an address of the viewer.
    Candidate(SocketAddr),
    /// Restart ICE.
    Restart {
        /// Our new credentials.
        ours: Credentials,
        /// The viewer's.
        theirs: Credentials,
    },
}

/// A restarted ICE session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restarted {
    /// Its ETag, for `If-Match`.
    pub etag: String,
    /// The fragment with our new credentials and candidates.
    pub fragment: String,
}

/// The current ICE session of a session.
pub struct IceSession {
    commands: mpsc::Sender<IceCommand>,
    socket: VirtualSocket,
    ice: Ice,
    /// Our answer to the viewer's offer.
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
    theirs: Credentials,
    ours: Credentials,
    accepted: RemoteCandidates,
    is_first: bool,
}

impl IceSessionState {
    fn new(ours: Credentials, theirs: Credentials, local_addr: IpAddr, is_first: bool) -> Self {
        Self { etag: random_id(), local_addr, theirs, ours, accepted: RemoteCandidates::default(), is_first }
    }

    /// The first one, with what it may accept.
    fn first([ours, theirs]: [Credentials; 2], local_addr: IpAddr, accepted: RemoteCandidates) -> Self {
        Self { accepted, ..Self::new(ours, theirs, local_addr, true) }
    }
}

impl IceSession {
    /// The first ICE session, of an offer that was received on `local_addr` and its `answer`, with our credentials and
    /// theirs. Its checks are routed to `socket`, its commands go to `commands`, and it accepts candidates as `accepted`
    /// does.
    pub fn new(
        commands: mpsc::Sender<IceCommand>,
        socket: VirtualSocket,
        ice: Ice,
        answer: String,
        credentials: [Credentials; 2],
        local_addr: IpAddr,
        accepted: RemoteCandidates,
    ) -> Self {
        socket.register_ufrag(credentials[0].clone());
        let state = Mutex::new(IceSessionState::first(credentials, local_addr, accepted));
        Self { commands, socket, ice, answer, state, restart_lock: Semaphore::new(1) }
    }

    /// The ETag of the current ICE session, for `If-Match`.
    pub fn etag(&self) -> String {
        self.state().etag.clone()
    }

    /// The ETag, if ICE was never restarted and these are the offer's credentials.
    pub fn etag_of_offer(&self, remote: &RemoteIce) -> Option<String> {
        let state = self.state();
        let theirs = &state.theirs;
        let same = state.is_first && theirs.ufrag == remote.ufrag && theirs.password == remote.pwd;
        same.then(|| state.etag.clone())
    }

    /// Adds candidates of the viewer. Those that can't be used are skipped silently.
    pub async fn add_candidates(&self, candidates: &[TrickledCandidate]) {
        for candidate in self.accept(candidates) {
            // An error means that the session is ending.
            let _ = self.commands.send(IceCommand::Candidate(candidate)).await;
        }
    }

    /// The candidates that are accepted.
    fn accept(&self, candidates: &[TrickledCandidate]) -> Vec<SocketAddr> {
        let ours = self.ice.locals();
        let mut state = self.state();
        let local_addr = state.local_addr;
        // All sections share one transport. A viewer that does not know so yet has candidates for each of them.
        let used = candidates.iter().filter(|candidate| match &candidate.mid {
            Some(mid) => !sections::is_bundled(&self.answer, mid),
            None => true,
        });
        used.filter_map(|candidate| state.accepted.accept(&candidate.candidate, local_addr, &ours))
            .map(|remote| remote.address)
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
        let ending = || RestartError::Failed(anyhow::anyhow!("the session is ending"));
        let _permit = self.restart_lock.acquire().await.map_err(|_| ending())?;
        let candidates = self.ice.candidates(local_addr).await;
        if self.state().theirs != theirs {
            let ours = Credentials::random();
            let command = IceCommand::Restart { ours: ours.clone(), theirs: theirs.clone() };
            self.commands.send(command).await.map_err(|_| ending())?;
            // Checks of the previous ICE session are routed until the viewer has given it up; older ones are not.
            let former =
                std::mem::replace(&mut *self.state(), IceSessionState::new(ours.clone(), theirs, local_addr, false));
            self.socket.retain_ufrag(&former.ours.ufrag);
            self.socket.register_ufrag(ours);
        }
        self.add_candidates(&remote.candidates).await;
        let state = self.state();
        let fragment = trickle::write_fragment(&self.answer, &state.ours.ufrag, &state.ours.password, &candidates);
        Ok(Restarted { etag: state.etag.clone(), fragment })
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
