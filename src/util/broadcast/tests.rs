//! Tests of the broadcast channel.

use std::time::{Duration, Instant};

use super::*;

#[tokio::test]
async fn a_slow_subscriber_learns_how_much_it_missed_and_the_producer_never_waits() {
    let fan_out = Broadcast::new(4);
    let mut slow = fan_out.subscribe();
    for value in 0..10 {
        fan_out.publish(value);
    }
    assert_eq!(slow.recv().await, Err(RecvError::Lagged(6)));
    assert_eq!(slow.recv().await, Ok(6));
}

#[tokio::test]
async fn a_late_subscriber_gets_what_is_kept_first_and_each_value_once() {
    let fan_out = Broadcast::new(8);
    fan_out.send(0, Keep::Too);
    assert!(!fan_out.subscribe_with_backlog().has_backlog(), "it does not begin with a value to start with");
    for (value, keep) in [(1, Keep::From), (2, Keep::Too), (3, Keep::From), (4, Keep::Too)] {
        fan_out.send(value, keep);
    }
    let (mut late, mut live) = (fan_out.subscribe_with_backlog(), fan_out.subscribe());
    fan_out.send(5, Keep::Too);
    for value in 3..=5 {
        assert_eq!(late.recv().await, Ok(value));
    }
    assert_eq!(live.recv().await, Ok(5));
    fan_out.publish(6);
    assert!(!fan_out.subscribe_with_backlog().has_backlog());
}

#[test]
fn demand_is_counted_until_its_guards_are_dropped() {
    let fan_out = Broadcast::<u8>::new(4);
    let early = fan_out.demand().register();
    let subscriber = fan_out.subscribe();
    assert_eq!((fan_out.demand().guards(), fan_out.subscribers()), (2, 1));
    drop((early, subscriber));
    assert_eq!((fan_out.demand().guards(), fan_out.subscribers()), (0, 0));
}

#[test]
fn a_waiting_producer_wakes_for_demand_and_for_a_stop() {
    let demand = Demand::default();
    let producer = std::thread::spawn({
        let demand = demand.clone();
        move || (demand.wait(), demand.pause(Duration::from_secs(3600)))
    });
    let _interest = demand.register();
    demand.stop();
    producer.join().expect("producer should not panic");
    assert!(!demand.wait());
}

#[test]
fn a_blocked_producer_is_not_needed_whatever_the_demand() {
    let (demand, hour) = (Demand::default(), Duration::from_secs(3600));
    let interest = demand.register();
    let mut linger = Linger::new(&demand, hour, Instant::now());
    assert!(demand.wait() && demand.is_needed() && demand.blocked_since().is_none());
    // In the middle of a pause, too.
    let producer = std::thread::spawn({
        let demand = demand.clone();
        move || demand.pause(hour)
    });
    demand.set_blocked(true);
    assert!(!producer.join().expect("producer should not panic"));
    let since = demand.blocked_since();
    demand.set_blocked(true);
    assert_eq!(demand.blocked_since(), since, "it is blocked since the first call");
    assert!(since.is_some() && !demand.is_needed() && linger.is_over(Instant::now()));
    assert!(demand.wait(), "there is demand for the placeholder");
    assert!(demand.wait_while_blocked(Some(Duration::from_millis(1))));

    let waiting = || {
        let demand = demand.clone();
        std::thread::spawn(move || demand.wait_while_blocked(None))
    };
    let ended = |producer: std::thread::JoinHandle<bool>| {
        assert!(!producer.join().expect("producer should not panic"));
    };
    let producer = waiting();
    demand.set_blocked(false);
    ended(producer);
    demand.set_blocked(true);
    let producer = waiting();
    drop(interest);
    ended(producer);
    let _interest = demand.register();
    let producer = waiting();
    demand.stop();
    ended(producer);
}

#[test]
fn a_wakeup_ends_the_pause_that_it_comes_before_or_in() {
    let (demand, hour) = (Demand::default(), Duration::from_secs(3600));
    let _interest = demand.register();
    demand.wake();
    assert!(demand.wait());
    assert!(!demand.pause(Duration::from_millis(1)), "the attempt after a wakeup has served it");

    // Between the attempt's beginning and the pause.
    demand.wake();
    assert!(demand.pause(hour));

    assert!(demand.wait());
    let producer = std::thread::spawn({
        let demand = demand.clone();
        move || demand.pause(hour)
    });
    demand.wake();
    assert!(producer.join().expect("producer should not panic"));
}

#[test]
fn a_producer_without_demand_is_told_of_a_device_and_demand_comes_first() {
    let demand = Demand::default();
    let woken_by = |change: &dyn Fn()| {
        let producer = std::thread::spawn({
            let demand = demand.clone();
            move || demand.wait_or_wake()
        });
        change();
        producer.join().expect("producer should not panic")
    };
    assert_eq!(woken_by(&|| demand.wake()), Wake::Device);
    let interest = std::cell::Cell::new(None);
    assert_eq!(woken_by(&|| interest.set(Some(demand.register()))), Wake::Demand);
    demand.wake();
    assert_eq!(demand.wait_or_wake(), Wake::Demand);
    interest.take();
    assert_eq!(woken_by(&|| demand.stop()), Wake::Stopped);
}

#[test]
fn a_device_stays_open_for_a_while_after_the_demand_is_gone() {
    let demand = Demand::default();
    let (start, second) = (Instant::now(), Duration::from_secs(1));
    let mut linger = Linger::new(&demand, second, start);
    let interest = demand.register();
    assert!(!linger.is_over(start + second * 10));
    drop(interest);
    assert!(!linger.is_over(start + second * 10 + second / 2));
    assert!(linger.is_over(start + second * 11));
    let _interest = demand.register();
    demand.stop();
    assert!(linger.is_over(start + second * 11));
}

#[test]
fn refresh_requests_are_merged() {
    let fan_out = Broadcast::<u8>::new(4);
    fan_out.request_refresh();
    fan_out.request_refresh();
    assert!(fan_out.refresh_requested());
    assert!(fan_out.take_refresh_request());
    assert!(!fan_out.take_refresh_request());
}
