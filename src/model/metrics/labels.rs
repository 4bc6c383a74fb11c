//! The labels of the metrics: places, reasons and outcomes.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};

/// Where a frame was dropped, in the order of the data flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum DropPoint {
    /// A: the driver had no free buffer.
    Driver,
    /// B: a newer buffer was available already.
    Stale,
    /// B: damaged or truncated.
    Damaged,
    /// C: replaced by a newer one before the encoder took it.
    Replaced,
    /// C: left out of the smaller rendition, whose encoder was busy with the one before, or while the camera's own takes most
    /// of the processor's time.
    Small,
    /// D: nobody watched.
    Unwatched,
    /// D: the stream was a second behind its bitrate, because its frames cannot be made small enough.
    Backlog,
    /// E: the viewer's task was too far behind.
    ViewerLag,
    /// I: a frame that waited for too long until the viewer's network had room, and those that need it.
    Late,
    /// I: a frame that no other needs, left out for a viewer whose network does not carry all of them.
    Layer,
    /// H: a frame that an MJPEG reader missed, because it was slow or the JPEG thread was busy.
    Mjpeg,
    /// K: not recorded, because the card is too slow or cannot be written to.
    Recorder,
    /// F: one viewer, or all of them, wait for a key frame.
    AwaitingKey,
    /// G: a packet that the socket did not accept in time.
    Socket,
}

/// The label of [`super::Counters::dropped`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DropLabels {
    /// The place of the drop.
    pub at: DropPoint,
}

/// Why an incoming datagram or connection on the media port was ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum IgnoreReason {
    /// It belongs to no session.
    Unknown,
    /// A STUN check with a wrong message integrity.
    Forged,
    /// From an address that belongs to another session.
    Taken,
    /// Longer than any valid datagram.
    Oversized,
    /// The session's queue was full.
    Full,
    /// More than a DTLS handshake takes.
    Handshake,
    /// Too many TCP connections.
    Connection,
}

/// The label of [`super::Counters::ignored`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct IgnoreLabels {
    /// The reason.
    pub why: IgnoreReason,
}

/// Why a viewer was skipped to the live edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum SkipCause {
    /// What waited for its network had become too old.
    Queue,
    /// Its page showed frames later than its network explains.
    Delay,
}

/// The label of [`super::Counters::live_edge_skips`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SkipLabels {
    /// The cause.
    pub cause: SkipCause,
}

/// The label of the metrics per camera.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CameraLabel {
    /// The camera's name.
    pub camera: String,
}

/// The label of the metrics per viewer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ViewerLabel {
    /// The number of the session, counted from the start of the program.
    pub viewer: u64,
}

/// The label of the metrics per publication.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PublishLabel {
    /// The index of its section in the configuration: two may have the same camera and server.
    pub section: u64,
    /// The camera's name.
    pub camera: String,
}

/// What became of an event that a hook waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum HookResult {
    /// The program or the server has taken it.
    Ok,
    /// The program or the server failed.
    Failed,
    /// The program or the server took too long.
    TimedOut,
    /// Left out, because too many others waited.
    Dropped,
}

/// The label of [`super::Counters::hook_runs`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HookLabels {
    /// The index of its section in the configuration.
    pub section: u64,
    /// The result.
    pub result: HookResult,
}

/// Why an HTTP connection or request was rejected before it reached a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum RejectReason {
    /// Too many connections.
    Connections,
    /// Too many requests from one address.
    Rate,
    /// The Host is not one of ours.
    Host,
    /// The Origin is another site.
    Origin,
    /// Not signed in.
    Nobody,
    /// The role is not sufficient.
    Role,
    /// Too many streams, of MJPEG or events, to one address.
    Readers,
}

/// The label of [`super::Counters::http_refused`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RejectLabels {
    /// The reason.
    pub reason: RejectReason,
}

/// The outcome of a sign-in attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum SignInOutcome {
    /// Signed in.
    Ok,
    /// Wrong password or link.
    Wrong,
    /// Too many attempts from this address.
    TooOften,
    /// Too many attempts were pending.
    Busy,
}

/// The label of [`super::Counters::sign_ins`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SignIn {
    /// The outcome.
    pub outcome: SignInOutcome,
}

/// What was dropped on a viewer's control channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum ControlDrop {
    /// A request above the limit, answered with `busy`.
    Busy,
    /// A broadcast message that a lagging viewer missed.
    Said,
    /// A message that the channel could not send in time.
    Message,
}

/// The label of [`super::Counters::control_dropped`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ControlDropLabels {
    /// What it was.
    pub what: ControlDrop,
}

/// Why a packet of somebody who talks was not played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum TalkDrop {
    /// Whoever sent it does not have the floor.
    Floor,
    /// More than one viewer may send.
    Rate,
    /// It is no audio of the format that was negotiated, or no Opus.
    Malformed,
    /// The speaker's thread was too far behind.
    Full,
    /// It came too late.
    Late,
    /// The delay had grown, and it was left out to shorten it.
    Skipped,
}

/// The label of [`super::Counters::talk_dropped`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TalkDropLabels {
    /// The reason.
    pub why: TalkDrop,
}

/// Why a frame of a talker's picture was not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum ScreenDrop {
    /// A part of it, or of one that it depends on, was lost or is malformed.
    Lost,
    /// The screen's program was too far behind.
    Full,
    /// The screen's program has ended or could not be started, somebody else is shown, or the privacy switch is on.
    Ended,
}

/// The label of [`super::Counters::screen_dropped`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ScreenDropLabels {
    /// The reason.
    pub why: ScreenDrop,
}
