//! What requests do: OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER and SET_PARAMETER (RFC 2326 section 10).
//!
//! Who asks is checked by `auth`; OPTIONS alone is for everybody, because players begin with it.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtsp_types::{Method, Request, StatusCode, Url, Version, headers};
use tokio::time::timeout;

use super::answer::{self, Answer, METHODS, SDP};
use super::connection::{KnownClient, RtspConnection, SESSION_TIMEOUT};
use super::sdp::StreamDescription;
use super::session::RtspSession;
use super::target::{StreamTarget, TrackKind, base};
use super::track::{RtspTrack, TrackRoute};
use super::transport::{self, Delivery};
use super::udp::UdpPair;
use crate::media::h264::Profile;
use crate::model::metrics::{RejectReason, SignIn, SignInOutcome};
use crate::server::auth::{Principal, SignInError, basic};
use crate::server::rtc::{CameraStream, KeyframeBudget};
use crate::server::sessions::{CapacityError, Limits, NewSession, PlayoutDelay, random_id};
use crate::util::broadcast::RecvError;

/// How long the answer to DESCRIBE waits for a key frame, whose parameter sets it has: a camera that is opened for it takes about
/// two seconds. Without them players find them in the stream.
const KEY_FRAME_WAIT: Duration = Duration::from_secs(5);

/// Sessions at once that were set up and do not play, those of browsers that connect included: as in `rtc`.
const MAX_NEGOTIATING: usize = 16;

/// After how many seconds a client that was rejected may try again: within that time others leave.
const RETRY_AFTER: u64 = 5;

type Message = Request<Vec<u8>>;

/// An answer that refuses; boxed, because it is much larger than the other values that are returned.
type Refusal = Box<Answer>;

fn refuse<T>(status: StatusCode, reason: &str) -> Result<T, Refusal> {
    Err(Box::new(Answer::error(status, reason)))
}

impl RtspConnection {
    /// The answer to a request, and whether the connection goes on afterwards.
    pub(super) async fn answer(&mut self, request: &Message) -> (Answer, ControlFlow<()>) {
        if let Err(wait) = self.limits.request(self.peer, Instant::now()) {
            self.context.metrics.count_rejected(RejectReason::Rate);
            return (too_often(wait), ControlFlow::Break(()));
        }
        let answer = match self.carry_out(request).await {
            Ok(answer) => answer,
            Err(refusal) => *refusal,
        };
        (answer, ControlFlow::Continue(()))
    }

    async fn carry_out(&mut self, request: &Message) -> Result<Answer, Refusal> {
        check(request)?;
        if *request.method() == Method::Options {
            return Ok(Answer::ok().header(headers::PUBLIC, METHODS));
        }
        let principal = self.authorize(request).await?;
        match request.method() {
            Method::Describe => self.describe(request).await,
            Method::Setup => self.set_up(request, &principal),
            Method::Play => self.play(request).await,
            Method::Pause => {
                let session = self.session_of_camera(request)?;
                session.pause();
                Ok(of_session(Answer::ok(), session))
            }
            Method::Teardown => {
                let answer = of_session(Answer::ok(), self.session_of_camera(request)?);
                self.session = None;
                Ok(answer)
            }
            Method::GetParameter | Method::SetParameter => self.keep_alive(request),
            method => {
                let reason = format!("{} is not served; {METHODS} are", <&str>::from(method));
                Err(Box::new(Answer::error(StatusCode::MethodNotAllowed, &reason).header(headers::ALLOW, METHODS)))
            }
        }
    }

    /// Who sends a request.
    async fn authorize(&mut self, request: &Message) -> Result<Principal, Refusal> {
        let auth = &self.context.auth;
        let sent = request.header(&headers::AUTHORIZATION).map(|value| value.as_str());
        if let Some(KnownClient { authorization, principal }) = &self.client
            && sent.is_none_or(|sent| sent == authorization)
            && auth.has_access(&principal.id)
        {
            return Ok(principal.clone());
        }
        let authorization = sent.unwrap_or_default();
        match auth.authenticate(self.peer.ip(), &basic::secret(authorization)).await {
            Ok(principal) => {
                if principal.has_password() {
                    self.count_sign_in(SignInOutcome::Ok);
                }
                self.client = Some(KnownClient { authorization: authorization.into(), principal: principal.clone() });
                Ok(principal)
            }
            Err(error) => Err(Box::new(self.refuse_sign_in(&error))),
        }
    }

    fn refuse_sign_in(&self, error: &SignInError) -> Answer {
        if *error == SignInError::NoSecret {
            self.context.metrics.count_rejected(RejectReason::Nobody);
            return Answer::unauthorized("send a token or a password: rtsp://any:TOKEN@HOST/");
        }
        self.count_sign_in(error.outcome());
        if let Some(seconds) = error.retry_after() {
            return Answer::busy(&error.to_string(), seconds);
        }
        let from = self.peer.ip().to_canonical();
        match error {
            // There is no limit on them, and a program goes on with a token that was revoked.
            SignInError::WrongToken => tracing::debug!("RTSP from {from} rejected: {error}"),
            _ => tracing::info!("RTSP from {from} rejected: {error}"),
        }
        Answer::unauthorized("wrong token or password")
    }

    fn count_sign_in(&self, outcome: SignInOutcome) {
        self.context.metrics.sign_ins.get_or_create(&SignIn { outcome }).inc();
    }

    /// Counts a request that may cost a key frame.
    fn check_rate(&self) -> Result<(), Refusal> {
        self.limits.start(self.peer, Instant::now()).map_err(|wait| {
            self.context.metrics.count_rejected(RejectReason::Rate);
            Box::new(too_often(wait))
        })
    }

    /// The camera that a URL names.
    fn camera(&self, target: &StreamTarget) -> Result<&CameraStream, Refusal> {
        let mut streams = self.context.streams.iter();
        let found = match &target.camera {
            Some(name) => streams.find(|stream| stream.name == *name),
            None => streams.next(),
        };
        let Some(stream) = found else {
            let names: Vec<&str> = self.context.streams.iter().map(|stream| stream.name.as_str()).collect();
            return refuse(StatusCode::NotFound, &format!("no such camera; there are {}", names.join(", ")));
        };
        Ok(stream)
    }

    async fn describe(&mut self, request: &Message) -> Result<Answer, Refusal> {
        let (url, target) = target(request)?;
        let camera = self.camera(&target)?.clone();
        if request.header(&headers::ACCEPT).is_some_and(|accepted| !accepts_sdp(accepted.as_str())) {
            return refuse(StatusCode::NotAcceptable, "only application/sdp describes a camera");
        }
        self.check_rate()?;
        let playing = self.session.as_ref().filter(|session| session.is_playing());
        let key_frame = match playing.map(|session| session.key_frame(&camera)) {
            // What is sent to it does not wait for the next one.
            Some(last) => last,
            None => timeout(KEY_FRAME_WAIT, key_frame(&camera, &self.keyframes)).await.ok().flatten(),
        };
        let profile = *camera.profile.borrow();
        let text = StreamDescription {
            camera: &camera.name,
            profile: profile.unwrap_or(Profile::CONSTRAINED_BASELINE),
            key_frame: key_frame.as_deref(),
            audio: camera.audio.is_some() && target.audio,
            local: self.local.ip().to_canonical(),
            id: rand::random(),
        }
        .text();
        let answer =
            Answer::ok().header(headers::CONTENT_TYPE, SDP).header(headers::CONTENT_BASE, base(url, &camera.name));
        Ok(answer.body(text))
    }

    fn set_up(&mut self, request: &Message, principal: &Principal) -> Result<Answer, Refusal> {
        let (_, target) = target(request)?;
        let camera = self.camera(&target)?.clone();
        let only_track = (camera.audio.is_none() || !target.audio).then_some(TrackKind::Video);
        let Some(kind) = target.track.or(only_track) else {
            return refuse(StatusCode::AggregateOperationNotAllowed, "set up each track: trackID=0 and trackID=1");
        };
        if kind == TrackKind::Audio && camera.audio.is_none() {
            return refuse(StatusCode::NotFound, "there is no audio");
        }
        if self.session.is_some() || request.header(&headers::SESSION).is_some() {
            let session = self.session(request)?;
            if session.is_playing() {
                return refuse(StatusCode::MethodNotValidInThisState, "pause first");
            }
            if session.camera().index != camera.index {
                return refuse(StatusCode::AggregateOperationNotAllowed, "a session has one camera");
            }
        }
        let transports = request.header(&headers::TRANSPORT).map_or("", |value| value.as_str());
        let channel = if kind == TrackKind::Video { 0 } else { 2 };
        let taken = self.session.as_ref().and_then(|session| session.channels_besides(kind));
        let chosen = transport::choose(transports, channel).map(|way| way.besides(taken));
        let chosen = chosen.and_then(|way| Some((way, self.route(way)?)));
        let Some((delivery, route)) = chosen else {
            let reason = "RTP/AVP/TCP with interleaved, and RTP/AVP unicast with client_port are served";
            return refuse(StatusCode::UnsupportedTransport, reason);
        };
        if self.session.is_none() {
            self.check_rate()?;
            self.session = Some(self.open_session(camera, principal)?);
        }
        let track = RtspTrack::new(kind, route);
        let answer = Answer::ok().header(headers::TRANSPORT, track.accepted(delivery).to_string());
        let session = self.session(request)?;
        session.set_track(kind, track);
        Ok(of_session(answer, session))
    }

    /// Opens the way of a track, if that is possible.
    fn route(&self, delivery: Delivery) -> Option<TrackRoute> {
        match delivery {
            Delivery::Interleaved { rtp, rtcp } => Some(TrackRoute::Interleaved(rtp, rtcp)),
            // Only to the client itself, whatever destination it names.
            Delivery::Udp { rtp, rtcp } => UdpPair::open(self.local, self.peer, (rtp, rtcp))
                .inspect_err(|error| tracing::warn!("open UDP sockets for RTSP: {error}"))
                .ok()
                .map(TrackRoute::Udp),
        }
    }

    /// Enters a session into the table of viewers.
    fn open_session(&self, camera: CameraStream, principal: &Principal) -> Result<RtspSession, Refusal> {
        let RtspConnection { context, peer, permit, stop, keyframes, .. } = self;
        let new_session = NewSession {
            id: random_id(),
            owner: principal.id.clone(),
            role: principal.role,
            client: peer.ip(),
            arrived: Instant::now(),
            camera: camera.index,
            playout_delay: PlayoutDelay::default(),
            end: stop.child_token(),
        };
        let limits = Limits { viewers: context.status.snapshot().max_viewers, negotiating: MAX_NEGOTIATING };
        let (guard, _preferences) = context.sessions.register(new_session, limits).map_err(|error| {
            let (CapacityError::Full(viewers) | CapacityError::Negotiating(viewers)) = error;
            let reason = format!("{viewers} viewers are watching or connecting, which is the limit; try again later");
            Box::new(Answer::busy(&reason, RETRY_AFTER))
        })?;
        // Access that was revoked before the session existed has ended no session.
        if !context.auth.has_access(&principal.id) {
            return Err(Box::new(Answer::unauthorized("your access was revoked")));
        }
        tracing::debug!("RTSP session of {} for {}", camera.name, peer);
        Ok(RtspSession::new(camera, guard, context.metrics.clone(), keyframes.clone(), permit.busy()))
    }

    async fn play(&mut self, request: &Message) -> Result<Answer, Refusal> {
        let session = self.session_of_camera(request)?;
        if session.is_playing() {
            return Ok(of_session(Answer::ok(), session));
        }
        if session.has_played() {
            // The SETUP that began the session was counted for the first time.
            self.check_rate()?;
        } else {
            tracing::info!(camera = session.camera().name, "RTSP viewer plays");
        }
        let session = self.session(request)?;
        session.play().await;
        let answer = of_session(Answer::ok(), session).header(headers::RANGE, "npt=0.000-");
        let camera = &session.camera().name;
        let info = request.request_uri().and_then(|url| session.rtp_info(&base(url, camera)));
        Ok(info.into_iter().fold(answer, |answer, info| answer.header(headers::RTP_INFO, info)))
    }

    /// GET_PARAMETER and SET_PARAMETER without a parameter keep a session alive.
    fn keep_alive(&mut self, request: &Message) -> Result<Answer, Refusal> {
        if !request.body().trim_ascii().is_empty() {
            return refuse(StatusCode::ParameterNotUnderstood, "there are no parameters");
        }
        if self.session.is_none() && request.header(&headers::SESSION).is_none() {
            return Ok(Answer::ok());
        }
        Ok(of_session(Answer::ok(), self.session(request)?))
    }

    /// The session that a request names; one that names none means that of its connection.
    fn session(&mut self, request: &Message) -> Result<&mut RtspSession, Refusal> {
        let named = request.header(&headers::SESSION).map(|value| value.as_str());
        let named = named.map(|value| value.split(';').next().unwrap_or_default().trim());
        let session = self.session.as_mut().filter(|session| named.is_none_or(|named| named == session.id()));
        match session {
            Some(session) => Ok(session),
            None => refuse(StatusCode::SessionNotFound, "no such session on this connection; SETUP begins one"),
        }
    }

    /// As [`session`](Self::session), if the request's URL names no other camera.
    fn session_of_camera(&mut self, request: &Message) -> Result<&mut RtspSession, Refusal> {
        let named = match request.request_uri() {
            Some(_) => target(request)?.1.camera,
            None => None,
        };
        let session = self.session(request)?;
        if named.is_some_and(|named| named != session.camera().name) {
            return refuse(StatusCode::SessionNotFound, "the session is of another camera");
        }
        Ok(session)
    }
}

/// Whether a request can be carried out at all.
fn check(request: &Message) -> Result<(), Refusal> {
    if request.version() != Version::V1_0 {
        return refuse(StatusCode::RTSPVersionNotSupported, "RTSP/1.0 is served");
    }
    if answer::number(request).is_none() {
        return refuse(StatusCode::BadRequest, "the request has no CSeq with a number");
    }
    match request.header(&headers::REQUIRE) {
        Some(required) => {
            let refusal = Answer::error(StatusCode::OptionNotSupported, "no options are served");
            let printable: String = required.as_str().chars().filter(|c| matches!(c, ' '..='~')).collect();
            Err(Box::new(refusal.header(headers::UNSUPPORTED, printable)))
        }
        None => Ok(()),
    }
}

/// What the URL of a request names.
fn target(request: &Message) -> Result<(&Url, StreamTarget), Refusal> {
    let Some(url) = request.request_uri() else {
        return refuse(StatusCode::BadRequest, "the request names no camera");
    };
    match StreamTarget::of(url) {
        Some(target) => Ok((url, target)),
        None => refuse(StatusCode::NotFound, "nothing at this path; a camera is at /NAME"),
    }
}

/// Adds the ID of a session to an answer.
fn of_session(answer: Answer, session: &RtspSession) -> Answer {
    answer.header(headers::SESSION, format!("{};timeout={}", session.id(), SESSION_TIMEOUT.as_secs()))
}

fn too_often(wait: Duration) -> Answer {
    Answer::busy("too many requests", wait.as_secs() + 1)
}

/// Whether an `Accept` header allows a session description.
fn accepts_sdp(header: &str) -> bool {
    let mut types = header.split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
    types.any(|name| [SDP, "application/*", "*/*"].iter().any(|accepted| name.eq_ignore_ascii_case(accepted)))
}

/// The next key frame of a camera, which is opened for it, or one that was kept; none if the camera shows a placeholder, whose
/// parameter sets would be wrong soon.
async fn key_frame(camera: &CameraStream, keyframes: &KeyframeBudget) -> Option<Bytes> {
    let mut frames = camera.video.subscribe_with_backlog();
    if !frames.has_backlog() {
        keyframes.request(&camera.video, Instant::now());
    }
    loop {
        match frames.recv().await {
            Ok(frame) if frame.key => return (!frame.placeholder).then_some(frame.data),
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}
