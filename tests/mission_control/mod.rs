mod browser;
mod flow;

#[path = "../avala_server/client.rs"]
#[expect(dead_code, reason = "shared with the tests of the server itself")]
mod client;
#[path = "../avala_server/server.rs"]
#[expect(dead_code, reason = "shared with the tests of the server itself")]
mod server;
