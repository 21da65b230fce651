use std::future::poll_fn;
use std::pin::pin;

use bytes::Buf;
use http::header::{CONTENT_TYPE, HeaderMap};
use http::{StatusCode, request::Parts};
use http_body::Body;
use serde_json::{Map, Value};

use super::error::{ApiError, FieldErrors};

/// The longest body, in bytes.
pub(in crate::console) const LONGEST_BODY: usize = 64 * 1024;

/// The fields of a JSON body. Take them one by one, then call [`check`](Self::check): an invalid field yields a placeholder.
/// Fields that are not taken are ignored. No message repeats a value, which may be a secret in the wrong place.
#[derive(Default)]
pub(super) struct Form {
    fields: Map<String, Value>,
    errors: FieldErrors,
}

impl Form {
    /// Reads the body of a request that must have one.
    pub(super) async fn read<B: Body>(parts: &Parts, body: B) -> Result<Self, ApiError> {
        if !is_json(&parts.headers) {
            return Err(NOT_JSON);
        }
        match serde_json::from_slice(&collect(body).await?) {
            Ok(Value::Object(fields)) => Ok(Self { fields, errors: FieldErrors::new() }),
            Ok(_) => Err(ApiError::bad_request("The body must be a JSON object.")),
            Err(_) => Err(ApiError::bad_request("The body is not JSON.")),
        }
    }

    /// Reads the body of a request that may come without one. A browser must name the type nevertheless, which it cannot do
    /// for another site.
    pub(super) async fn read_optional<B: Body>(parts: &Parts, body: B, is_operator: bool) -> Result<Self, ApiError> {
        if !body.is_end_stream() {
            return Self::read(parts, body).await;
        }
        if is_operator && !is_json(&parts.headers) {
            return Err(NOT_JSON);
        }
        Ok(Self::default())
    }

    /// Takes a text that must be there.
    pub(super) fn text(&mut self, field: &'static str, longest: usize) -> String {
        let missing = !self.has(field);
        match self.optional_text(field, longest) {
            Some(text) if text.trim().is_empty() => self.wrong(field, "This field may not be blank."),
            Some(text) => return text,
            None if missing => self.wrong(field, "This field is required."),
            None if self.errors.contains_key(field) => {}
            None => self.wrong(field, "This field may not be null."),
        }
        String::new()
    }

    pub(super) fn optional_text(&mut self, field: &'static str, longest: usize) -> Option<String> {
        match self.take(field)? {
            Value::String(text) if text.chars().count() <= longest => return Some(text),
            Value::String(_) => {
                self.wrong(field, format!("Ensure this field has no more than {longest} characters."));
            }
            _ => self.wrong(field, "Not a valid string."),
        }
        None
    }

    /// Takes a whole number that is not negative. `60.0` is one, by JSON Schema.
    pub(super) fn number(&mut self, field: &'static str) -> Option<u64> {
        let value = self.take(field)?;
        let whole = |number: &f64| number.fract() == 0.0 && (0.0..u64::MAX as f64).contains(number);
        let number = value.as_u64().or_else(|| value.as_f64().filter(whole).map(|number| number as u64));
        if number.is_none() {
            self.wrong(field, "A whole number from 0 on is required.");
        }
        number
    }

    pub(super) fn boolean(&mut self, field: &'static str) -> Option<bool> {
        let value = self.take(field)?;
        if value.as_bool().is_none() {
            self.wrong(field, "Must be a valid boolean.");
        }
        value.as_bool()
    }

    /// Returns whether the field is there, be it null.
    pub(super) fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// Takes a value that is there and not null.
    pub(super) fn take(&mut self, field: &str) -> Option<Value> {
        self.fields.remove(field).filter(|value| !value.is_null())
    }

    pub(super) fn wrong(&mut self, field: &'static str, message: impl Into<String>) {
        self.errors.entry(field).or_default().push(message.into());
    }

    /// Returns an error that names all invalid fields, if there are any.
    pub(super) fn check(self) -> Result<(), ApiError> {
        if self.errors.is_empty() { Ok(()) } else { Err(ApiError::Fields(self.errors)) }
    }
}

const NOT_JSON: ApiError =
    ApiError::Detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type. Send application/json.");
const TOO_LONG: ApiError = ApiError::Detail(StatusCode::PAYLOAD_TOO_LARGE, "The body is longer than 65536 bytes.");

async fn collect<B: Body>(body: B) -> Result<Vec<u8>, ApiError> {
    if body.size_hint().lower() > LONGEST_BODY as u64 {
        return Err(TOO_LONG);
    }
    let (mut body, mut bytes) = (pin!(body), Vec::new());
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(frame) = frame else { return Err(ApiError::bad_request("The body could not be read.")) };
        let Ok(mut data) = frame.into_data() else { continue };
        if bytes.len() + data.remaining() > LONGEST_BODY {
            return Err(TOO_LONG);
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            bytes.extend_from_slice(chunk);
            let length = chunk.len();
            data.advance(length);
        }
    }
    Ok(bytes)
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(media_type), None) = (types.next().and_then(|value| value.to_str().ok()), types.next()) else {
        return false;
    };
    media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}
