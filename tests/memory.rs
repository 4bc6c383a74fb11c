//! Viewers that try to fill the program's memory: what they send is bounded, and their sessions end.

mod common;

use std::time::Instant;

use anyhow::{Result, ensure};
use common::client::tamper::{BEGINS, DataChunk, Tamper, UNORDERED};
use common::{LIMIT, Options, POLL_INTERVAL, Porthole, SMALL, Viewer, request};

/// What the program may grow by while one viewer attacks it: many times the data that one session may leave unread.
const GROWTH: u64 = 12 << 20;

/// What the viewer sends at most.
const ATTACK: usize = 48 << 20;

type Rewrite = fn(u32, DataChunk, DataChunk) -> DataChunk;

/// Each breaks a rule on which the library relies to free memory.
const ATTACKS: &[(&str, Rewrite)] = &[
    ("a message that never ends", |count, chunk, first| DataChunk {
        flags: if count == 0 { BEGINS } else { 0 },
        number: first.number,
        ..chunk
    }),
    ("messages after one that is missing", |_, chunk, _| DataChunk { number: chunk.number.wrapping_add(1), ..chunk }),
    ("unordered fragments without a beginning", |_, chunk, _| DataChunk { flags: UNORDERED, ..chunk }),
    ("a stream for each chunk", |count, chunk, _| DataChunk { stream: 2 + count as u16, ..chunk }),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_cannot_fill_the_memory_through_its_data_channel() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    for (what, rewrite) in ATTACKS {
        let tamper = Tamper::new(*rewrite);
        let options = Options { decode: false, tamper: Some(tamper.clone()), ..Options::new(&porthole.base) };
        let mut viewer = Viewer::connect(&options).await?;
        viewer.frame(LIMIT).await?;
        viewer.send(r#"{"method":"server.ping","id":1}"#).await?;
        viewer.until(LIMIT, |event| matches!(event, common::Event::Message(_))).await?;
        let before = porthole.memory()?;
        tamper.arm();
        let message = "x".repeat(48 * 1024);
        for _ in 0..ATTACK / message.len() {
            // The session may end at any moment.
            let _ = viewer.send(&message).await;
        }
        let deadline = Instant::now() + LIMIT;
        let mut most = before;
        while request("GET", &viewer.session, &[], String::new()).await?.status != 404 {
            most = most.max(porthole.memory()?);
            ensure!(Instant::now() < deadline, "{what}: the session goes on; {} bytes grown", most - before);
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        most = most.max(porthole.memory()?);
        ensure!(most - before < GROWTH, "{what}: the program grew by {} bytes", most - before);
    }
    // Others are not affected.
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    viewer.frame(LIMIT).await?;
    viewer.leave().await
}
