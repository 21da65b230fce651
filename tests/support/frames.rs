//! HTTP/2 by hand, for requests that no client library would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A reply with status 200.
    Accepted,
    /// A reply with another status.
    OtherStatus,
    /// The stream or the connection was ended without a reply.
    Reset,
}

const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const GOAWAY: u8 = 0x7;
/// `END_STREAM` and `END_HEADERS`.
const WHOLE: u8 = 0x5;
/// `:status: 200`, from the static table of HPACK.
const STATUS_200: u8 = 0x88;

/// Sends a `GET` for this path with these headers exactly as they are, each at most 126 bytes long.
pub(crate) async fn ask(address: SocketAddr, path: &[u8], headers: &[(&[u8], &[u8])]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut block = Vec::new();
    let pseudo: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"test"), (b":path", path)];
    for (name, value) in pseudo.iter().chain(headers) {
        // A literal that is not added to the table, neither part of it compressed.
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text"));
            block.extend_from_slice(text);
        }
    }
    let request =
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[]), frame(HEADERS, WHOLE, 1, &block)];
    stream.write_all(&request.concat()).await.unwrap();
    timeout(Duration::from_secs(30), answer(&mut stream)).await.expect("the server replies or closes")
}

async fn answer(stream: &mut TcpStream) -> Answer {
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let [a, b, c, kind, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).await.unwrap();
        match kind {
            HEADERS if payload[0] == STATUS_200 => return Answer::Accepted,
            HEADERS => return Answer::OtherStatus,
            RST_STREAM | GOAWAY => return Answer::Reset,
            _ => {}
        }
    }
    Answer::Reset
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[a, b, c, kind, flags], &stream.to_be_bytes()[..], payload].concat()
}
