//! Viewers that try to fill the program's memory: what they send is bounded, and their sessions end.

mod common;
#[path = "memory/raw_peer.rs"]
mod raw_peer;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use common::{LIMIT, Options, POLL_INTERVAL, Porthole, SMALL, Viewer, request};
use raw_peer::RawPeer;
use test_viewer::tamper::{BEGINS, DataChunk, Tamper, UNORDERED};

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

/// A DTLS record (RFC 6347 section 4.1).
fn record(content: u8, epoch: u16, number: u32, payload: &[u8]) -> Vec<u8> {
    let mut record = vec![content, 0xfe, 0xfd];
    record.extend(epoch.to_be_bytes());
    record.extend([0, 0]);
    record.extend(number.to_be_bytes());
    record.extend((payload.len() as u16).to_be_bytes());
    record.extend(payload);
    record
}

/// A handshake message or a part of it, of the type `finished` (RFC 6347 section 4.2.2).
fn fragment(sequence: u16, len: usize, offset: usize, data: &[u8]) -> Vec<u8> {
    let three = |number: usize| (number as u32).to_be_bytes()[1..].to_vec();
    [vec![20], three(len), sequence.to_be_bytes().into(), three(offset), three(data.len()), data.into()].concat()
}

/// Fragments in one datagram of those that are to be joined.
const JOINED: usize = 140;

/// How many of these datagrams there are.
const JOINED_DATAGRAMS: usize = 300;

/// What a flood consists of: its name, and a datagram for each number.
type Flood = (&'static str, fn(u32) -> Vec<u8>);

/// None belongs to a handshake that could succeed.
const HANDSHAKES: &[Flood] = &[
    ("records for keys that do not exist yet", |number| record(23, 1, number, &[0; 1_900])),
    ("fragments of messages whose beginning is missing", |number| {
        record(22, 0, number, &fragment(number as u16, 4_000, 1_000, &[0; 1_900]))
    }),
    ("fragments without data", |number| record(22, 0, number, &fragment(0, 0, 1, &[]).repeat(150))),
    ("messages without end", |number| record(22, 0, number, &fragment(number as u16, 1_900, 0, &[0; 1_900]))),
    ("a message of fragments that are joined from the last to the first", |number| {
        // Each says that the next one follows; the first one comes last.
        let left = JOINED_DATAGRAMS.saturating_sub(1 + number as usize) * JOINED;
        let parts = (0..JOINED).rev().map(|part| fragment(0, if left + part == 0 { 2 } else { 1 }, left + part, &[0]));
        record(22, 0, number, &parts.collect::<Vec<_>>().concat())
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_cannot_fill_the_memory_before_it_is_connected() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    for (what, datagram) in HANDSHAKES {
        let peer = RawPeer::connect(&porthole).await?;
        let before = porthole.memory()?;
        let mut most = before;
        for number in 0..(ATTACK / 2_000) as u32 {
            peer.send(&datagram(number)).await?;
            // No faster than it is read, so that nothing is lost on the way.
            if number % 100 == 99 || number as usize + 1 == JOINED_DATAGRAMS {
                let served = peer.is_served().await?;
                most = most.max(porthole.memory()?);
                if !served {
                    break;
                }
            }
        }
        ensure!(most - before < GROWTH, "{what}: the program grew by {} bytes", most - before);
        // Sooner than a session that never connects.
        let deadline = Instant::now() + Duration::from_secs(10);
        while request("GET", &peer.session, &[], String::new()).await?.status != 404 {
            ensure!(Instant::now() < deadline, "{what}: the session goes on");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
    // Others are not affected.
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    viewer.frame(LIMIT).await?;
    viewer.leave().await
}
