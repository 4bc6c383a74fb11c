//! The data channel `control` of one viewer: messages in, answers out.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use webrtc::data_channel::{DataChannel, DataChannelEvent};

use crate::command::Event;
use crate::control::Control;
use crate::media::Timestamp;

/// The label of the channel that carries commands; others are ignored.
const LABEL: &str = "control";

/// Serves the channel until it closes. Its close is the one sign that a browser gives at once when its user leaves, so
/// it ends the session; when the session ends first, the viewer is told.
pub async fn serve(channel: Arc<dyn DataChannel>, control: Control, end: CancellationToken) {
    match channel.label().await {
        Ok(label) if label == LABEL => {}
        label => {
            tracing::debug!("data channel {label:?} ignored");
            return;
        }
    }
    loop {
        let event = tokio::select! {
            biased;
            () = end.cancelled() => {
                say_goodbye(channel.as_ref()).await;
                return;
            }
            event = channel.poll() => event,
        };
        match event {
            Some(DataChannelEvent::OnMessage(message)) => {
                let received = Timestamp::now();
                let answer = match std::str::from_utf8(&message.data) {
                    Ok(text) => control.answer(text, received),
                    Err(_) => control.answer("", received),
                };
                if let Err(error) = channel.send_text(&answer).await {
                    tracing::debug!("answer on the data channel: {error}");
                }
            }
            Some(DataChannelEvent::OnClose) | None => {
                end.cancel();
                return;
            }
            Some(_) => {}
        }
    }
}

/// Tells the viewer that the board ends the session, and waits until the message is acknowledged: closing the connection
/// would overtake it.
async fn say_goodbye(channel: &dyn DataChannel) {
    let goodbye = Event::SessionEnd { reason: "stopped".into() }.message();
    if channel.send_text(&goodbye).await.is_err() {
        return;
    }
    let mut look = tokio::time::interval(Duration::from_millis(5));
    while channel.outstanding_bytes().await.is_ok_and(|bytes| bytes > 0) {
        look.tick().await;
    }
}
