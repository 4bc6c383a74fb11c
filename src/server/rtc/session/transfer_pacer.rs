//! Paces the transfer of a snapshot over the data channel, so that it does not delay the live video.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::{Instant, Interval, interval};

use super::data_channel::DataChannel;
use crate::model::protocol::limits::MAX_BUFFERED_AMOUNT;
use crate::model::protocol::transfer::{MAX_MESSAGE, Transfer};

/// How often the bytes in flight are checked: with 16 KiB each time 26 Mbit/s, which sends a snapshot of a megabyte in
/// a third of a second.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The queueing delay that chunks in flight may cause on a slow network: less than a person notices.
const MAX_QUEUE_DELAY: Duration = Duration::from_millis(50);

/// The minimum window in bytes: the end of the previous chunk, so that its acknowledgement is not waited for. Together
/// with a chunk it takes 150 ms at 1 Mbit/s.
const MIN_WINDOW: usize = 2 * 1024;

/// A snapshot that is being sent.
pub struct PacedTransfer {
    transfer: Transfer,
    started: Instant,
    /// Bytes passed to the channel.
    sent: usize,
    poll: Interval,
}

impl PacedTransfer {
    /// Starts.
    pub fn new(transfer: Transfer) -> Self {
        Self { transfer, started: Instant::now(), sent: 0, poll: interval(POLL_INTERVAL) }
    }

    /// The next chunk, once it may be sent, and whether it is the last one. Cancel safe.
    pub async fn next_chunk(&mut self, channel: &DataChannel) -> io::Result<(BytesMut, bool)> {
        loop {
            self.poll.tick().await;
            let in_flight = channel.outstanding()?;
            let acknowledged = self.sent.saturating_sub(in_flight);
            if in_flight <= window(acknowledged, self.started.elapsed()) {
                break;
            }
        }
        let chunk = self.transfer.next().unwrap_or_default();
        self.sent += chunk.len();
        Ok((chunk, self.transfer.is_done()))
    }
}

/// The bytes that may be in flight when the next chunk is sent, if `acknowledged` bytes took `elapsed`.
fn window(acknowledged: usize, elapsed: Duration) -> usize {
    let max = MAX_BUFFERED_AMOUNT - MAX_MESSAGE;
    let per_second = acknowledged as f64 / elapsed.as_secs_f64().max(POLL_INTERVAL.as_secs_f64());
    ((per_second * MAX_QUEUE_DELAY.as_secs_f64()) as usize).clamp(MIN_WINDOW, max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_network_is_used_and_a_slow_one_is_left_to_the_picture() {
        let second = Duration::from_secs(1);
        assert_eq!(window(0, Duration::ZERO), MIN_WINDOW);
        // 1 Mbit/s, half of it acknowledged.
        assert_eq!(window(62_500, second), 3_125);
        assert_eq!(window(500_000, second), 25_000);
        assert_eq!(window(10_000_000, second), MAX_BUFFERED_AMOUNT - MAX_MESSAGE);
    }
}
