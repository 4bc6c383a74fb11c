//! When the next piece of a picture may be sent, so that it does not stand in the way of the live picture.

use std::time::Duration;

use bytes::BytesMut;
use tokio::time::{Instant, Interval, interval};
use webrtc::data_channel::DataChannel;

use crate::model::protocol::limits::MAX_BUFFERED_AMOUNT;
use crate::model::protocol::transfer::{MAX_MESSAGE, Transfer};

/// How often it is looked how much is on its way: at 16 KiB each time 26 Mbit/s, which is a picture of a megabyte in a
/// third of a second.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The delay that pieces on their way may cause on a network that is the slower of picture and network: as much as a
/// person does not see.
const MAX_QUEUE_DELAY: Duration = Duration::from_millis(50);

/// What is on its way when the next piece is sent, at the least: the end of the one before, so that its acknowledgement
/// is not waited for. With a piece it makes 150 ms of a network of 1 Mbit/s.
const MIN_WINDOW: usize = 2 * 1024;

/// A picture that is being sent.
pub struct PacedTransfer {
    transfer: Transfer,
    started: Instant,
    /// Bytes that were handed to the channel.
    sent: usize,
    poll: Interval,
}

impl PacedTransfer {
    /// Begins.
    pub fn new(transfer: Transfer) -> Self {
        Self { transfer, started: Instant::now(), sent: 0, poll: interval(POLL_INTERVAL) }
    }

    /// The next piece, when it may be sent, and whether it is the last one. Cancelling loses nothing.
    pub async fn next_chunk(&mut self, channel: &dyn DataChannel) -> Result<(BytesMut, bool), webrtc::error::Error> {
        loop {
            self.poll.tick().await;
            let in_flight = channel.outstanding_bytes().await?;
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

/// What may be on its way when the next piece is sent, in bytes, where so many arrived in a time.
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
        // 1 Mbit/s, of which a half arrived.
        assert_eq!(window(62_500, second), 3_125);
        assert_eq!(window(500_000, second), 25_000);
        assert_eq!(window(10_000_000, second), MAX_BUFFERED_AMOUNT - MAX_MESSAGE);
    }
}
