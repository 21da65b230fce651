//! Requests without a key that carry the identity of an outer authenticator.

mod forged;
mod handlers;
mod oracle;
mod table;
