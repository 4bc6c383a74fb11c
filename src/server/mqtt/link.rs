//! One connection to the broker: what goes out, with a bound and a time limit, and what comes in.
//!
//! What is published belongs to `publish` and `pictures`, what arrives to `inbox`.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Filter, Packet, PubAckReason, RetainForwardRule, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ClientError, Event, EventLoop, MqttOptions};
use tokio::time::timeout;

use super::inbox::Inbox;
use super::link_error::{LinkError, NO_ANSWER};
use crate::model::metrics::Metrics;

/// Messages that may wait for the connection: pictures are large, and the state is published when there is room.
const QUEUE: usize = 2;

/// How long a message may wait for room. A broker that reads nothing for so long is as good as gone.
const SEND_LIMIT: Duration = Duration::from_secs(30);

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The largest message that is published, twice a picture of 1920x1080: nothing is received while it is sent, so that a
/// command waits for it.
const MAX_OUTGOING: usize = 1024 * 1024;

/// A connection.
pub(super) struct Link {
    events: EventLoop,
    /// How long nothing may happen: one side asks at least once in the keep alive time.
    silence_limit: Duration,
    /// Where messages are published.
    pub(super) outbox: Outbox,
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When the broker cannot be reached or rejects the connection.
    pub(super) async fn open(options: MqttOptions) -> Result<Self, LinkError> {
        let (client, mut events) = AsyncClient::new(options, QUEUE);
        match events.poll().await.map_err(LinkError::connecting)? {
            Event::Incoming(Packet::ConnAck(answer)) => {
                // The broker may have chosen another one.
                let silence_limit = events.options.keep_alive() + ANSWER_LIMIT;
                Ok(Self { events, silence_limit, outbox: Outbox { client, max_size: max_size(&answer) } })
            }
            event => Err(LinkError::new(format_args!("the broker answers with {event:?}"))),
        }
    }

    /// Sends and receives until the connection ends; `Ok` after [`Outbox::disconnect`]. What the broker refuses is handed to
    /// `refused`.
    ///
    /// # Errors
    ///
    /// Why the connection has ended.
    pub(super) async fn run(
        mut self,
        inbox: &Inbox<'_>,
        metrics: &Metrics,
        refused: impl Fn(String),
    ) -> Result<(), LinkError> {
        loop {
            let event = timeout(self.silence_limit, self.events.poll()).await;
            // It may also wait for a message to be taken, without an end.
            let event = event.map_err(|_| LinkError::new(NO_ANSWER))??;
            if let Some(refusal) = refusal(&event) {
                refused(refusal);
            }
            match event {
                Event::Incoming(Packet::Publish(message)) => {
                    inbox.receive(&message.topic, &message.payload, message.retain);
                }
                Event::Outgoing(Outgoing::Publish(_)) => {
                    metrics.mqtt_published.inc();
                }
                Event::Outgoing(Outgoing::Disconnect) => return Ok(()),
                _ => {}
            }
        }
    }
}

/// What the broker refuses.
fn refusal(event: &Event) -> Option<String> {
    match event {
        Event::Incoming(Packet::PubAck(answer)) => match answer.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => None,
            reason => Some(format!("the broker refuses a message: {reason:?}; may this user publish?")),
        },
        Event::Incoming(Packet::SubAck(answer)) => {
            let wrong = answer.return_codes.iter().find(|code| !matches!(code, SubscribeReasonCode::Success(_)))?;
            Some(format!("the broker refuses a subscription: {wrong:?}; may this user subscribe?"))
        }
        _ => None,
    }
}

/// The largest message that the broker takes.
fn max_size(answer: &ConnAck) -> usize {
    let limit = answer.properties.as_ref().and_then(|properties| properties.max_packet_size);
    limit.and_then(|limit| limit.try_into().ok()).unwrap_or(MAX_OUTGOING).min(MAX_OUTGOING)
}

/// Whether the broker keeps the messages of a topic for those who subscribe later, for each subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retained {
    /// They are wanted.
    Wanted,
    /// They are not.
    Unwanted,
}

/// Publishes messages; a cheap handle.
#[derive(Clone)]
pub(super) struct Outbox {
    client: AsyncClient,
    max_size: usize,
}

impl Outbox {
    /// Publishes a retained message, which the broker acknowledges; an empty one removes the one before.
    pub(super) async fn retain(&self, topic: &str, payload: &str) -> Result<(), LinkError> {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        send(self.client.publish(topic, QoS::AtLeastOnce, true, payload)).await
    }

    /// Whether a message of this size can be published at this topic.
    pub(super) fn fits(&self, topic: &str, size: usize) -> bool {
        // A header of 5 bytes, the length of the topic, and no properties.
        5 + 2 + topic.len() + 1 + size <= self.max_size
    }

    /// Publishes a message for those who have subscribed.
    pub(super) async fn publish(&self, topic: &str, payload: Bytes) -> Result<(), LinkError> {
        send(self.client.publish(topic, QoS::AtMostOnce, false, payload)).await
    }

    /// Subscribes to a filter, without what this device publishes itself.
    pub(super) async fn subscribe(&self, filter: String, retained: Retained) -> Result<(), LinkError> {
        let mut filter = Filter::new(filter, QoS::AtLeastOnce);
        filter.nolocal = true;
        // A message is told from one that is published to be kept.
        filter.preserve_retain = retained == Retained::Unwanted;
        filter.retain_forward_rule = match retained {
            Retained::Wanted => RetainForwardRule::OnEverySubscribe,
            Retained::Unwanted => RetainForwardRule::Never,
        };
        send(self.client.subscribe_many([filter])).await
    }

    /// Disconnects after what was published before.
    pub(super) async fn disconnect(&self) -> Result<(), LinkError> {
        send(self.client.disconnect()).await
    }
}

/// Waits until there is room for a message.
async fn send(sent: impl Future<Output = Result<(), ClientError>>) -> Result<(), LinkError> {
    match timeout(SEND_LIMIT, sent).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(LinkError::new(error)),
        Err(_) => Err(LinkError::new(format_args!("the broker takes no messages for {} s", SEND_LIMIT.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, PubAck, SubAck};

    use super::*;
    use crate::server::mqtt::inbox::tests::Rig;

    /// Accepts a connection as a broker does, and neither reads nor sends anything more.
    async fn stalled_broker(listener: tokio::net::TcpListener) -> tokio::net::TcpStream {
        let (stream, _) = listener.accept().await.unwrap();
        // CONNACK: no session, success, no properties.
        stream.writable().await.unwrap();
        assert_eq!(stream.try_write(&[0x20, 3, 0, 0, 0]).unwrap(), 5);
        stream
    }

    #[tokio::test]
    async fn a_broker_that_stalls_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut options = MqttOptions::new("porthole", "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(30));
        let (link, _stream) = tokio::join!(Link::open(options), stalled_broker(listener));
        let mut link = link.unwrap();
        assert_eq!(link.silence_limit, Duration::from_secs(40));
        link.silence_limit = Duration::from_millis(200);
        let (rig, metrics, outbox) = (Rig::new(), Metrics::new(), link.outbox.clone());
        let (inbox, _leftovers) = rig.inbox();
        // More than the socket's buffers hold.
        let flood = async {
            loop {
                let _ = outbox.publish("a", Bytes::from(vec![0; MAX_OUTGOING])).await;
            }
        };
        let ended = tokio::select! {
            ended = link.run(&inbox, &metrics, |_| ()) => ended,
            () = flood => Ok(()),
        };
        assert_eq!(ended.unwrap_err().to_string(), NO_ANSWER);
    }

    #[test]
    fn what_the_broker_refuses_is_told() {
        let published = |reason| Event::Incoming(Packet::PubAck(PubAck { pkid: 1, reason, properties: None }));
        let subscribed = |code| {
            let return_codes = vec![SubscribeReasonCode::Success(QoS::AtLeastOnce), code];
            Event::Incoming(Packet::SubAck(SubAck { pkid: 1, return_codes, properties: None }))
        };
        for accepted in [
            published(PubAckReason::Success),
            published(PubAckReason::NoMatchingSubscribers),
            subscribed(SubscribeReasonCode::Success(QoS::AtMostOnce)),
            Event::Outgoing(Outgoing::PingReq),
        ] {
            assert_eq!(refusal(&accepted), None);
        }
        let refused = refusal(&published(PubAckReason::NotAuthorized)).unwrap();
        assert!(refused.contains("NotAuthorized; may this user publish?"), "{refused}");
        let refused = refusal(&subscribed(SubscribeReasonCode::NotAuthorized)).unwrap();
        assert!(refused.contains("NotAuthorized; may this user subscribe?"), "{refused}");
    }

    #[test]
    fn pictures_have_room_within_the_limits_of_both() {
        let (client, _events) = AsyncClient::new(MqttOptions::new("porthole", "broker", 1883), 1);
        let outbox = Outbox { client, max_size: 100 };
        // A topic of 20 bytes leaves 72.
        let topic = "porthole/ab/camera/a";
        assert!(outbox.fits(topic, 72) && !outbox.fits(topic, 73) && !outbox.fits(topic, usize::MAX / 2));
        let answer = ConnAck { session_present: false, code: ConnectReturnCode::Success, properties: None };
        assert_eq!(max_size(&answer), MAX_OUTGOING);
    }
}
