//! What a limiter adds to a request: this crate, tower_governor, barnacle-rs, and a limiter in Redis as people write it.
//!
//! ```text
//! REDIS_URL=redis://127.0.0.1:6379 cargo run --release --manifest-path benches/limiters/Cargo.toml
//! ```
//!
//! All of them count by the text of one header, and none reaches its limit. The keys of this run expire in Redis.

#[path = "../../report/case.rs"]
#[expect(dead_code, reason = "of the report alone")]
mod case;
#[path = "../../report/counting.rs"]
mod counting;
#[path = "../../report/figures.rs"]
#[expect(dead_code, reason = "of the report alone")]
mod figures;
#[path = "../../report/inner.rs"]
#[expect(dead_code, reason = "of the report alone")]
mod inner;
mod memory;
mod peers;
mod redis_rounds;
#[path = "../../report/rounds.rs"]
mod rounds;
#[path = "../../report/steps.rs"]
mod steps;

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderValue, Request};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _entered = runtime.enter();
    memory::report();
    match std::env::var("REDIS_URL") {
        Ok(url) => runtime.block_on(redis_rounds::report(&url)),
        Err(_) => println!("\nWithout REDIS_URL, limiters in Redis are not compared."),
    }
}

/// Requests of 64 clients, in turns.
fn requests() -> impl FnMut() -> Request<Body> + Clone + 'static {
    let value = |number| HeaderValue::from_str(&format!("client-{number}-of-the-bench")).expect("ASCII");
    let values: Arc<[HeaderValue]> = (0..64).map(value).collect();
    let mut at = 0;
    move || {
        at = (at + 1) % values.len();
        case::request(&case::KEY, Some(&values[at]))
    }
}
