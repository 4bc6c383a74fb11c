//! Clients that leave at every point of a session leave nothing behind.

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use crate::client::{Client, INTERLEAVED};
use crate::common::{Footprint, Porthole, until_idle};
use crate::config;

/// Clients at once. Of those that set a session up, fewer may be about to play than 16.
const AT_ONCE: u8 = 20;

/// How often so many come.
const ROUNDS: u8 = 50;

/// Ports that nobody listens on, so that everything sent there comes back as an error.
const UDP: [&str; 2] = ["RTP/AVP;unicast;client_port=2009-2010", "RTP/AVP;unicast;client_port=2011-2012"];

/// How far a client comes before it leaves.
#[derive(Debug, Clone, Copy)]
enum Until {
    Connected,
    HalfARequest,
    Described,
    SetUp([&'static str; 2]),
    Playing([&'static str; 2]),
    Paused,
    TornDown([&'static str; 2]),
}

/// Every point at which clients leave.
const POINTS: [Until; 10] = [
    Until::Connected,
    Until::HalfARequest,
    Until::Described,
    Until::SetUp(INTERLEAVED),
    Until::SetUp(UDP),
    Until::Playing(INTERLEAVED),
    Until::Playing(UDP),
    Until::Paused,
    Until::TornDown(INTERLEAVED),
    Until::TornDown(UDP),
];

/// Sets up and plays as a client does, and leaves at this point.
async fn come_and_leave(mut client: Client, until: Until) -> Result<()> {
    let (transports, requests): (_, &[&str]) = match until {
        Until::Connected => return Ok(()),
        Until::HalfARequest => return client.send(b"OPTIONS * RTSP/1.0\r\nCS").await,
        Until::Described => {
            let described = client.request("DESCRIBE", "", &[]).await?;
            ensure!(described.status == 200, "{described:?}");
            return Ok(());
        }
        Until::SetUp(transports) => (transports, &[]),
        Until::Playing(transports) => (transports, &["PLAY"]),
        Until::Paused => (INTERLEAVED, &["PLAY", "PAUSE"]),
        Until::TornDown(transports) => (transports, &["PLAY", "TEARDOWN"]),
    };
    let session = client.set_up("camera", transports).await?;
    for method in requests {
        let answer = client.request(method, "camera", &[("Session", &session)]).await?;
        ensure!(answer.status == 200, "{method}: {answer:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_leave_nothing_behind() -> Result<()> {
    let porthole = Porthole::start(&config())?;
    // What is made once is there.
    for until in POINTS {
        come_and_leave(Client::new(&porthole).await?, until).await?;
    }
    until_idle(&porthole).await?;
    let before = Footprint::of(&porthole).await?;
    for round in 0..ROUNDS {
        let mut clients = JoinSet::new();
        for number in 0..AT_ONCE {
            // Each has an address of its own, as there is a limit for each.
            let client = Client::from(&porthole, [127, 0, round, number + 1]).await?;
            clients.spawn(come_and_leave(client, POINTS[usize::from(number) % POINTS.len()]));
        }
        while let Some(done) = clients.join_next().await {
            done??;
        }
        porthole.until_status("nobody is left", |status| status["viewers"] == 0).await?;
    }
    until_idle(&porthole).await?;
    before.until_restored(&porthole).await
}
