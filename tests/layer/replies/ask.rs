//! Ways to ask the same thing: a server, a version of HTTP, a method.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Empty;

use super::kinds::Kind;
use super::stack::PATH;
use crate::support::axum_server::serve_axum;
use crate::support::http1_client::connect_http1;
use crate::support::http2_client::connect_http2;
use crate::support::hyper_server::serve_hyper;
use crate::support::seen::Seen;
use crate::support::server::Server;
use crate::support::wire::Wire;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// A router, served by `axum::serve`.
    Axum,
    /// A plain service on hyper's own connections.
    Hyper,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

impl Kind {
    pub(crate) async fn serve(&self, behind: Behind) -> Server {
        match behind {
            Behind::Axum => serve_axum(self.inner.in_router(&self.stack)).await,
            Behind::Hyper => serve_hyper(self.inner.in_service(&self.stack)).await,
        }
    }

    /// The documented reply with what every server adds.
    pub(crate) fn on_the_wire(&self, method: &Method) -> Seen {
        let length = format!("content-length: {}", self.reply.body.len());
        let headers = self.reply.headers.iter().map(String::as_str).chain([&*length, "date: *"]);
        let body = if method == Method::HEAD { Bytes::new() } else { self.reply.body.clone() };
        Seen::new(self.reply.status, headers, body)
    }

    /// Through hyper's client.
    pub(crate) async fn ask(&self, server: &Server, version: Version, method: &Method) -> Result<Seen, hyper::Error> {
        let builder = Request::builder().method(method);
        let builder = self.headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, value));
        let response = match version {
            Version::Http1 => {
                let request = builder.uri(PATH).header("Host", "test").body(Empty::<Bytes>::new()).unwrap();
                connect_http1(server.http1).await.send_request(request).await?
            }
            Version::Http2 => {
                let request = builder.uri(format!("http://test{PATH}")).body(Empty::<Bytes>::new()).unwrap();
                connect_http2(server.http2).await.send_request(request).await?
            }
        };
        Seen::of(response).await
    }

    /// Twice on one connection. The second request asks to close it, so that nothing may come between the two responses
    /// or after them.
    pub(crate) async fn ask_by_hand(&self, server: &Server, method: &Method) -> (Seen, String) {
        let mut wire = Wire::connect(server.http1).await;
        wire.send(self.text(method, "").as_bytes()).await.unwrap();
        let reply = wire.reply(method).await.expect("a reply");
        wire.send(self.text(method, "Connection: close\r\n").as_bytes()).await.unwrap();
        let (mut last, _) = wire.reply(method).await.expect("a reply to the second request");
        last.headers.retain(|line| line != "connection: close");
        assert_eq!(last, reply.0, "{}: on a connection that was used before", self.name);
        assert_eq!(wire.rest().await, "", "{}: after the replies", self.name);
        reply
    }

    fn text(&self, method: &Method, more: &str) -> String {
        let lines: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{method} {PATH} HTTP/1.1\r\nHost: test\r\n{lines}{more}\r\n")
    }
}
