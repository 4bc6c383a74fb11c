//! What programs send that the tests cannot run, replayed as their sources have it: VLC by live555, go2rtc (and Frigate and Home
//! Assistant with it), mediamtx by gortsplib. ffmpeg is run in `rtsp`, GStreamer in `players`.

use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::client::{Answer, Client, INTERLEAVED};
use crate::common::{Footprint, LIMIT, Porthole, Program, until_idle};
use crate::{config, recording};

/// A program that plays.
struct Player {
    name: &'static str,
    agent: &'static str,
    /// The `Require` of its first DESCRIBE: after a refusal it connects again without.
    require: Option<&'static str>,
    /// Whether it plays by UDP.
    udp: bool,
    /// What follows the channels or ports in `Transport`.
    mode: &'static str,
    /// The `Range` of its PLAY.
    range: Option<&'static str>,
    /// The request that keeps its session alive.
    keep_alive: &'static str,
    /// Whether it waits for the answer to TEARDOWN.
    waits: bool,
}

const VLC: Player = Player {
    name: "VLC",
    agent: "LibVLC/3.0.21 (LIVE555 Streaming Media v2016.11.28)",
    require: None,
    udp: true,
    mode: "",
    range: Some("npt=0.000-"),
    keep_alive: "GET_PARAMETER",
    waits: true,
};

const MEDIAMTX: Player = Player {
    name: "mediamtx",
    agent: "gortsplib",
    require: None,
    udp: true,
    mode: ";mode=play",
    range: Some("npt=0-"),
    keep_alive: "OPTIONS",
    waits: true,
};

const PROGRAMS: [Player; 5] = [
    VLC,
    Player { name: "VLC --rtsp-tcp", udp: false, ..VLC },
    MEDIAMTX,
    Player { name: "mediamtx by TCP", udp: false, ..MEDIAMTX },
    Player {
        name: "go2rtc",
        agent: "go2rtc/1.9.10",
        require: Some("www.onvif.org/ver20/backchannel"),
        udp: false,
        mode: "",
        range: None,
        keep_alive: "OPTIONS",
        waits: false,
    },
];

/// Two sockets at an address whose ports follow each other, for packets and reports.
fn ports(at: [u8; 4]) -> Result<[UdpSocket; 2]> {
    let at = IpAddr::from(at);
    let mut pairs = (0..100).map(|_| {
        let rtp = UdpSocket::bind((at, 0))?;
        let port = rtp.local_addr()?.port().checked_add(1).context("the last port")?;
        let rtcp = UdpSocket::bind((at, port))?;
        rtp.set_read_timeout(Some(LIMIT))?;
        rtcp.set_read_timeout(Some(LIMIT))?;
        anyhow::Ok([rtp, rtcp])
    });
    pairs.find_map(Result::ok).context("no free ports")
}

fn succeeded(answer: Answer) -> Result<Answer> {
    ensure!(answer.status == 200, "{answer:?}");
    Ok(answer)
}

impl Player {
    /// Connects from an address, and asks what there is.
    async fn describe(&self, porthole: &Porthole, at: [u8; 4], require: Option<&str>) -> Result<(Client, Answer)> {
        let mut client = Client::from(porthole, at).await?;
        client.headers.push(("User-Agent".into(), self.agent.into()));
        succeeded(client.request("OPTIONS", "camera", &[]).await?)?;
        let mut headers = vec![("Accept", "application/sdp")];
        headers.extend(require.map(|feature| ("Require", feature)));
        let answer = client.request("DESCRIBE", "camera", &headers).await?;
        Ok((client, answer))
    }

    /// Plays at an address until packets and a report of both tracks have arrived, and leaves.
    async fn play(&self, porthole: &Porthole, at: [u8; 4]) -> Result<()> {
        if self.require.is_some() {
            let refused = self.describe(porthole, at, self.require).await?.1;
            ensure!(refused.status == 551 && refused.header("unsupported") == self.require, "{refused:?}");
        }
        let (mut client, described) = self.describe(porthole, at, None).await?;
        let base = succeeded(described)?.header("content-base").context("no Content-Base")?.to_owned();
        let sockets = [ports(at)?, ports(at)?];
        for (track, sockets) in sockets.iter().enumerate() {
            let transport = match self.udp {
                true => {
                    let port = sockets[0].local_addr()?.port();
                    format!("RTP/AVP;unicast;client_port={port}-{}{}", port + 1, self.mode)
                }
                false => format!("{}{}", INTERLEAVED[track], self.mode),
            };
            let url = format!("{base}trackID={track}");
            let answer = succeeded(client.request("SETUP", &url, &[("Transport", &transport)]).await?)?;
            let accepted = answer.header("transport").context("no Transport")?;
            ensure!(!self.udp || accepted.contains(";server_port="), "{accepted}");
            let session = ("Session".to_owned(), answer.session()?.to_owned());
            if track == 0 {
                client.headers.push(session);
            }
        }
        let range: Vec<(&str, &str)> = self.range.into_iter().map(|range| ("Range", range)).collect();
        succeeded(client.request("PLAY", &base, &range).await?)?;
        for (track, [rtp, rtcp]) in sockets.iter().enumerate() {
            let mut buffer = [0; 2048];
            if self.udp {
                ensure!(rtp.recv(&mut buffer)? > 12 && rtcp.recv(&mut buffer)? > 12);
            } else {
                let channel = track as u8 * 2;
                client.packet_on(channel + 1).await?;
                client.packet_on(channel).await?;
            }
        }
        succeeded(client.request(self.keep_alive, &base, &[]).await?)?;
        if self.waits {
            succeeded(client.request("TEARDOWN", &base, &[]).await?)?;
        } else {
            let session = client.headers.pop().context("no session")?.1;
            client
                .send(format!("TEARDOWN {base} RTSP/1.0\r\nCSeq: 99\r\nSession: {session}\r\n\r\n").as_bytes())
                .await?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replayed_programs_play_leave_nothing_and_play_again() -> Result<()> {
    let porthole = Porthole::start(&config())?;
    VLC.play(&porthole, [127, 0, 5, 0]).await?;
    until_idle(&porthole).await?;
    let before = Footprint::of(&porthole).await?;
    for (number, program) in PROGRAMS.iter().enumerate() {
        for _ in 0..2 {
            program.play(&porthole, [127, 0, 5, number as u8 + 1]).await.context(program.name)?;
            until_idle(&porthole).await.context(program.name)?;
        }
    }
    before.until_restored(&porthole).await
}

/// ffmpeg as Frigate starts it with `preset-rtsp-restream` and `preset-record-generic-audio-aac`, but for the length of segments.
fn frigate(url: &str, folder: &Path) -> Result<Program> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-loglevel", "error", "-rtsp_transport", "tcp", "-timeout", "10000000", "-i", url]);
    command.args([
        "-t",
        "7",
        "-f",
        "segment",
        "-segment_time",
        "2",
        "-segment_format",
        "mp4",
        "-reset_timestamps",
        "1",
    ]);
    Program::start(command.args(["-strftime", "0", "-c:v", "copy", "-c:a", "aac"]).arg(folder.join("%02d.mp4")))
}

#[tokio::test(flavor = "multi_thread")]
async fn frigate_records_segments_with_audio() -> Result<()> {
    let config = config().replace("bitrate = 300000", "bitrate = 300000\nkeyframe_interval = 1");
    let porthole = Porthole::start(&config)?;
    let folder = tempfile::tempdir()?;
    frigate(&format!("{}camera", crate::client::url(&porthole)?), folder.path())?.finish().await?;
    // The first and the last may be shorter.
    for number in 1..3 {
        let [video, audio] = recording::lengths(&folder.path().join(format!("{number:02}.mp4")))?;
        ensure!((1.5..2.5).contains(&video) && (video - audio).abs() < 0.3, "{number}: {video} s, {audio} s");
    }
    until_idle(&porthole).await
}
