//! porthole: a camera that any browser can watch live.
//!
//! # Data flow
//!
//! ```text
//! V4L2 / exec / libcamera / pattern        ALSA / test tone
//!       | capture thread (one per camera)        | audio thread
//!       v                                        v
//! Mailbox<EncodeInput>  newest frame wins   PcmFrame -> Opus
//!       |                                        |
//!       v encode thread (one per camera)         |
//! convert -> Encoder -> EncodedFrame        AudioPacket
//!       |                                        |
//!       v                                        v
//! Broadcast<EncodedFrame> ............ Broadcast<AudioPacket>
//!       |                                        |
//!       v                                        v
//! session (one task and one peer connection per viewer)  <->  browser, or an RTSP player
//! ```
//!
//! Frames go down; demand, key frame requests and control requests go back up on the same handles. A frame is encoded
//! once for all viewers of a camera, and nothing ever waits for a viewer. With no viewers the threads sleep and the
//! camera is closed. When a camera fails, the encode thread sends a placeholder and the sessions stay up.
//!
//! # Layers
//!
//! A folder imports only from those before it; `tests/architecture.rs` checks this and the other house rules. Only what the
//! program itself, its tests, benchmarks and examples use is public, so that the compiler finds what nothing uses.
//!
//! 1. [`util`]: locks, broadcast, mailbox, token bucket, backoff, threads, processes, the state directory. Knows nothing of frames.
//! 2. [`media`]: what a frame is, and what turns one into another: conversion, encoder, H.264 parsing, frame pacing; and what
//!    moves in frames.
//! 3. [`model`]: promises to the outside as plain values: status, metrics, inventory, the control protocol.
//! 4. `device`: one kernel or system interface per module: V4L2, GPIO, LEDs, buttons, hot-plug, sysfs, systemd.
//! 5. [`capture`]: sources of frames and audio: cameras, external programs, the test pattern, ALSA, the test tone; and the
//!    speaker.
//! 6. `pipeline`: the threads from a source to its broadcast, motion detection, the thread that plays what somebody says, the
//!    privacy switch, and the recorder.
//! 7. [`server`]: `auth`, `photos`, `sessions`, `floor`, `dispatch`, `client`, `hooks`, `mqtt`, `rtc`, `publish`, `rtsp` and `http`,
//!    in this order. It is handed subscriptions and handles, and imports neither `device` nor `capture`.
//! 8. [`config`], [`app`], [`log`], [`cli`]: the program around it.
//!
//! # Ways to a viewer
//!
//! All sessions share one UDP port and the TCP port of the same number. `server::rtc::mux` owns a socket for each local
//! address and demultiplexes: by the ICE user name of a STUN check, otherwise by the remote address. Each session has a
//! virtual socket, so it does not notice when local addresses change. `server::rtc::ice` follows those addresses, asks STUN
//! servers for the public ones and gathers the candidates that are offered.
//!
//! A session is one task. It drives the protocols of its connection, which are in `server::rtc::peer` and do no I/O, and
//! sends the packets of a frame in one batch.
//!
//! Every HTTP request passes `server::http::middleware` before it reaches a route: rate limit, Host, Origin, credentials,
//! and the role that the route needs. A control request, from a data channel, `POST /api/command` or the Unix socket, goes
//! through `server::dispatch`, as does a command from the MQTT broker. A session belongs to the login or token that created
//! it and ends when that is revoked.
//!
//! Recordings on the board are made of the same frames and packets: `pipeline::recorder` subscribes as viewers do, puts them into
//! MP4 (`media::mp4`), and writes on a thread of its own, which nothing waits for. Time-lapses are made of single key frames in the
//! same way.
//!
//! What begins and ends (motion, recordings, faults...) is in the status and in events. `server::hooks` runs programs and posts to
//! servers then, each with a queue of its own and a limit for its time.
//!
//! Other players get the same frames and packets of audio by RTSP, if that is configured: `server::rtsp` sends them plain, on
//! the TCP connection of the requests or by UDP.
//!
//! # The way back
//!
//! Somebody who talks sends audio on the same session. `server::floor` decides who is heard, one at a time; `pipeline::speaker`
//! holds their packets against jitter, decodes them and plays them on the speaker. Everybody else's packets are dropped before
//! they are decoded. A sound file that an operator announces has the floor, too: it is decoded whole, and played by the same
//! thread. In full duplex what the sound card is given also goes to the microphone's thread, in frames with the time at which
//! they are heard, and `media::voice` takes the echo out of what was captured then.
//!
//! Their picture goes the same way, if a program is configured that shows it: the session puts frames together and asks for what
//! is missing, the floor lets those of one talker pass, and `pipeline::screen` writes them to the program as they came. Nothing
//! decodes them here, and nothing waits for the program.
//!
//! # Where a frame may be dropped
//!
//! Each place has a label in `model::metrics::DropPoint`: the driver's ring is full; the buffer is stale or damaged; a
//! newer frame replaced it in the mailbox (the main valve, before any work is done); nobody watches; the stream is a second
//! behind its bitrate; the viewer's task lags; the card is too slow for the recorder; a key frame is awaited; the viewer's
//! network does not carry it; the socket is full. A drop is counted and never waited for.

pub mod app;
pub mod capture;
pub mod cli;
pub mod config;
mod device;
pub mod log;
pub mod media;
pub mod model;
mod pipeline;
pub mod server;
pub mod util;
