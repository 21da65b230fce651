use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::cluster::ClusterClient;
use ::redis::cluster_async::ClusterConnection;
use ::redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisFuture, Value,
};
use tokio::net::TcpStream;

use super::RedisLimitsError;
use super::tls::Tls;

/// Where Redis is.
#[derive(Clone)]
pub(super) enum Server {
    One { host: String, port: u16, settings: RedisConnectionInfo, tls: Option<Tls> },
    Cluster(Box<ClusterClient>),
}

/// A connection for many requests at once.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Server {
    pub(super) fn at(url: &str) -> Result<Self, RedisLimitsError> {
        // The driver knows this scheme only with a TLS of its own.
        let plain = url.strip_prefix("rediss://").map(|rest| format!("redis://{rest}"));
        let invalid = |error| RedisLimitsError::InvalidUrl(Box::new(error));
        let info = plain.as_deref().unwrap_or(url).into_connection_info().map_err(invalid)?;
        let ConnectionAddr::Tcp(host, port) = info.addr().clone() else {
            return Err(RedisLimitsError::InvalidUrl("it names no TCP port".into()));
        };
        let tls = plain.map(|_| Tls::native(host.trim_matches(['[', ']']))).transpose()?;
        Ok(Self::One { host, port, settings: info.redis_settings().clone(), tls })
    }

    pub(super) fn cluster<'a>(urls: impl IntoIterator<Item = &'a str>) -> Result<Self, RedisLimitsError> {
        let urls: Vec<_> = urls.into_iter().collect();
        if urls.iter().any(|url| !url.starts_with("redis://")) {
            return Err(RedisLimitsError::InvalidUrl("a cluster is reached over redis:// only".into()));
        }
        // Requests are not sent again: one that was counted would count twice.
        let client = ClusterClient::builder(urls).retries(0).build();
        client.map(|client| Self::Cluster(Box::new(client))).map_err(|error| RedisLimitsError::InvalidUrl(error.into()))
    }

    pub(super) fn with_roots(self, pem: &[u8]) -> Result<Self, RedisLimitsError> {
        match self {
            Self::One { host, port, settings, tls: Some(tls) } => {
                Ok(Self::One { host, port, settings, tls: Some(tls.with_roots(pem)?) })
            }
            _ => Err(RedisLimitsError::InvalidCertificate("the URL does not ask for TLS: use rediss://".into())),
        }
    }

    pub(super) async fn connect(&self) -> Result<Connection, RedisLimitsError> {
        match self {
            Self::Cluster(client) => {
                let connection = client.get_async_connection().await;
                connection.map(Connection::Cluster).map_err(RedisLimitsError::failed)
            }
            Self::One { host, port, settings, tls } => {
                let stream = TcpStream::connect((&**host, *port)).await.map_err(RedisLimitsError::failed)?;
                stream.set_nodelay(true).map_err(RedisLimitsError::failed)?;
                let connection = match tls {
                    Some(tls) => {
                        multiplex(settings, tls.connect(stream).await.map_err(RedisLimitsError::failed)?).await
                    }
                    None => multiplex(settings, stream).await,
                };
                connection.map(Connection::One).map_err(RedisLimitsError::failed)
            }
        }
    }
}

/// The connection ends with the last clone of it.
async fn multiplex<S>(settings: &RedisConnectionInfo, stream: S) -> ::redis::RedisResult<MultiplexedConnection>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    // Each request has its own timeout.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let setup = MultiplexedConnection::new_with_config(settings, stream, config).await?;
    let (connection, driver) = setup;
    tokio::spawn(driver);
    Ok(connection)
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(connection) => connection.req_packed_commands(cmd, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}
