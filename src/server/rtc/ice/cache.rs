//! A cache that fetches each value once: whoever asks while it is fetched waits for the same value.
//!
//! What is fetched, and from where, does not belong here.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::util::lock::Mutex;

/// Values by key. There are as many keys as the configuration has names and servers, times the addresses of this host.
/// Expired values are removed when the next one is fetched.
#[derive(Debug)]
pub struct SingleFlightCache<K, V>(Mutex<HashMap<K, CacheEntry<V>>>);

/// A value, `None` while it is fetched, and when it expires.
type CacheEntry<V> = watch::Receiver<Option<(V, Instant)>>;

impl<K, V> Default for SingleFlightCache<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone, V: Clone + Send + Sync + 'static> SingleFlightCache<K, V> {
    /// The value of a key. If it is not cached, `fetch` runs as a task of its own, even if nobody waits for it any
    /// more. It returns the value with its lifetime, and must finish.
    pub async fn get<F>(&self, key: &K, fetch: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = (V, Duration)> + Send + 'static,
    {
        let mut entry = self.entry(key, fetch);
        // An error means that fetching panicked.
        let answer = entry.wait_for(Option::is_some).await.ok()?;
        answer.as_ref().map(|(answer, _)| answer.clone())
    }

    fn entry<F>(&self, key: &K, fetch: impl FnOnce() -> F) -> CacheEntry<V>
    where
        F: Future<Output = (V, Duration)> + Send + 'static,
    {
        let now = Instant::now();
        let mut entries = self.0.lock();
        entries.retain(|_, entry| match &*entry.borrow() {
            Some((_, until)) => now < *until,
            None => entry.has_changed().is_ok(),
        });
        if let Some(entry) = entries.get(key) {
            return entry.clone();
        }
        let (answer, entry) = watch::channel(None);
        entries.insert(key.clone(), entry.clone());
        let fetched = fetch();
        tokio::spawn(async move {
            let (value, ttl) = fetched.await;
            answer.send_replace(Some((value, Instant::now() + ttl)));
        });
        entry
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn an_answer_is_asked_for_once_until_it_is_out_of_date() {
        let (answers, asked) = (SingleFlightCache::default(), Arc::new(AtomicU32::new(0)));
        let get = |ttl| {
            let asked = asked.clone();
            answers.get(&"who", move || async move { (asked.fetch_add(1, Ordering::Relaxed), ttl) })
        };
        assert_eq!(get(Duration::ZERO).await, Some(0));
        assert_eq!(get(MINUTE).await, Some(1));
        assert_eq!(get(MINUTE).await, Some(1));
    }

    #[tokio::test]
    async fn all_that_ask_meanwhile_share_one_answer_also_when_the_first_gives_up() {
        let (answers, go) = (SingleFlightCache::default(), Arc::new(Notify::new()));
        let waits = go.clone();
        let first = answers.get(&1, move || async move {
            waits.notified().await;
            ("first", MINUTE)
        });
        tokio::select! {
            biased;
            _ = first => panic!("nobody has answered"),
            () = std::future::ready(()) => {}
        }
        let second = answers.get(&1, || async { ("second", MINUTE) });
        go.notify_one();
        assert_eq!(second.await, Some("first"));
        assert_eq!(answers.get(&2, || async { ("another", MINUTE) }).await, Some("another"));
    }

    #[tokio::test]
    async fn one_that_asks_in_vain_leaves_the_next_to_ask_again() {
        let answers = SingleFlightCache::default();
        assert_eq!(answers.get(&1, || async { panic!("broken on purpose") }).await, None);
        assert_eq!(answers.get(&1, || async { (5, MINUTE) }).await, Some(5));
    }
}
