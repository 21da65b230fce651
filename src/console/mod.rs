//! The management of keys as two services to mount: a JSON API, and a page on which people use it.
//!
//! ```text
//! login of the service: puts an Operator into the extensions of the request
//!   -> Console::page      HTML, CSS and JavaScript modules
//!   -> Console::api       JSON, which the page and programs call
//!        -> KeyManager
//! ```
//!
//! [`Console::api`] and [`Console::page`] are tower services for any body type. axum mounts them with `nest_service`, hyper
//! serves them as they are.
//!
//! # Who is asking
//!
//! An [`Operator`] in the extensions of the request, which the login of your service puts there, or an
//! [`ApiKey`](crate::ApiKey) with full access, which an [`ApiKeyLayer`](crate::ApiKeyLayer) around the API has
//! authenticated. Without either, the API responds 401. A scoped key gets a 403. If a request has both, the key decides. Nothing
//! that a client sends is taken for an identity. A key is checked once more when the body has arrived, so that a key which is
//! revoked meanwhile changes nothing.
//!
//! Both act on their own organization: a key of another one is a 404. Only an [`Operator::of_all_organizations`] reaches
//! every organization.
//!
//! # Requests from other sites
//!
//! A browser sends a login cookie with requests from other sites too. The API therefore checks each request of an
//! `Operator`: `Sec-Fetch-Site` must be `same-origin` or `none`, or `Origin` must have the host of the request or be an
//! origin of [`Console::allow_origin`]. Anything else is a 403. A call that changes something must have
//! `Content-Type: application/json`, which a browser sends to another site only after a CORS preflight. A request without
//! `Sec-Fetch-Site` and `Origin` does not come from a page of a browser, and is accepted.
//!
//! # JSON API
//!
//! Paths are relative to where the API is mounted. The slash at the end may be left out.
//!
//! | call | does |
//! |---|---|
//! | `GET /` | lists keys, the newest first |
//! | `POST /` | creates a key. 201, with `api_key`, which is shown this once |
//! | `GET /{uid}/` | returns one key |
//! | `PATCH /{uid}/` | renames, annotates, limits, suspends or resumes a key |
//! | `POST /{uid}/revoke/` | revokes a key for good. Again: the same response |
//! | `POST /{uid}/regenerate/` | replaces a key. 201, with the `api_key` of the new one |
//!
//! **A key** has `uid`, `name`, `hint`, `environment`, `full_access`, `scopes`, `allowed_networks` (null for anywhere),
//! `metadata`, `created_at`, `created_by`, `expires_at`, `last_used_at`, `request_count`, `suspended`, `revoked_at`,
//! `replaced_by` and `status` (`active`, `suspended`, `expired` or `revoked`). Times are RFC 3339 in UTC. An operator of all
//! organizations also sees `organization`.
//!
//! **A list** is `{"next": ..., "previous": null, "results": [...]}`. Filters: `status`, `environment`, `search` (in name or
//! hint, in any case of ASCII letters), `created_by` and `expires_before`; `limit` (100 by default, 1000 at most) and
//! `cursor`. `next` is a relative reference such as `?limit=20&cursor=...`: resolve it against the address of the request.
//! Only the client knows under which scheme, host and path it reached the service.
//!
//! **A new key** takes `name`, and either `scopes` or `"full_access": true`; optional are `expires_at`, `metadata`,
//! `allowed_networks` and `environment`. **An update** takes `name`, `metadata` (replaces the map), `scopes`,
//! `expires_at`, `suspended` and `allowed_networks`. It never gives a key more scopes, networks or time. **Regenerate** takes
//! `expires_at` and `overlap_seconds`, for which the old key still works.
//!
//! | status | body |
//! |---|---|
//! | 400 | `{"detail": {"name": ["This field is required."]}}` for fields, else `{"detail": "The body must be a JSON object."}` |
//! | 401, 403 | `{"detail": "..."}`: no identity; a scoped key, or a request from another site |
//! | 404, 405 | no such key or path; a method that the path does not have |
//! | 408, 413, 415 | the body is late, longer than 64 KiB, or not `application/json` |
//! | 409 | the key is revoked, replaced or suspended; the organization has as many keys as it may |
//! | 503 | the store failed or did not answer in time: the log has the cause |
//!
//! Every response of the API has `Cache-Control: no-store`. Purging, erasing, importing and identifying keys is not part of the API.
//! With the feature `openapi`, [`Console::openapi`] returns it as a document.

mod api;
mod asker;
mod body;
mod builder;
#[cfg(feature = "openapi")]
mod openapi;
mod operator;
mod origin;
mod page;
mod service;

pub use self::api::ConsoleApi;
pub use self::body::ConsoleBody;
pub use self::builder::Console;
pub use self::operator::Operator;
pub use self::origin::is_same_origin;
pub use self::page::{ConsolePage, ConsoleText};
pub use self::service::ConsoleFuture;
