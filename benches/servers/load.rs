//! Requests over HTTP/1.1 connections that stay open, each with one request at a time.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower_api_key::BoxError;

use crate::keys;
use crate::process::Server;

const BODY: &[u8] = b"{\"ok\":true}";

/// Returns how long each request took, in nanoseconds.
pub(crate) async fn run(server: &Server, connections: u64, turn: Duration) -> Result<Vec<u64>, BoxError> {
    let end = Instant::now() + turn;
    let loads = (0..connections).map(|number| async move {
        let mut connection = Connection::open(server, number).await?;
        let mut times = Vec::with_capacity(10_000);
        while Instant::now() < end {
            times.push(connection.request().await?.as_nanos() as u64);
        }
        Ok::<_, BoxError>(times)
    });
    Ok(try_join_all(loads).await?.concat())
}

pub(crate) struct Connection {
    stream: TcpStream,
    requests: Vec<String>,
    sent: usize,
    answer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(server: &Server, number: u64) -> Result<Self, BoxError> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).await?;
        stream.set_nodelay(true)?;
        let request = |request| {
            let key = keys::presented(&server.keys, number, request);
            format!(
                "GET /datasets HTTP/1.1\r\nhost: localhost\r\nuser-agent: bench/1.0\r\naccept: */*\r\nx-avala-api-key: {key}\r\n\r\n"
            )
        };
        Ok(Self { stream, requests: (0..64).map(request).collect(), sent: 0, answer: Vec::with_capacity(1_024) })
    }

    /// Sends a request without a key, whatever the answer is, so that the connection's own first steps are done.
    pub(crate) async fn warm(&mut self) -> Result<(), BoxError> {
        self.stream.write_all(b"GET /datasets HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
        self.answer.clear();
        while !is_whole(&self.answer) {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err("no answer".into());
            }
        }
        Ok(())
    }

    /// Returns how long the request took. Any status but 200 is an error.
    pub(crate) async fn request(&mut self) -> Result<Duration, BoxError> {
        let start = Instant::now();
        self.stream.write_all(self.requests[self.sent % self.requests.len()].as_bytes()).await?;
        self.sent += 1;
        self.answer.clear();
        while !self.answer.ends_with(BODY) {
            if self.stream.read_buf(&mut self.answer).await? == 0 || !self.answer.starts_with(b"HTTP/1.1 200 ") {
                return Err(format!("an answer: {:?}", String::from_utf8_lossy(&self.answer)).into());
            }
        }
        Ok(start.elapsed())
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let answer = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| body.len() >= length)
}
