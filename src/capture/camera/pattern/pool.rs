//! A pool of frame buffers that return when the last reader of a frame is done. Allocating a buffer for every frame
//! would cost more than drawing it, because the kernel zeroes its pages one by one.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use bytes::Bytes;

/// The number of pooled buffers: one for the newest frame, one with the encoder, one being drawn, one spare for a
/// snapshot. Beyond that, buffers are allocated and not kept.
const MAX_POOLED: usize = 4;

/// Buffers to lend.
pub struct Pool {
    returns: SyncSender<Vec<u8>>,
    returned: Receiver<Vec<u8>>,
}

impl Pool {
    /// An empty pool.
    pub fn new() -> Self {
        let (returns, returned) = sync_channel(MAX_POOLED);
        Self { returns, returned }
    }

    /// A buffer that holds an earlier frame, or a copy of `fresh` when none is free.
    pub fn acquire(&self, fresh: &[u8]) -> Vec<u8> {
        self.returned.try_recv().unwrap_or_else(|_| fresh.to_vec())
    }

    /// Shares `data`, which returns to the pool when the last clone is dropped.
    pub fn lend(&self, data: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { data, returns: self.returns.clone() })
    }
}

struct Lent {
    data: Vec<u8>,
    returns: SyncSender<Vec<u8>>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // If the pool is full or gone, the buffer is freed.
        let _ = self.returns.try_send(std::mem::take(&mut self.data));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffer_returns_with_its_last_clone() {
        let pool = Pool::new();
        let lent = pool.lend(pool.acquire(&[1, 2, 3]));
        let (address, clone) = (lent.as_ptr(), lent.clone());
        drop(lent);
        let other = pool.acquire(&[0, 0, 0]);
        assert_eq!(other, [0, 0, 0], "a clone still reads the first");
        drop(clone);
        let returned = pool.acquire(&[0, 0, 0]);
        assert_eq!((returned.as_ptr(), returned.as_slice()), (address, &[1, 2, 3][..]));
    }

    #[test]
    fn pool_size_is_bounded_and_frames_outlive_the_pool() {
        let pool = Pool::new();
        let lent: Vec<Bytes> = (0..2 * MAX_POOLED).map(|_| pool.lend(pool.acquire(&[7]))).collect();
        let last = lent[0].clone();
        drop(lent);
        let kept = std::iter::from_fn(|| pool.returned.try_recv().ok()).count();
        assert_eq!(kept, MAX_POOLED);
        drop(pool);
        assert_eq!(last[..], [7]);
    }
}
