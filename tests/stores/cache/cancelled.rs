//! A request that waits for a lookup may be dropped: the others get their answer, and nothing is left behind.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::get;
use futures::executor::block_on;
use futures::future::{BoxFuture, FutureExt, join_all};
use http::Request;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tower::util::MapRequestLayer;
use tower_api_key::key::KeyDigest;
use tower_api_key::observe::Outcome;
use tower_api_key::store::{CachedStore, Lookup};
use tower_api_key::{ApiKeyLayer, KeyStore};

use super::world::{TIME_TO_LIVE, World, begin, find, unknown_digest};
use crate::support::poll::poll;

/// Cases: 87.
/// The first one, on whose behalf the lookup was begun, goes away at each point at which it can wait.
#[tokio::test]
async fn cancelled_waiter_does_not_affect_others() {
    for stage in ["waits for its turn", "waits for the store", "was answered and not polled yet"] {
        let world = World::with(|cache| cache.first_seen_limit(1));
        let key = world.key().await;
        let other = unknown_digest(0);
        world.store.hold();
        let in_turn = (stage == "waits for its turn").then(|| begin(find(&world.cache, &other)));
        let before = world.store.lookups();
        let first = begin(find(&world.cache, key.record.digest()));
        let others: Vec<_> = (0..10).map(|_| begin(find(&world.cache, key.record.digest()))).collect();
        if stage == "was answered and not polled yet" {
            world.store.release();
        }
        drop(first);
        drop(in_turn);
        world.store.release();
        for found in join_all(others).await {
            assert_eq!(found.unwrap().unwrap().id(), key.record.id(), "{stage}");
        }
        assert_eq!(world.store.lookups() - before, 1, "{stage}");
        assert!(world.remembers(&key), "{stage}");
    }
}

/// Cases: 87.
#[tokio::test]
async fn abandoned_lookup_ends_and_next_request_starts_anew() {
    let world = World::new();
    let key = world.key().await;
    world.store.hold();
    for round in 1..=1_000 {
        let crowd: Vec<_> = (0..3).map(|_| begin(find(&world.cache, key.record.digest()))).collect();
        assert_eq!((world.store.lookups(), world.store.running()), (round, 1));
        drop(crowd);
        assert_eq!(world.store.running(), 0);
    }
    world.store.release();
    assert!(find(&world.cache, key.record.digest()).await.unwrap().is_some());
    leaves_nothing_behind(world, DEFAULT_LIMIT);
}

/// Cases: 87.
/// A future that was made and never polled has begun nothing.
#[tokio::test]
async fn unpolled_request_starts_no_lookup() {
    let world = World::new();
    for number in 0..100 {
        drop(find(&world.cache, &unknown_digest(number)));
    }
    assert_eq!(world.store.lookups(), 0);
    leaves_nothing_behind(world, DEFAULT_LIMIT);
}

/// Cases: 87.
/// On a real connection.
#[tokio::test]
async fn disconnected_client_does_not_affect_others() {
    let world = World::new();
    let key = world.key().await;
    let (arrived, cancelled) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (arrivals, cancellations) = (Arc::clone(&arrived), Arc::clone(&cancelled));
    let layer = ApiKeyLayer::new(world.cache.clone()).without_lookup_timeout().on_decision(move |event| {
        if event.outcome() == Outcome::Cancelled {
            cancellations.fetch_add(1, Ordering::SeqCst);
        }
    });
    let count = MapRequestLayer::new(move |request: Request<_>| {
        arrivals.fetch_add(1, Ordering::SeqCst);
        request
    });
    let app = Router::new().route("/", get(|| async {})).layer(layer).layer(count);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(axum::serve(listener, app).into_future());

    world.store.hold();
    let head = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Avala-Api-Key: {}\r\n\r\n",
        key.secret.expose_secret()
    );
    let mut clients = Vec::new();
    for number in 1..=3 {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(head.as_bytes()).await.unwrap();
        reaches(&arrived, number).await;
        clients.push(client);
    }
    drop(clients.remove(0));
    reaches(&cancelled, 1).await;
    assert_eq!((world.store.lookups(), world.store.running()), (1, 1));
    world.store.release();
    for mut client in clients {
        let mut reply = String::new();
        client.read_to_string(&mut reply).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    }
    assert_eq!(world.store.lookups(), 1);
    server.abort();
}

/// The server runs on the same thread, so that it has gone as far as it can whenever this one goes on.
async fn reaches(count: &AtomicUsize, number: usize) {
    while count.load(Ordering::SeqCst) < number {
        yield_now().await;
    }
}

const LIMIT: usize = 2;
const DEFAULT_LIMIT: usize = 5;

/// What may happen to requests for a handful of keys. Numbers choose among those that wait, however many there are.
#[derive(Clone, Debug)]
enum Step {
    Arrive(usize),
    Poll(usize),
    Leave(usize),
    /// The store answers one lookup.
    Answer(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_usize..6).prop_map(Step::Arrive),
        2 => any::<usize>().prop_map(Step::Poll),
        2 => any::<usize>().prop_map(Step::Leave),
        1 => (0_usize..3).prop_map(Step::Answer),
    ]
}

proptest! {
    /// Cases: 87.
    #[test]
    fn any_cancellation_leaves_others_their_answer(steps in prop::collection::vec(step(), 1..60)) {
        let world = World::with(|cache| cache.first_seen_limit(LIMIT));
        let keys = block_on(keys(&world));
        world.store.hold();
        let mut waiting: Vec<(usize, BoxFuture<'_, bool>)> = Vec::new();
        let expected = |key: usize| key < 4;
        for step in steps {
            match step {
                Step::Arrive(key) => {
                    let request = find(&world.cache, &keys[key]).map(|found| found.unwrap().is_some());
                    waiting.push((key, request.boxed()));
                }
                Step::Poll(at) if !waiting.is_empty() => {
                    let at = at % waiting.len();
                    if let std::task::Poll::Ready(found) = poll(Pin::new(&mut waiting[at].1)) {
                        prop_assert_eq!(found, expected(waiting.swap_remove(at).0));
                    }
                }
                Step::Leave(at) if !waiting.is_empty() => {
                    let at = at % waiting.len();
                    drop(waiting.swap_remove(at));
                }
                Step::Answer(at) => {
                    world.store.release_one(at);
                }
                Step::Poll(_) | Step::Leave(_) => {}
            }
            prop_assert!(!waiting.is_empty() || world.store.running() == 0, "a lookup runs and no request waits");
        }
        world.store.release();
        let (keys, requests): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        for (key, found) in keys.into_iter().zip(block_on(join_all(requests))) {
            prop_assert_eq!(found, expected(key));
        }
        prop_assert_eq!(world.store.running(), 0);
        leaves_nothing_behind(world, LIMIT);
    }
}

/// Two keys that the store knows, two that the cache knows too, and two unknown ones.
async fn keys(world: &World) -> [KeyDigest; 6] {
    let mut digests = [unknown_digest(1); 6];
    for (number, digest) in digests.iter_mut().take(4).enumerate() {
        let key = if number < 2 { world.key().await } else { world.cached_key().await };
        *digest = *key.record.digest();
    }
    digests[5] = unknown_digest(2);
    world.clocks.pass(TIME_TO_LIVE);
    digests
}

/// When no request waits, no lookup is under way, every turn is free again, and no handle to the store is left but the
/// cache's own.
fn leaves_nothing_behind(world: World, limit: usize) {
    let World { store, cache, clocks } = world;
    let unknown: Vec<_> = (100..200).map(unknown_digest).collect();
    store.hold();
    let crowd: Vec<_> = unknown.iter().map(|digest| begin(find(&cache, digest))).collect();
    let fresh = clocks.build(CachedStore::builder(store.clone()).first_seen_limit(limit));
    let turns = store.running();
    drop(crowd);
    assert_eq!(store.running(), 0);
    let crowd: Vec<_> = unknown.iter().map(|digest| begin(find(&fresh, digest))).collect();
    assert_eq!(turns, store.running(), "as many turns as at first");
    drop(crowd);
    assert!(unknown.iter().all(|digest| matches!(cache.try_find(digest), Lookup::Pending)));
    drop((cache, fresh));
    assert_eq!(store.handles(), 1);
}
