//! Limiters that count in Redis, in rounds in which each has its turn.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::middleware::from_fn_with_state;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use http::{Request, Response, StatusCode};
use tower::{Layer, Service, ServiceExt};

use crate::inner::Inner;
use crate::peers::{ByHand, barnacle, by_hand, ours_in_redis};
use crate::requests;
use crate::rounds::median;

const ROUNDS: usize = 12;
const TURN: Duration = Duration::from_millis(300);

type Send = Box<dyn Fn(Request<Body>) -> BoxFuture<'static, StatusCode>>;

/// Requests a second, and the CPU time of one in microseconds.
type Figures = (f64, f64);

pub(crate) async fn report(url: &str) {
    let inner = Inner::PLAIN;
    let by_hand = from_fn_with_state(ByHand::connect(url).await, by_hand);
    let limiters: [(&str, Send); 3] = [
        ("by hand: `INCR` and `EXPIRE` in a script", sending(by_hand.layer(inner))),
        ("this crate", sending(ours_in_redis(url).layer(inner))),
        ("barnacle-rs", sending(barnacle(url).layer(inner))),
    ];
    println!(
        "\n## A limiter in Redis, 64 clients\n\n| limiter | at once | requests/s | of by hand | CPU us a request | of by hand |\n\
         |---|--:|--:|--:|--:|--:|"
    );
    for at_once in [1, 64] {
        let mut rounds: Vec<Vec<Figures>> = Vec::new();
        for round in 0..=ROUNDS {
            let mut figures = vec![(0.0, 0.0); limiters.len()];
            for place in 0..limiters.len() {
                let number = (place + round) % limiters.len();
                figures[number] = turn(&limiters[number].1, at_once).await;
            }
            rounds.push(figures);
        }
        // The first round connects.
        rounds.remove(0);
        for (number, (name, _)) in limiters.iter().enumerate() {
            let of = |figure: &dyn Fn(&[Figures]) -> f64| median(rounds.iter().map(|round| figure(round)));
            println!(
                "| {name} | {at_once} | {:.0} | {:.2} | {:.1} | {:.2} |",
                of(&|round| round[number].0),
                of(&|round| round[number].0 / round[0].0),
                of(&|round| round[number].1),
                of(&|round| round[number].1 / round[0].1),
            );
        }
    }
}

fn sending<S, B>(service: S) -> Send
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + std::marker::Send + 'static,
    S::Future: std::marker::Send,
    B: std::marker::Send + 'static,
{
    Box::new(move |request| {
        let response = service.clone().oneshot(request);
        response.map(|response| response.map_or_else(|never| match never {}, |response| response.status())).boxed()
    })
}

/// Sends requests for a while, so many at once.
async fn turn(send: &Send, at_once: usize) -> Figures {
    let (began, cpu) = (Instant::now(), cpu_time());
    let senders = (0..at_once).map(|_| async {
        let (mut next, mut sent) = (requests(), 0_u32);
        while began.elapsed() < TURN {
            assert_eq!(send(next()).await, StatusCode::OK);
            sent += 1;
        }
        sent
    });
    let sent = f64::from(join_all(senders).await.into_iter().sum::<u32>());
    (sent / began.elapsed().as_secs_f64(), (cpu_time() - cpu) as f64 / 1e3 / sent)
}

/// What this process has used of the CPUs, in nanoseconds.
fn cpu_time() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
