//! What a key takes in memory, in bytes asked of the allocator.

use std::collections::HashSet;
use std::sync::Arc;

use tower_api_key::MemoryStore;

use crate::bars::Bars;
use crate::counting::count;
use crate::keys::{record, store, tomorrow};
use crate::peers::careful;

const KEYS: u64 = 1_000_000;

pub(crate) fn report(bars: &Bars) {
    let per_key = |bytes: i64| bytes as f64 / KEYS as f64;
    let (organization, expires) = ("acme".parse().expect("a name"), Some(tomorrow()));
    let (records, _, record_bytes) = count(|| {
        let mut records = Vec::with_capacity(KEYS as usize);
        records.extend((0..KEYS).map(|number| Arc::new(record(number, &organization, expires))));
        records
    });
    let record_bytes = per_key(record_bytes) - size_of::<Arc<()>>() as f64;
    drop(records);
    // What requests read is 64 of these.
    let (map, _, map_bytes) = count(|| {
        let mut shards: Vec<HashSet<u64>> = vec![HashSet::new(); 64];
        (0..KEYS).for_each(|number| _ = shards[(number % 64) as usize].insert(number));
        shards
    });
    drop(map);
    let (memory, _, memory_bytes): (MemoryStore, _, _) = count(|| store(KEYS, expires));
    drop(memory);
    let (peer, _, peer_bytes) = count(|| careful::store(KEYS));
    drop(peer);

    let (map, whole) = (per_key(map_bytes), per_key(memory_bytes));
    println!("\n## Memory of a key, of {KEYS}\n\n| what | bytes |\n|---|--:|");
    println!("| record and name, behind an `Arc` | {record_bytes:.0} |");
    println!("| map that requests read | {map:.0} |");
    println!("| index of organizations and ids, to manage keys by | {:.0} |", whole - record_bytes - map);
    println!("| this crate, all of it | {whole:.0} |");
    println!("| careful peer, without any index | {:.0} |", per_key(peer_bytes));
    bars.at_most("memory: bytes of a key, record and map", record_bytes + map, 400.0, 0);
}
