use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::LengthLimitError;
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::reply::{ApiError, FieldErrors};

const LONGEST: usize = 64 * 1024;
/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The fields of a JSON body. Take them one by one, then call [`check`](Self::check): what a field that is not as
/// it should be returned is a placeholder. Fields that are not taken are ignored. No message repeats a value, since
/// a value may be a secret in the wrong place.
pub(crate) struct Form {
    fields: Map<String, Value>,
    errors: FieldErrors,
}

impl Form {
    /// Reads the body of a request that must have one.
    pub(crate) async fn read(request: Request) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            let detail = "Unsupported media type. Send application/json.";
            return Err(ApiError::Other(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail.into()));
        }
        let late = |_| ApiError::Other(StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time.".into());
        let bytes = timeout(PATIENCE, to_bytes(body, LONGEST)).await.map_err(late)?.map_err(|error| {
            let source = std::error::Error::source(&error);
            if source.is_some_and(|source| source.is::<LengthLimitError>()) {
                let detail = format!("The body is longer than {LONGEST} bytes.");
                ApiError::Other(StatusCode::PAYLOAD_TOO_LARGE, detail)
            } else {
                ApiError::bad_request("The body could not be read.")
            }
        })?;
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(fields)) => Ok(Self { fields, errors: FieldErrors::new() }),
            Ok(_) => Err(ApiError::bad_request("The body must be a JSON object.")),
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                Err(ApiError::bad_request(format!("The body is not JSON: line {line}, column {column}.")))
            }
        }
    }

    /// A text that must be there.
    pub(crate) fn text(&mut self, field: &'static str, longest: usize) -> String {
        let missing = !self.fields.contains_key(field);
        match self.optional_text(field, longest) {
            Some(text) if text.trim().is_empty() => self.wrong(field, "This field may not be blank."),
            Some(text) => return text,
            None if missing => self.wrong(field, "This field is required."),
            None if self.errors.contains_key(field) => {}
            None => self.wrong(field, "This field may not be null."),
        }
        String::new()
    }

    pub(crate) fn optional_text(&mut self, field: &'static str, longest: usize) -> Option<String> {
        match self.take(field)? {
            Value::String(text) if text.chars().count() <= longest => return Some(text),
            Value::String(_) => {
                self.wrong(field, format!("Ensure this field has no more than {longest} characters."));
            }
            _ => self.wrong(field, "Not a valid string."),
        }
        None
    }

    /// A whole number that is not negative. `60.0` is one, by JSON Schema.
    pub(crate) fn number(&mut self, field: &'static str) -> Option<u64> {
        let value = self.take(field)?;
        let whole = |number: &f64| number.fract() == 0.0 && (0.0..u64::MAX as f64).contains(number);
        let number = value.as_u64().or_else(|| value.as_f64().filter(whole).map(|number| number as u64));
        if number.is_none() {
            self.wrong(field, "A whole number from 0 on is required.");
        }
        number
    }

    /// Whether the field is there, be it null.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// A value that is there and not null.
    pub(crate) fn take(&mut self, field: &str) -> Option<Value> {
        self.fields.remove(field).filter(|value| !value.is_null())
    }

    pub(crate) fn wrong(&mut self, field: &'static str, message: impl Into<String>) {
        self.errors.entry(field).or_default().push(message.into());
    }

    /// Whether all fields are as they should be.
    pub(crate) fn check(self) -> Result<(), ApiError> {
        if self.errors.is_empty() { Ok(()) } else { Err(ApiError::Fields(self.errors)) }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(media_type), None) = (types.next().and_then(|value| value.to_str().ok()), types.next()) else {
        return false;
    };
    media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}
