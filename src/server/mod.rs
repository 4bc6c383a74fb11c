//! Everything that a viewer or a program reaches over the network: who is let in, the sessions, the control protocol,
//! WebRTC and HTTP.
//!
//! It is handed subscriptions and handles, and knows neither devices nor capture.

pub mod auth;
pub mod dispatch;
pub mod http;
pub mod photos;
pub mod rtc;
pub mod sessions;
