//! ICE restarts by the viewer, as in the page: it sends new credentials in an SDP fragment, then applies the first
//! answer with the credentials and candidates of the fragment it gets back.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use webrtc::peer_connection::RTCSessionDescription;

use super::{Answer, Boxed, Viewer, request};

impl Viewer {
    /// Restarts ICE; returns the program's response.
    pub fn restart(&mut self) -> Boxed<'_, Answer> {
        Box::pin(async move {
            self.connection.restart_ice().await?;
            let offer = self.connection.create_offer(None).await?;
            let value = |name: &str| offer.sdp.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            let (ufrag, pwd) = (value("a=ice-ufrag:").context("no ufrag")?, value("a=ice-pwd:").context("no pwd")?);
            // Its sockets are unchanged, so the gathered candidates are already in the description.
            let candidates: String =
                value("a=candidate:").map(|line| format!("a=candidate:{line}\r\n")).unwrap_or_default();
            self.connection.set_local_description(offer).await?;
            let fragment = format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\n{candidates}");
            let response = self.patch("*", &fragment).await?;
            ensure!(response.status == 200, "{response:?}");
            self.etag = response.header("etag").context("no ETag")?.to_owned();
            let answer = restarted(&self.answer, &response.body)?;
            let setting = self.connection.set_remote_description(RTCSessionDescription::answer(answer)?);
            tokio::time::timeout(Duration::from_secs(5), setting).await.context("set the answer")??;
            Ok(response)
        })
    }

    /// Sends a fragment with this entity tag.
    pub fn patch<'a>(&'a self, etag: &'a str, fragment: &'a str) -> Boxed<'a, Answer> {
        Box::pin(async move {
            let headers = [("content-type", "application/trickle-ice-sdpfrag"), ("if-match", etag)];
            request("PATCH", &self.session, &headers, fragment.into()).await
        })
    }
}

/// The original answer with the credentials and candidates of a fragment.
fn restarted(answer: &str, fragment: &str) -> Result<String> {
    let value = |name: &str| fragment.lines().find(|line| line.starts_with(name)).with_context(|| format!("no {name}"));
    let (ufrag, pwd) = (value("a=ice-ufrag:")?, value("a=ice-pwd:")?);
    let candidates: Vec<&str> = fragment.lines().filter(|line| line.starts_with("a=candidate:")).collect();
    ensure!(!candidates.is_empty(), "no candidates in {fragment}");
    let mut candidates = candidates.into_iter();
    let mut lines = Vec::new();
    for line in answer.lines() {
        match line {
            _ if line.starts_with("a=candidate:") || line == "a=end-of-candidates" => {}
            _ if line.starts_with("a=ice-ufrag:") => lines.push(ufrag),
            _ if line.starts_with("a=ice-pwd:") => {
                lines.push(pwd);
                // In the first section; the others are bundled with it.
                lines.extend(candidates.by_ref());
            }
            _ => lines.push(line),
        }
    }
    Ok(lines.iter().flat_map(|line| [line, "\r\n"]).collect())
}
