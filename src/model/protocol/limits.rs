//! How much one viewer may ask at once: the bounds of the queues between a viewer and the board.

/// The longest message of a viewer in bytes, which bounds what it can make the reader work on. Data channels carry this
/// much between all stacks (RFC 8831 section 6.6).
pub const MAX_MESSAGE_LEN: usize = 16 * 1024;

/// Requests at once, and then a second. A person who draws at a slider makes some 30 a second; a page that opens asks for
/// some 10 things at once.
pub const REQUEST_RATE: (u32, u32) = (100, 50);

/// Requests that wait until others are carried out: a second of a slider, while a slow camera changes its first setting.
pub const MAX_QUEUED: usize = 32;

/// Bytes on their way to a viewer, beyond which nothing more is sent: half a second of a network of 1 Mbit/s.
pub const MAX_BUFFERED_AMOUNT: usize = 64 * 1024;
