//! The user's end of a data channel: the session's task owns the channel itself and is told what to send.
//!
//! Nothing waits for a viewer here but whoever sends to it, and what was received is read no faster than it is used.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc};

use crate::server::rtc::peer::Message;
use crate::util::lock::Mutex;

/// Messages received that nobody has read yet. The rest stays in the library, whose window then closes.
const MESSAGE_QUEUE: usize = 8;

/// A message that the session's task is to send.
#[derive(Debug)]
pub struct Outgoing {
    /// The channel.
    pub id: u16,
    /// What to send.
    pub message: Message,
}

/// A channel's state, which both ends see.
#[derive(Debug, Default)]
struct State {
    /// Bytes on their way to the session's task.
    queued: AtomicUsize,
    /// Bytes that the viewer has not acknowledged.
    unacknowledged: AtomicUsize,
    is_closed: AtomicBool,
    /// Told when there is less to be acknowledged, or the channel is closed.
    acknowledged: Notify,
}

/// The user's end of a channel.
#[derive(Debug)]
pub struct DataChannel {
    id: u16,
    /// Its name.
    pub label: String,
    /// Whether it exists although the viewer has not opened it.
    pub is_negotiated: bool,
    messages: Mutex<mpsc::Receiver<Message>>,
    outgoing: mpsc::Sender<Outgoing>,
    state: Arc<State>,
    was_read: Arc<Notify>,
}

/// The end of the session's task.
#[derive(Debug)]
pub struct ChannelEnd {
    id: u16,
    messages: mpsc::Sender<Message>,
    state: Arc<State>,
    /// Whether the library may have messages.
    is_readable: bool,
}

/// Both ends of a channel. What it sends goes to `outgoing`; `was_read` is told when there is room for another message.
pub fn new(
    id: u16,
    label: String,
    is_negotiated: bool,
    outgoing: mpsc::Sender<Outgoing>,
    was_read: Arc<Notify>,
) -> (DataChannel, ChannelEnd) {
    let (sender, receiver) = mpsc::channel(MESSAGE_QUEUE);
    let state = Arc::<State>::default();
    let end = ChannelEnd { id, messages: sender, state: state.clone(), is_readable: false };
    let messages = Mutex::new(receiver);
    (DataChannel { id, label, is_negotiated, messages, outgoing, state, was_read }, end)
}

impl DataChannel {
    /// The next message; `None` once the channel is closed. Cancel safe.
    pub async fn receive(&self) -> Option<Message> {
        let message = std::future::poll_fn(|cx| self.messages.lock().poll_recv(cx)).await;
        self.was_read.notify_one();
        message
    }

    /// Sends a text.
    ///
    /// # Errors
    ///
    /// If the channel is closed.
    pub async fn send_text(&self, text: &str) -> io::Result<()> {
        self.send(Message { is_text: true, data: text.to_owned().into() }).await
    }

    /// Sends a message, once there is room.
    ///
    /// # Errors
    ///
    /// If the channel is closed.
    pub async fn send(&self, message: Message) -> io::Result<()> {
        let slot = self.outgoing.reserve().await.map_err(|_| closed())?;
        if self.state.is_closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        self.state.queued.fetch_add(message.data.len(), Ordering::AcqRel);
        slot.send(Outgoing { id: self.id, message });
        Ok(())
    }

    /// The bytes sent that the viewer has not acknowledged yet.
    ///
    /// # Errors
    ///
    /// If the channel is closed.
    pub fn outstanding(&self) -> io::Result<usize> {
        if self.state.is_closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        Ok(self.state.queued.load(Ordering::Acquire) + self.state.unacknowledged.load(Ordering::Acquire))
    }

    /// Waits until the viewer has acknowledged everything, or the channel is closed. One task may wait at a time.
    pub async fn acknowledged(&self) {
        while self.outstanding().is_ok_and(|bytes| bytes > 0) {
            self.state.acknowledged.notified().await;
        }
    }
}

impl Drop for DataChannel {
    fn drop(&mut self) {
        self.messages.lock().close();
        // What comes for it from now on has to be thrown away.
        self.was_read.notify_one();
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the data channel is closed")
}

impl ChannelEnd {
    /// The channel's stream.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Notes that the library has messages.
    pub fn set_readable(&mut self) {
        self.is_readable = true;
    }

    /// Passes messages on as long as there is room; whether there were any.
    pub fn forward(&mut self, mut read: impl FnMut() -> Option<Message>) -> bool {
        let mut any = false;
        while self.is_readable
            && let Ok(slot) = self.messages.try_reserve()
        {
            match read() {
                Some(message) => {
                    slot.send(message);
                    any = true;
                }
                None => self.is_readable = false,
            }
        }
        // Nobody reads it any more, but the viewer may not fill the window that all channels share.
        while self.is_readable && self.messages.is_closed() {
            self.is_readable = read().is_some();
            any = true;
        }
        any
    }

    /// Notes that `message` was passed to the library.
    pub fn note_sent(&self, message: &Message) {
        self.state.queued.fetch_sub(message.data.len(), Ordering::AcqRel);
    }

    /// Notes how many bytes the viewer has not acknowledged.
    pub fn set_unacknowledged(&self, bytes: usize) {
        if bytes < self.state.unacknowledged.swap(bytes, Ordering::AcqRel) {
            self.state.acknowledged.notify_one();
        }
    }
}

impl Drop for ChannelEnd {
    fn drop(&mut self) {
        self.state.is_closed.store(true, Ordering::Release);
        self.state.acknowledged.notify_one();
    }
}
