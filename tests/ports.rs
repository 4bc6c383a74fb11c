//! Media ports: one UDP port for all viewers, and TCP where UDP is blocked.

mod common;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use common::{Event, LIMIT, Options, Porthole, SMALL, Viewer};

/// The local addresses and ports, in the kernel's notation, of the process's UDP sockets.
fn udp_sockets(porthole: &Porthole) -> Result<BTreeSet<String>> {
    let mut inodes = BTreeSet::new();
    for entry in std::fs::read_dir(format!("/proc/{}/fd", porthole.pid()))? {
        // A descriptor closed meanwhile is skipped.
        let Ok(target) = std::fs::read_link(entry?.path()) else { continue };
        let target = target.to_string_lossy().into_owned();
        inodes.extend(target.strip_prefix("socket:[").map(|inode| inode.trim_end_matches(']').to_owned()));
    }
    let mut sockets = BTreeSet::new();
    for table in ["udp", "udp6"] {
        let text = std::fs::read_to_string(format!("/proc/{}/net/{table}", porthole.pid())).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (address, inode) = (fields.get(1).context("no address")?, fields.get(9).context("no inode")?);
            if inodes.contains(*inode) {
                sockets.insert((*address).to_owned());
            }
        }
    }
    Ok(sockets)
}

/// The port of the candidate on 127.0.0.1 for this transport.
fn port(viewer: &Viewer, transport: &str) -> Result<u16> {
    let fields = viewer.answer.lines().filter(|line| line.starts_with("a=candidate:")).map(|line| line.split(' '));
    let found = fields.map(Vec::from_iter).find(|fields| fields[2] == transport && fields[4] == "127.0.0.1");
    Ok(found.with_context(|| format!("no {transport} candidate in {}", viewer.answer))?[5].parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_viewers_use_one_udp_port() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut viewers = Vec::new();
    let mut first = None;
    for _ in 0..10 {
        let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
        viewer.frame(LIMIT).await?;
        let now = (udp_sockets(&porthole)?, port(&viewer, "udp")?, port(&viewer, "tcp")?);
        let first = first.get_or_insert(now.clone());
        ensure!(*first == now, "with one viewer {first:?}, with {} {now:?}", viewers.len() + 1);
        viewers.push(viewer);
    }
    let (sockets, udp, tcp) = first.context("no viewer")?;
    ensure!(udp == tcp, "UDP {udp}, TCP {tcp}");
    let of_loopback: Vec<&String> = sockets.iter().filter(|socket| socket.starts_with("0100007F:")).collect();
    ensure!(of_loopback == [&format!("0100007F:{udp:04X}")], "{sockets:?} for port {udp}");
    for mut viewer in viewers {
        viewer.frame(LIMIT).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_without_udp_decodes_every_frame() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let options = Options { tcp: true, ..Options::new(&porthole.base) };
    let mut viewer = Viewer::connect(&options).await?;
    let numbers = common::numbers(&mut viewer, 60).await?;
    common::missing(&numbers, &porthole).await?;
    viewer.until(LIMIT, |event| matches!(event, Event::Audio(_))).await?;
    viewer.leave().await?;
    porthole.until_status("nobody watches", |status| status["viewers"] == 0).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn disabled_tcp_is_neither_offered_nor_accepted() -> Result<()> {
    let porthole = Porthole::start(&format!("{SMALL}\n[rtc]\ntcp = false\n"))?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    viewer.frame(LIMIT).await?;
    ensure!(port(&viewer, "tcp").is_err(), "{}", viewer.answer);
    let refused = std::net::TcpStream::connect(("127.0.0.1", port(&viewer, "udp")?));
    ensure!(refused.is_err(), "{refused:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_reported() -> Result<()> {
    let udp = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let tcp = std::net::TcpListener::bind("127.0.0.1:0")?;
    let cases = [(udp.local_addr()?.port(), "UDP", "ss -lunp"), (tcp.local_addr()?.port(), "TCP", "ss -ltnp")];
    for (port, transport, program) in cases {
        let (code, stderr) = Porthole::fail(&format!("{SMALL}\n[rtc]\nudp_port = {port}\n"))?;
        let words =
            [format!("{transport} port {port}"), format!("{program} 'sport = :{port}'"), "[rtc] udp_port".into()];
        ensure!(code == Some(1) && words.iter().all(|words| stderr.contains(words)), "{code:?} {stderr}");
    }
    Ok(())
}
