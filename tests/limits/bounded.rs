//! The memory that a million addresses take.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use allocation_counter::measure;
use tower_api_key::client::ClientNetwork;
use tower_api_key::throttle::SlidingWindow;

const ADDRESSES: u32 = 1_000_000;
const MIB: u64 = 1 << 20;

fn ipv4(n: u32) -> ClientNetwork {
    IpAddr::from(Ipv4Addr::from_bits(n)).into()
}

fn ipv6(n: u32) -> ClientNetwork {
    IpAddr::from(Ipv6Addr::from_bits(u128::from(n) << 64)).into()
}

/// The most memory in use at once while each address hits a window as often as it can, in bytes.
fn peak(window: &SlidingWindow<ClientNetwork>, address: fn(u32) -> ClientNetwork, hits: u32) -> u64 {
    let counted = measure(|| {
        for n in 0..ADDRESSES {
            for _ in 0..hits {
                let _ = window.hit(address(n));
            }
        }
    });
    counted.bytes_max
}

/// Cases: 40.
#[test]
fn million_addresses_fit_the_bounded_table() {
    let minute = Duration::from_secs(60);
    for (limit, hits, address, bound) in [(1, 1, ipv4 as fn(_) -> _, 24 * MIB), (5, 6, ipv6, 32 * MIB)] {
        let window = SlidingWindow::new(NonZeroU32::new(limit).unwrap(), minute);
        let bytes = peak(&window, address, hits);
        println!("limit {limit}: {} KiB at most", bytes / 1024);
        assert!(bytes < bound, "limit {limit}: {bytes} bytes");
        // The first addresses are not forgotten.
        assert!(!window.hit(address(0)).is_allowed());
    }
}

/// Without a bound, the count of each address is kept.
#[test]
fn unbounded_table_takes_several_times_as_much() {
    let window = SlidingWindow::with_capacity(NonZeroU32::MIN, Duration::from_secs(60), ADDRESSES as usize);
    let bytes = peak(&window, ipv4, 1);
    println!("{} KiB at most", bytes / 1024);
    assert!(bytes > 64 * MIB && bytes < 256 * MIB, "{bytes} bytes");
}

/// A count is forgotten two windows after its last request.
#[test]
fn expired_entries_free_their_memory() {
    let (start, hand) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let seconds = Arc::clone(&hand);
    let clock = move || start + Duration::from_secs(seconds.load(Ordering::Relaxed));
    let window = SlidingWindow::with_clock(NonZeroU32::MIN, Duration::from_secs(60), 100_000, clock);
    let come_again = measure(|| {
        for second in [0, 60, 120] {
            hand.store(second, Ordering::Relaxed);
            assert!((0..100_000).all(|n| window.hit(ipv4(n)).is_allowed()));
        }
    });
    println!("{} KiB at most", come_again.bytes_max / 1024);
    assert!(come_again.bytes_max > 4 * MIB && come_again.bytes_max < 32 * MIB, "{come_again:?}");
    let forgotten = measure(|| {
        hand.store(240, Ordering::Relaxed);
        assert!(window.hit(ipv4(0)).is_allowed());
    });
    let left = come_again.bytes_current + forgotten.bytes_current;
    assert!(left < 4096, "{left} bytes are left");
}
