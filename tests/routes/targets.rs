//! Spellings and forms of a target that a router could read as another one.

use http::Method;
use tower_api_key::routes::Unlisted;

use super::lenient;
use super::world::{FULL, NO_KEY, NOTHING, READ, UNKNOWN, WRITE, World, absent};
use crate::support::frames::{self, Answer};

/// Some router reads each as `/admin`. The table does not.
const ADMIN: &[&str] = &[
    "//admin",
    "/admin/",
    "/admin//",
    "/%61dmin",
    "/%61%64%6d%69%6e",
    "/%2561dmin",
    "/./admin",
    "/.//admin",
    "/x/../admin",
    "/files/../admin",
    "/files/..%2fadmin",
    "/files/%2e%2e/admin",
    "/files/.%2E/admin",
    "/files/..%5cadmin",
    "/files/..\\admin",
    "/files/x/%2e%2e%2f%2e%2e%2fadmin",
    "/admin%2f",
    "/admin%2F",
    "/admin/.",
    "/admin/x/..",
    "/admin;x=1",
    "/admin;",
    "/;x=1/admin",
    "/admin%3bx=1",
    "/admin%00",
    "/admin%0a",
    "/admin%09",
    "/%2fadmin",
    "/\\admin",
    "/%5cadmin",
];

/// Cases: 25.
#[tokio::test]
async fn other_spellings_of_path_are_absent() {
    for world in World::each(Unlisted::Deny).await {
        for target in ADMIN {
            assert_eq!(lenient::route(&Method::GET, target), Some("admin"), "{target} would be worth a try");
            for method in ["GET", "HEAD"] {
                for key in [NO_KEY, UNKNOWN, NOTHING, READ, FULL] {
                    world.ask(method, target, key).await.is_rejected(absent(key));
                }
            }
        }
        // Other paths to both services, and not in the table.
        for target in
            ["/ADMIN", "/Admin", "/administrator", "/admi", "/admin/x", "/adm\u{131}n", "/admin%20", "/admin%"]
        {
            for key in [NO_KEY, UNKNOWN, READ, FULL] {
                world.ask("GET", target, key).await.is_rejected(absent(key));
            }
        }
        for target in ["/admin", "/admin?", "/admin?x=//../%2f;y", "/admin?%"] {
            for (key, status) in [(NO_KEY, 401), (UNKNOWN, 401), (NOTHING, 403), (READ, 403), (WRITE, 403)] {
                world.ask("GET", target, key).await.is_rejected(status);
            }
            world.ask("GET", target, FULL).await.ran("admin");
        }
    }
}

/// Cases: 25.
/// The response to an ambiguous path is that to an unknown one, and depends on no entry.
#[tokio::test]
async fn odd_and_unknown_paths_get_the_same_bytes() {
    for world in World::each(Unlisted::Deny).await {
        for key in [NO_KEY, UNKNOWN, FULL] {
            let unknown = world.ask("GET", "/nowhere", key).await.text;
            for target in ["//admin", "/admin/", "/admin;x", "/x%2fy", "/items/..", "http://test//admin"] {
                assert_eq!(world.ask("GET", target, key).await.text, unknown, "{target}");
            }
        }
        // Without a valid key, a listed path gets the same response too.
        for key in [NO_KEY, UNKNOWN] {
            let unknown = world.ask("GET", "/nowhere", key).await.text;
            assert_eq!(world.ask("GET", "/admin", key).await.text, unknown);
        }
    }
}

/// Cases: 27.
#[tokio::test]
async fn target_without_path_reaches_no_handler() {
    for world in World::each(Unlisted::InsecureAnyKey).await {
        for (method, target) in [("OPTIONS", "*"), ("GET", "*"), ("CONNECT", "test:80")] {
            for key in [NO_KEY, UNKNOWN, NOTHING, FULL] {
                world.ask(method, target, key).await.is_rejected(absent(key));
            }
        }
        world.ask("GET", "/files/x", NO_KEY).await.ran("file");
    }
}

/// Cases: 27, 151.
/// As clients of a proxy write it, and some test clients.
#[tokio::test]
async fn absolute_form_is_judged_by_its_path() {
    for world in World::each(Unlisted::Deny).await {
        for target in ["http://test/admin", "http://elsewhere/admin", "https://test/admin?x=/files/x"] {
            for method in ["GET", "HEAD"] {
                for (key, status) in [(NO_KEY, 401), (UNKNOWN, 401), (NOTHING, 403), (READ, 403)] {
                    world.ask(method, target, key).await.is_rejected(status);
                }
                world.ask(method, target, FULL).await.ran("admin");
            }
        }
        for target in ["http://test//admin", "http://test/%61dmin", "http://test/files/../admin", "http://test/admin/"]
        {
            for key in [NO_KEY, UNKNOWN, NOTHING, FULL] {
                world.ask("GET", target, key).await.is_rejected(absent(key));
            }
        }
        world.ask("GET", "https://test/files/x", NO_KEY).await.ran("file");
        world.ask("POST", "http://test/signup", NO_KEY).await.ran("sign up");
        for target in ["http://test", "http://test/"] {
            world.ask("GET", target, NO_KEY).await.is_rejected(401);
            world.ask("GET", target, NOTHING).await.ran("root");
        }
    }
}

/// Cases: 27.
#[tokio::test]
async fn http_2_path_without_slash_reaches_no_handler() {
    for world in World::each(Unlisted::InsecureAnyKey).await {
        let ask = async |path: &str, key: &str| {
            let header = [(&b"x-avala-api-key"[..], key.as_bytes())];
            let headers = if key.is_empty() { &[][..] } else { &header };
            frames::ask(world.server.http2, path.as_bytes(), headers).await
        };
        for path in ["admin", "files/x", "*", "", "http://test/admin", "//admin", "/%61dmin", "/admin/"] {
            for key in [NO_KEY, UNKNOWN, NOTHING, FULL] {
                assert_ne!(ask(path, key).await, Answer::Accepted, "{}: {path:?} {key}", world.name);
                assert_eq!(world.take_ran(), [""; 0], "{}: {path:?} {key}", world.name);
            }
        }
        // Without a path it is the root, which requires any key.
        assert_eq!(ask("?x", NO_KEY).await, Answer::OtherStatus);
        assert_eq!(world.take_ran(), [""; 0]);
        for key in [NO_KEY, READ] {
            assert_eq!(ask("/admin", key).await, Answer::OtherStatus);
        }
        assert_eq!(world.take_ran(), [""; 0]);
        assert_eq!(ask("/admin", FULL).await, Answer::Accepted);
        assert_eq!(ask("/files/x", NO_KEY).await, Answer::Accepted);
        assert_eq!(world.take_ran(), ["admin", "file"]);
    }
}
