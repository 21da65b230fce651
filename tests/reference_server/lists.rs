//! Pages: every list has the same form.

use axum::http::Method;
use serde_json::{Value, json};

use super::client::{Api, text};
use super::server::Server;
use super::stores::Store;

on_every_store!(pages_add_up_to_the_whole_list,);

/// Follows `next` from the first page on, and checks that every link works.
async fn pages(api: &Api, key: &str, path: &str) -> Vec<Vec<String>> {
    let (mut pages, mut url) = (Vec::new(), path.to_owned());
    loop {
        let page = api.get(key, &url).await.expect(200);
        let fields: Vec<_> = page.as_object().unwrap().keys().cloned().collect();
        assert_eq!(fields, ["next", "previous", "results"]);
        let results = page["results"].as_array().unwrap();
        pages.push(results.iter().map(|result| text(&result["uid"])).collect());
        assert!(pages.len() < 50, "{path} has no end");
        match &page["next"] {
            Value::Null => return pages,
            // Of keys, it is relative to the request.
            next => {
                url = match text(next) {
                    query if query.starts_with('?') => format!("{}{query}", path.split('?').next().unwrap()),
                    url => url,
                }
            }
        }
    }
}

async fn seven_datasets(api: &Api) -> String {
    let key = api.sign_up("ada").await.key;
    for number in 1..7 {
        let data_type = if number % 2 == 0 { "video" } else { "lidar" };
        let new = json!({"name": format!("Set {number}"), "data_type": data_type});
        api.post(&key, "/datasets/", new).await.expect(201);
    }
    key
}

async fn pages_add_up_to_the_whole_list(store: &Store) {
    let server = store.start(&["--requests-per-minute", "off"]);
    let api = Api::of(&server);
    let key = seven_datasets(&api).await;
    for number in 0..6 {
        api.make_key(&key, json!({"name": format!("Key {number}"), "scopes": ["tasks.read"]})).await;
    }
    for path in ["/datasets/", "/api-keys/"] {
        let whole = pages(&api, &key, path).await;
        assert_eq!((whole.len(), whole[0].len()), (1, 7), "{path}");
        for limit in 1..=8 {
            let parts = pages(&api, &key, &format!("{path}?limit={limit}")).await;
            assert!(parts[..parts.len() - 1].iter().all(|part| part.len() == limit), "{path} {limit}");
            assert_eq!(parts.len(), 7_usize.div_ceil(limit), "{path} {limit}");
            assert_eq!(parts.concat(), whole[0], "{path} {limit}");
        }
    }
}

#[tokio::test]
async fn links_are_absolute_and_keep_the_query() {
    let server = Server::start(&[]);
    let api = Api::of(&server);
    let key = seven_datasets(&api).await;
    let page = api.get(&key, "/datasets/?data_type=lidar&limit=2&name=").await.expect(200);
    assert_eq!(page["results"], json!([]));

    let first = api.get(&key, "/datasets/?data_type=lidar&limit=2").await.expect(200);
    assert_eq!(first["previous"], json!(null));
    assert_eq!(first["next"], format!("{}/datasets/?data_type=lidar&limit=2&cursor=2", server.base));
    let second = api.get(&key, &text(&first["next"])).await.expect(200);
    let all: Vec<_> = [&first, &second].iter().flat_map(|page| page["results"].as_array().unwrap()).collect();
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|dataset| dataset["data_type"] == "lidar"));
    assert_eq!(second["next"], json!(null));
    assert_eq!(second["previous"], format!("{}/datasets/?data_type=lidar&limit=2&cursor=0", server.base));
    assert_eq!(api.get(&key, &text(&second["previous"])).await.expect(200)["results"], first["results"]);

    let named = api.get(&key, "/datasets/?name=Set+3").await.expect(200);
    assert_eq!(named["results"].as_array().unwrap().len(), 1);
    assert_eq!(named["results"][0]["name"], "Set 3");
}

/// The host in the links is that of the request, if it is valid.
#[tokio::test]
async fn links_use_the_host_of_the_request() {
    let server = Server::start(&[]);
    let key = seven_datasets(&Api::of(&server)).await;
    for (host, shown) in
        [("avala.localhost:99", "avala.localhost:99"), ("\"><script>", "localhost"), ("a b", "localhost")]
    {
        let request = format!(
            "GET /api/v1/datasets/?limit=1 HTTP/1.1\r\nHost: {host}\r\nX-Avala-Api-Key: {key}\r\nConnection: close\r\n\r\n"
        );
        let (status, response) = super::client::raw(&server, &request).await;
        assert_eq!(status, 200, "{response}");
        let next = format!("\"next\":\"http://{shown}/api/v1/datasets/?limit=1&cursor=1\"");
        assert!(response.contains(&next), "{response}");
    }
}

/// Behind a proxy that speaks HTTPS, a link over plain HTTP would not work, or give the key away.
#[tokio::test]
async fn links_have_the_scheme_of_the_client() {
    let server = Server::start(&["--trusted-proxy", "127.0.0.1"]);
    let api = Api::of(&server);
    let key = seven_datasets(&api).await;
    for (proto, scheme) in [("https", "https:"), ("http", "http:")] {
        let headers = [("x-forwarded-proto", proto)];
        let page = api.send(Method::GET, &key, "/datasets/?limit=1", &headers, "").await.expect(200);
        assert!(text(&page["next"]).starts_with(&format!("{scheme}//")), "{page}");
    }
    // Of keys, any.
    api.make_key(&key, json!({"name": "x", "full_access": true})).await;
    let page = api.get(&key, "/api-keys/?limit=1").await.expect(200);
    assert!(text(&page["next"]).starts_with("?limit=1&cursor="), "{page}");
}

#[tokio::test]
async fn invalid_query_is_400_naming_the_parameter() {
    let server = Server::start(&[]);
    let api = Api::of(&server);
    let key = api.sign_up("ada").await.key;
    let (limit, cursor) = (["A whole number from 1 on is required."], ["Invalid cursor."]);
    for path in ["/datasets/", "/tasks/", "/api-keys/"] {
        for invalid in ["0", "-1", "x", "", "1.5", "99999999999999999999"] {
            let reply = api.get(&key, &format!("{path}?limit={invalid}")).await;
            assert_eq!(reply.expect(400), json!({"detail": {"limit": limit}}), "{path} {invalid}");
        }
        for invalid in ["x", "-1", "", "%0a"] {
            let reply = api.get(&key, &format!("{path}?cursor={invalid}")).await;
            assert_eq!(reply.expect(400), json!({"detail": {"cursor": cursor}}), "{path} {invalid}");
        }
        // A larger limit than the largest is the largest.
        api.get(&key, &format!("{path}?limit=1000000")).await.expect(200);
    }
    for end in ["7", "18446744073709551615"] {
        let page = api.get(&key, &format!("/datasets/?cursor={end}")).await.expect(200);
        assert_eq!((&page["results"], &page["next"]), (&json!([]), &json!(null)));
    }
}
