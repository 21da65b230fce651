//! Clients: keys that live and die, and requests with keys that must or must not be accepted.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use super::figures::Figures;

#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: String,
    /// `revoke`, `suspend`, `narrow` or `purge`: what the service has acknowledged, or is asked for.
    pub(crate) ending: &'static str,
    secret: String,
}

/// How keys end, in turn.
const ENDINGS: [&str; 4] = ["revoke", "suspend", "narrow", "purge"];

pub(crate) struct Load {
    pub(crate) figures: Figures,
    /// Keys that were acknowledged as ended or replaced, the oldest first.
    pub(crate) dead: Mutex<Vec<Key>>,
    /// Keys that are never revoked.
    lasting: Mutex<Vec<Key>>,
    client: Client<HttpConnector, Empty<Bytes>>,
    port: u16,
    stopped: AtomicBool,
}

impl Load {
    pub(crate) fn new(port: u16) -> Arc<Self> {
        Arc::new(Self {
            figures: Figures::default(),
            dead: Mutex::default(),
            lasting: Mutex::default(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            port,
            stopped: AtomicBool::new(false),
        })
    }

    /// Issues the lasting keys and starts every client. The clients end at [`stop`](Self::stop).
    pub(crate) async fn start(self: &Arc<Self>) -> Vec<tokio::task::JoinHandle<()>> {
        for _ in 0..20 {
            let key = self.issue().await.expect("before anything is killed");
            self.lasting.lock().unwrap().push(key);
        }
        let mut clients = Vec::new();
        for client in 0..4 {
            clients.push(tokio::spawn(Arc::clone(self).lives(client)));
        }
        for client in 0..3 {
            clients.push(tokio::spawn(Arc::clone(self).uses_lasting_keys(client)));
            clients.push(tokio::spawn(Arc::clone(self).uses_dead_keys(client)));
        }
        clients
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// One key after the other is issued, used, regenerated some times, and revoked.
    async fn lives(self: Arc<Self>, client: usize) {
        let mut turns = client;
        while !self.stopped.load(Ordering::Relaxed) {
            let Some(mut key) = self.issue().await else { continue };
            self.must_not_be_rejected(&key).await;
            turns += 1;
            let mut known = true;
            for _ in 0..turns % 3 {
                match self.manage(&format!("/keys/{}/regenerate", key.id)).await {
                    Some((200, text)) => {
                        self.figures.regenerated.one();
                        self.is_dead(std::mem::replace(&mut key, parse(&text))).await;
                        self.must_not_be_rejected(&key).await;
                    }
                    // The key was issued and acknowledged.
                    Some((404, _)) => {
                        self.figures.valid_rejected.one();
                        known = false;
                    }
                    // It may have been replaced by a key that no client knows.
                    _ => known = false,
                }
                if !known {
                    break;
                }
            }
            if known {
                key.ending = ENDINGS[turns % ENDINGS.len()];
                self.end(key).await;
            }
        }
    }

    /// As documented: without an answer, tries again.
    async fn end(&self, key: Key) {
        let mut unanswered = false;
        while !self.stopped.load(Ordering::Relaxed) {
            match self.manage(&format!("/keys/{}/{}", key.id, key.ending)).await {
                Some((200, _)) => {
                    self.figures.revoked.one();
                    return self.is_dead(key).await;
                }
                // The first answer was lost, and the key has been purged since, by this client or by another one.
                Some((404, _)) if unanswered && ["revoke", "purge"].contains(&key.ending) => {
                    return self.is_dead(key).await;
                }
                Some((404, _)) => return self.figures.valid_rejected.one(),
                _ => unanswered = true,
            }
        }
    }

    /// From the next request on, the key must not be accepted.
    async fn is_dead(&self, key: Key) {
        self.dead.lock().unwrap().push(key.clone());
        self.must_not_be_accepted(&key).await;
    }

    async fn uses_lasting_keys(self: Arc<Self>, client: usize) {
        let turns = AtomicUsize::new(client);
        while !self.stopped.load(Ordering::Relaxed) {
            let turn = turns.fetch_add(1, Ordering::Relaxed);
            let key = self.lasting.lock().unwrap()[turn % 20].clone();
            self.must_not_be_rejected(&key).await;
        }
    }

    /// In turn a key that died lately and one of any age.
    async fn uses_dead_keys(self: Arc<Self>, client: usize) {
        for turn in client.. {
            if self.stopped.load(Ordering::Relaxed) {
                return;
            }
            let key = {
                let dead = self.dead.lock().unwrap();
                let back = if turn % 2 == 0 { turn % 64 } else { turn.wrapping_mul(2_654_435_761) };
                dead.len().checked_sub(1).map(|last| dead[last - back % dead.len()].clone())
            };
            match key {
                Some(key) => self.must_not_be_accepted(&key).await,
                None => tokio::task::yield_now().await,
            }
        }
    }

    async fn must_not_be_rejected(&self, key: &Key) {
        if matches!(self.request(key).await, Some(401 | 403)) {
            self.figures.valid_rejected.one();
        }
    }

    async fn must_not_be_accepted(&self, key: &Key) {
        if self.request(key).await == Some(200) {
            self.figures.wrong_accepts.one();
        }
    }

    /// Returns the status of a request with this key, if there is a response.
    async fn request(&self, key: &Key) -> Option<u16> {
        let figures = &self.figures;
        figures.requests.one();
        let began = Instant::now();
        let request = Request::get(self.url("/datasets")).header("x-avala-api-key", &key.secret);
        let status = self.send(request.body(Empty::new()).unwrap()).await.map(|(status, _)| status);
        match status {
            Some(200) => figures.accept(began),
            Some(401 | 403) => figures.rejected.one(),
            Some(503) => figures.unavailable.one(),
            Some(other) => panic!("a response of {other}"),
            None => {
                figures.unanswered.one();
                // The service is down. Leave the processor to its start.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        status
    }

    async fn issue(&self) -> Option<Key> {
        let (status, text) = self.manage("/keys").await?;
        (status == 200).then(|| {
            self.figures.issued.one();
            parse(&text)
        })
    }

    async fn manage(&self, path: &str) -> Option<(u16, String)> {
        let request = Request::builder().method(Method::POST).uri(self.url(path)).body(Empty::new()).unwrap();
        let reply = self.send(request).await;
        if reply.is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        reply
    }

    async fn send(&self, request: Request<Empty<Bytes>>) -> Option<(u16, String)> {
        let reply = async {
            let response = self.client.request(request).await.ok()?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.ok()?.to_bytes();
            Some((status, String::from_utf8(body.into()).unwrap()))
        };
        timeout(Duration::from_secs(20), reply).await.expect("a response, or the end of the connection")
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

fn parse(text: &str) -> Key {
    let (id, secret) = text.split_once(' ').expect("an id and a key");
    Key { id: id.into(), ending: "revoke", secret: secret.into() }
}
