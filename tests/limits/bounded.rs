//! The memory that counts take, and how long it takes to give it back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use allocation_counter::{AllocationInfo, measure};
use tower_api_key::client::ClientNetwork;
use tower_api_key::throttle::{Hit, Limit, MemoryLimits};

const ADDRESSES: u32 = 1_000_000;
const MIB: u64 = 1 << 20;

fn ipv4(n: u32) -> ClientNetwork {
    IpAddr::from(Ipv4Addr::from_bits(n)).into()
}

fn ipv6(n: u32) -> ClientNetwork {
    IpAddr::from(Ipv6Addr::from_bits(u128::from(n) << 64)).into()
}

fn allows(limits: &MemoryLimits, network: ClientNetwork, limit: Limit) -> bool {
    limits.acquire(&Hit::new(network, limit)).is_allowed()
}

/// Each address uses up its limit.
fn requests(limits: &MemoryLimits, address: fn(u32) -> ClientNetwork, limit: Limit) -> AllocationInfo {
    measure(|| {
        for n in 0..ADDRESSES {
            let _ = limits.acquire(&Hit::new(address(n), limit).with_cost(limit.requests()));
        }
    })
}

/// A store, and the hand that moves its clock, in seconds.
fn limits(capacity: usize) -> (MemoryLimits, Arc<AtomicU64>) {
    let (start, hand) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let seconds = Arc::clone(&hand);
    let clock = move || start + Duration::from_secs(seconds.load(Ordering::Relaxed));
    (MemoryLimits::new().with_capacity(capacity).with_clock(clock), hand)
}

/// Cases: 40.
#[test]
fn million_addresses_fit_the_bounded_table() {
    for (limit, address, bound) in [(1, ipv4 as fn(_) -> _, 24 * MIB), (5, ipv6, 32 * MIB)] {
        let limit = Limit::per_minute(limit);
        let (limits, _) = limits(MemoryLimits::DEFAULT_CAPACITY);
        let bytes = requests(&limits, address, limit).bytes_max;
        println!("{limit:?}: {} KiB at most", bytes / 1024);
        assert!(bytes < bound, "{limit:?}: {bytes} bytes");
        // The first addresses are not forgotten.
        assert!(!allows(&limits, address(0), limit));
    }
}

/// Without a bound, the count of each address is kept.
#[test]
fn unbounded_table_takes_several_times_as_much() {
    let (limits, _) = limits(2 * ADDRESSES as usize);
    let bytes = requests(&limits, ipv4, Limit::per_minute(1)).bytes_max;
    println!("{} KiB at most", bytes / 1024);
    assert!(bytes > 64 * MIB && bytes < 256 * MIB, "{bytes} bytes");
}

/// Each key uses its limit up, in any order of times.
/// Cases: 249.
#[test]
fn key_takes_600_bytes_whatever_its_limit() {
    const KEYS: u32 = 4_000;
    for requests in [5, 100, 101, 10_000, 1_000_000] {
        let limit = Limit::per_minute(requests);
        let (limits, hand) = limits(2 * KEYS as usize);
        let used = measure(|| {
            for second in 0..50 {
                hand.store(second, Ordering::Relaxed);
                // Two requests a second use the limit up.
                let cost = requests.div_ceil(100);
                for n in 0..2 * KEYS {
                    let _ = limits.acquire(&Hit::new(ipv4(n % KEYS), limit).with_cost(cost));
                }
            }
        });
        let bytes = used.bytes_max / u64::from(KEYS);
        println!("limit {requests}: {bytes} bytes a key");
        assert!(bytes <= 600, "limit {requests}: {bytes} bytes a key");
    }
}

/// A count is forgotten after its window, a part of the table with each request.
#[test]
fn expired_entries_free_their_memory() {
    let (limits, hand) = limits(100_000);
    let minute = Limit::per_minute(1);
    let come_again = measure(|| {
        for second in [0, 60, 120] {
            hand.store(second, Ordering::Relaxed);
            assert!((0..60_000).all(|n| allows(&limits, ipv4(n), minute)));
        }
    });
    println!("{} KiB at most", come_again.bytes_max / 1024);
    assert!(come_again.bytes_max > 2 * MIB && come_again.bytes_max < 32 * MIB, "{come_again:?}");
    let forgotten = measure(|| {
        for second in 240..1_000 {
            hand.store(second, Ordering::Relaxed);
            let _ = allows(&limits, ipv4(0), minute);
        }
    });
    let left = come_again.bytes_current + forgotten.bytes_current;
    assert!(left < 16_384, "{left} bytes are left");
}
