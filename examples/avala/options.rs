use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use clap::Parser;
use clap::error::ErrorKind;
use jiff::{Span, SpanRelativeTo};
use tower_api_key::transport::{InvalidProxy, TrustedProxies};

use crate::limits::Limits;

/// A small Avala look-alike that shows every part of the API-key model.
#[derive(Debug, Parser)]
#[command(name = "avala")]
pub(crate) struct Options {
    /// Where to serve; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,

    /// Where keys and accounts are kept: memory:, sqlite:PATH or postgres://...
    #[arg(long, value_name = "URL", default_value = "sqlite:avala.db")]
    pub(crate) store: String,

    /// Where requests are counted: memory:, or redis://... for one count of all processes
    #[arg(long, value_name = "URL", default_value = "memory:")]
    pub(crate) limits: String,

    /// How many requests each key may make in any minute, or off
    #[arg(long, value_name = "N", default_value = "100", value_parser = requests_per_minute, allow_negative_numbers = true)]
    pub(crate) requests_per_minute: RequestsPerMinute,

    /// Reject plain HTTP; HTTPS requires a trusted proxy that sends X-Forwarded-Proto: https
    #[arg(long)]
    pub(crate) require_https: bool,

    /// Proxy whose X-Forwarded-For and X-Forwarded-Proto are trusted; can be given several times
    #[arg(long, value_name = "CIDR", value_parser = proxy)]
    pub(crate) trusted_proxy: Vec<String>,

    /// The age at which the keys of every organization expire, such as 90d or 24h
    #[arg(long, value_name = "DURATION", value_parser = age)]
    pub(crate) max_key_age: Option<Duration>,

    /// How long a login to Mission Control lasts, such as 12h
    #[arg(long, value_name = "DURATION", default_value = "12h", value_parser = age)]
    pub(crate) session_ttl: Duration,

    /// Serve /metrics there, apart from the API
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics_listen: Option<SocketAddr>,

    /// Allow an address that other machines can reach, over plain HTTP
    #[arg(long)]
    insecure_http: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum RequestsPerMinute {
    AtMost(NonZeroU32),
    Off,
}

impl Options {
    /// The options of this process. Where they cannot be served, one line with the reason.
    pub(crate) fn from_args() -> Result<Self, String> {
        let options = Self::try_parse().map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.exit(),
            _ => first_line(&error.to_string()),
        })?;
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<(), String> {
        // The URL of a database may hold a password, so no message repeats it.
        let known = ["sqlite:", "postgres://", "postgresql://"].iter().any(|start| self.store.starts_with(start));
        if self.store != "memory:" && !known {
            return Err("--store takes memory:, sqlite:PATH or postgres://..., and this is none of them".into());
        }
        Limits::at(&self.limits)?;
        if !self.listen.ip().to_canonical().is_loopback() && !self.require_https && !self.insecure_http {
            return Err(format!(
                "other machines can reach {}, and keys would cross the network in the clear: say --require-https, or \
                 --insecure-http to allow it, or listen on a loopback address",
                self.listen
            ));
        }
        Ok(())
    }
}

fn requests_per_minute(text: &str) -> Result<RequestsPerMinute, &'static str> {
    match text {
        "off" => Ok(RequestsPerMinute::Off),
        number => number.parse().map(RequestsPerMinute::AtMost).map_err(|_| "a number from 1 on, or off"),
    }
}

fn proxy(text: &str) -> Result<String, InvalidProxy> {
    TrustedProxies::new([text]).map(|_| text.to_owned())
}

fn age(text: &str) -> Result<Duration, &'static str> {
    let age = text.parse::<Span>().ok().and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let age = age.and_then(|age| Duration::try_from(age).ok());
    age.filter(|&age| age >= Duration::from_secs(1)).ok_or("a duration of at least a second, such as 90d or 24h")
}

fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
