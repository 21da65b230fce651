//! Requests as `lambda_http` makes them from the events of AWS.

use axum::Router;
use axum::body::Body;
use http::{Method, StatusCode, Version};
use serde_json::json;
use tower::{Layer, ServiceExt};
use tower_api_key::ApiKeyLayer;
use tower_api_key::routes::Unlisted;

use super::world::{FULL, NO_KEY, NOTHING, READ, Ran, UNKNOWN, absent, keys, lines, router};

/// The request that `lambda_http` makes from an event of an HTTP API.
fn request(method: &Method, path: &str, key: &str) -> axum::extract::Request {
    let mut headers = json!({ "host": "id.execute-api.eu-central-1.amazonaws.com", "x-forwarded-proto": "https" });
    if !key.is_empty() {
        headers["x-avala-api-key"] = key.into();
    }
    let event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "x=1",
        "headers": headers,
        "queryStringParameters": { "x": "1" },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "id",
            "domainName": "id.execute-api.eu-central-1.amazonaws.com",
            "http": { "method": method.as_str(), "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1" },
            "requestId": "request",
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1_583_348_638_390_i64,
        },
        "isBase64Encoded": false,
    });
    let request = lambda_http::request::from_str(&event.to_string()).unwrap();
    assert_eq!(request.version(), Version::HTTP_11);
    assert_eq!(request.uri().host(), Some("id.execute-api.eu-central-1.amazonaws.com"), "absolute, as served by AWS");
    request.map(|body| Body::from(body.to_vec()))
}

/// Cases: 151.
#[tokio::test]
async fn lambda_request_is_judged_by_its_path() {
    let ran = Ran::default();
    let layer = ApiKeyLayer::new(keys()).routes(lines(Unlisted::Deny).build().unwrap());
    let service: Router = Router::new().fallback_service(layer.layer(router(&ran)));
    let ask = async |method: Method, path: &str, key: &str| {
        let response = service.clone().oneshot(request(&method, path, key)).await.unwrap();
        (response.status().as_u16(), ran.take().concat())
    };
    let rejected = |status: u16| (status, String::new());
    for (key, status) in [(NO_KEY, 401), (UNKNOWN, 401), (NOTHING, 403)] {
        assert_eq!(ask(Method::GET, "/items/1", key).await, rejected(status), "{key}");
    }
    assert_eq!(ask(Method::GET, "/items/1", READ).await, (StatusCode::OK.as_u16(), "read".to_owned()));
    assert_eq!(ask(Method::DELETE, "/items/1", READ).await, rejected(403));
    assert_eq!(ask(Method::GET, "/files/x", NO_KEY).await, (200, "file".to_owned()));
    // Dot segments are resolved by `lambda_http`, before the layer.
    for path in ["/forgotten", "/admin/", "//admin", "/%61dmin"] {
        for key in [NO_KEY, FULL] {
            assert_eq!(ask(Method::GET, path, key).await, rejected(absent(key)), "{path}");
        }
    }
}
