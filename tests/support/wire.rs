//! HTTP/1.1 by hand: the bytes that are written to a socket, and those that come back.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::seen::{Seen, masked};

/// Only a test that has failed waits for so long.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, unread: Vec::new() }
    }

    /// Fails where the server has closed the connection.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("the server reads or closes")
    }

    /// The next reply, and its text as it came, but for the date. It has a body unless the request was a `HEAD`.
    /// `None` when the connection is closed before it begins.
    pub(crate) async fn reply(&mut self, method: &Method) -> Option<(Seen, String)> {
        let end = loop {
            match self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None if self.read().await => {}
                None if self.unread.is_empty() => return None,
                None => panic!("closed within a head: {}", self.unread.escape_ascii()),
            }
        };
        let head = String::from_utf8(self.take(end)).unwrap();
        let mut lines = head.trim_end_matches("\r\n").split("\r\n");
        let status_line = lines.next().unwrap();
        let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not a status line: {status_line:?}"));
        let headers: Vec<_> = lines.map(masked).collect();

        let length = headers.iter().find_map(|line| line.strip_prefix("content-length: "));
        let length = if method == Method::HEAD { 0 } else { length.map_or(0, |length| length.parse().unwrap()) };
        while self.unread.len() < length {
            assert!(self.read().await, "closed within a body: {}", self.unread.escape_ascii());
        }
        let body = Bytes::from(self.take(length));
        let text = format!("{status_line}\r\n{}\r\n\r\n{}", headers.join("\r\n"), body.escape_ascii());
        Some((Seen::new(status, headers.iter().map(String::as_str), body), text))
    }

    /// What is left to read until the server closes the connection, escaped.
    pub(crate) async fn rest(mut self) -> String {
        while self.read().await {}
        self.unread.escape_ascii().to_string()
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        self.unread.drain(..length).collect()
    }

    /// `false` when the connection is closed, gently or not.
    async fn read(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.unread);
        matches!(timeout(PATIENCE, read).await.expect("the server replies or closes"), Ok(1..))
    }
}
