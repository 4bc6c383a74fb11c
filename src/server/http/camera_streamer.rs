//! The signalling of camera-streamer, which Mainsail, Fluidd and OctoPrint know besides WHEP: the player asks for an offer
//! and answers it, all by JSON that is posted to one path.

use std::net::IpAddr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use warp::http::StatusCode;

use super::Context;
use super::request::RequestHead;
use super::response::{ErrorResponse, HttpResponse, problem, response};
use super::whep::accept_problem;
use crate::server::auth::Principal;
use crate::server::rtc::{IceServer, TrickledCandidate};

const JSON: &str = "application/json";

/// Candidates of one message that are used, as of one SDP fragment.
const MAX_CANDIDATES: usize = 64;

/// What a player sends. It may name ICE servers for us in its request; ours are configured.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Message {
    Request {},
    Answer { id: String, sdp: String },
    RemoteCandidate { id: String, candidates: Vec<Candidate> },
}

/// A candidate in the form of `RTCIceCandidate.toJSON()`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    candidate: String,
    #[serde(default)]
    sdp_mid: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Offer<'a> {
    id: &'a str,
    r#type: &'static str,
    sdp: &'a str,
    ice_servers: Vec<Server<'a>>,
}

/// A server in the form of `RTCIceServer`.
#[derive(Serialize)]
struct Server<'a> {
    urls: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<&'a str>,
}

impl Context {
    /// `POST /webrtc`.
    pub(super) async fn camera_streamer(
        &self,
        head: &RequestHead,
        body: &Bytes,
        local: IpAddr,
        client: IpAddr,
        owner: &Principal,
    ) -> Result<HttpResponse, ErrorResponse> {
        let refused = |status, detail: &str| ErrorResponse::from(problem(status, detail));
        // Without a look at the media type: some players send their JSON as text. Pages of other sites were turned away.
        let message = serde_json::from_slice(body).map_err(|error| {
            let detail = format!("the body is not a message of camera-streamer's signalling: {error}");
            refused(StatusCode::BAD_REQUEST, &detail)
        })?;
        let sessions = &self.0.sessions;
        let gone = || refused(StatusCode::NOT_FOUND, "there is no such session; post { \"type\": \"request\" } first");
        match message {
            Message::Request {} => {
                let stream = self.stream(head.parameter("camera"))?;
                let offer =
                    sessions.offer(stream, local, client, owner).await.map_err(|error| accept_problem(&error))?;
                let ice_servers = offer.ice_servers.iter().map(server).collect();
                let offer = Offer { id: &offer.id, r#type: "offer", sdp: &offer.sdp, ice_servers };
                let body = serde_json::to_vec(&offer).expect("text should be printable as JSON");
                return Ok(response(StatusCode::OK, JSON, body.into()));
            }
            Message::Answer { id, sdp } => {
                let started =
                    sessions.accept_answer(&id, &sdp, client, owner).await.map_err(|error| accept_problem(&error))?;
                started.ok_or_else(gone)?;
                self.check_session_access(owner)?;
            }
            Message::RemoteCandidate { id, candidates } => {
                let candidates: Vec<TrickledCandidate> =
                    candidates.into_iter().take(MAX_CANDIDATES).map(Candidate::into_trickled).collect();
                sessions.add_candidates(&id, &candidates).await.map_err(|_| gone())?;
            }
        }
        Ok(response(StatusCode::OK, JSON, "{}".into()))
    }
}

impl Candidate {
    fn into_trickled(self) -> TrickledCandidate {
        TrickledCandidate { candidate: self.candidate, mid: self.sdp_mid }
    }
}

fn server(server: &IceServer) -> Server<'_> {
    let IceServer { urls, username, credential, .. } = server;
    Server { urls, username: username.as_deref(), credential: credential.as_deref() }
}
