//! Limits of one control connection: message size, request rate and queues.

/// The longest message from a client in bytes, which bounds the parser's work. Data channels carry this much between all
/// implementations (RFC 8831 section 6.6).
pub const MAX_MESSAGE_LEN: usize = 16 * 1024;

/// The burst of requests, and their rate per second. Dragging a slider makes some 30 per second; a page that opens sends
/// some 10 at once.
pub const REQUEST_RATE: (u32, u32) = (100, 50);

/// Requests that may be queued: a second of dragging a slider, while a slow camera changes its first setting.
pub const MAX_QUEUED: usize = 32;

/// Unacknowledged bytes to a viewer above which nothing more is sent: half a second at 1 Mbit/s.
pub const MAX_BUFFERED_AMOUNT: usize = 64 * 1024;
