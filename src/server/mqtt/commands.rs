//! Carries out the commands for the privacy switch, one after the other.
//!
//! A command that comes while another is carried out replaces the one that waits: the last one counts.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::server::dispatch::{Caller, Dispatcher};

/// Minimum interval between two commands: each is logged, told to all viewers and written to a file.
const MIN_INTERVAL: Duration = Duration::from_millis(500);

/// Carries out what `wanted` says, and counts in `answered` what was answered. Never returns while there are senders.
pub(super) async fn carry_out(
    dispatcher: &Dispatcher,
    mut wanted: watch::Receiver<Option<bool>>,
    answered: &watch::Sender<u64>,
) {
    while wanted.changed().await.is_ok() {
        let Some(on) = *wanted.borrow_and_update() else { continue };
        let request = format!(r#"{{"method":"privacy.set","params":{{"on":{on}}}}}"#);
        if let (_, Err(error)) = dispatcher.handle_message(&Caller::mqtt(), request.as_bytes()).await {
            tracing::warn!("the privacy switch was not set by MQTT: {}", error.message);
        }
        answered.send_modify(|count| *count += 1);
        sleep(MIN_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metrics::Metrics;
    use crate::model::status::{Status, StatusPublisher};
    use crate::server::sessions::SessionRegistry;

    #[tokio::test]
    async fn commands_are_carried_out_as_an_operators_and_answered() {
        let (metrics, status) = (Metrics::new(), StatusPublisher::new(Status::default()));
        let sessions = SessionRegistry::new(metrics.clone(), status.clone());
        let dispatcher = Dispatcher::for_tests(sessions, status.clone(), metrics.clone());
        let (wanted, answered) = (watch::Sender::new(None), watch::Sender::new(0));
        let mut answers = answered.subscribe();
        let client = async {
            for (on, commands) in [(true, 1), (true, 2), (false, 3)] {
                wanted.send_replace(Some(on));
                answers.changed().await.unwrap();
                assert_eq!((status.snapshot().privacy, metrics.commands.get()), (on, commands));
            }
        };
        tokio::select! {
            () = carry_out(&dispatcher, wanted.subscribe(), &answered) => panic!("it should go on"),
            () = client => {}
        }
    }
}
