//! porthole: a camera that any browser can watch live.
//!
//! # The picture
//!
//! ```text
//! V4L2 / program / test pattern            ALSA / test tone
//!       | capture thread (one a camera)          | microphone thread
//!       v                                        v
//! Mailbox  newest picture wins              Opus encode
//!       |                                        |
//!       v encode thread (one a camera)           v
//! convert -> Encoder -> EncodedFrame       AudioPacket
//!       |                                        |
//!       v                                        v
//! Broadcast<EncodedFrame> ............ Broadcast<AudioPacket>
//!       |                                        |
//!       v                                        v
//! rtc session (one task a viewer, one peer connection)  <->  browser
//! ```
//!
//! The tree is the data flow. Frames go one way; what viewers want (interest, key frames) goes back up on the same
//! handles; nothing goes round in a circle. A picture is encoded once for all viewers of a camera, and nothing ever waits
//! for a viewer. While nobody watches, every thread sleeps and the camera is closed. While a camera is away, the encode
//! thread shows a placeholder to those who watch, and their sessions go on.
//!
//! # Modules, in reading order
//!
//! - [`media`], `nearest`, [`inventory`], [`status`], [`metrics`], [`command`]: plain values.
//! - [`broadcast`], `latest`, `grid`, `retry`, `bucket`, `thread`, [`memory`], [`h264`]: movement of data; no devices, no network.
//! - [`store`]: the state directory; [`photos`]: those that are kept on the board; [`auth`]: who is let in, and as what.
//! - `v4l2`, [`sysfs`], [`gpio`], `hotplug`, [`camera`], [`convert`], [`encoder`], [`audio`], [`leds`], [`buttons`], [`systemd`]: devices and
//!   the system; each hides one crate or one kernel interface.
//! - [`privacy`], [`video`], [`microphone`]: the switch that closes them all, and the pipelines, which own the media threads.
//! - [`viewers`], [`rtc`], `control`, [`http`]: the network. They are handed subscriptions, and know neither cameras nor encoders.
//! - [`config`], [`app`], [`cli`], [`log`]: the program around it.
//!
//! A module imports only what stands before it in this list, and a foreign crate is named in one module alone;
//! `tests/architecture.rs` holds both, and the rest of the house rules.
//!
//! # Ways to a viewer
//!
//! All viewers share one UDP port and the TCP port of the same number. `server::rtc::mux` owns a socket for each local address, and
//! tells whose a datagram is by the user name of the connectivity checks, then by the address it comes from; a viewer's
//! stack has a line to it and no socket of its own, so that it does not notice when the board's addresses change.
//! `server::rtc::ice` follows these addresses and writes the candidates that viewers are offered.
//!
//! A request passes `server::http::middleware` before any route: limits by address, Host, Origin, who asks, and one table of paths and
//! methods with the role that each needs. A session belongs to whoever began it, and ends when that right is revoked.
//!
//! # Where a frame may be dropped
//!
//! Each place has its label in [`model::metrics::DropPoint`]: the driver's ring is full; a stale or damaged buffer; replaced before
//! the encoder took it (the main valve); a camera's own H.264 lost a frame and its next key frame is not there yet; nobody
//! watches; the viewer's task lags, or waits for a key frame; the socket is full. A dropped frame is counted and never waited for.

pub mod app;
pub mod capture;
pub mod cli;
pub mod config;
pub mod device;
pub mod log;
pub mod media;
pub mod model;
pub mod pipeline;
pub mod server;
pub mod util;
