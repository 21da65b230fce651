//! Invalid entries: each has its own error, which names the entry.

use axum::Router;
use axum::routing::get;
use http::Method;
use tower_api_key::routes::{RouteTable, RouteTableBuilder, RouteTableErrorKind, Unlisted};
use tower_api_key::scope::avala;
use tower_api_key::{Requirement, Scope};

const GET: Method = Method::GET;

fn table() -> RouteTableBuilder {
    RouteTable::builder().public(GET, "/a/{x}").public(Method::POST, "/b")
}

#[test]
fn invalid_entry_is_an_error_naming_it() {
    let any = Requirement::any_key;
    let typo = Scope::from_static("dataset.read");
    let twice = "the route GET \"/a/{x}\" is in the table twice";
    let conflict = "the route GET \"/a/{y}\" conflicts with the pattern \"/a/{x}\"";
    for (builder, message) in [
        (table().route(GET, "/a/{x}", any()), twice),
        (table().route(GET, "/a/{y}", any()), conflict),
        (
            table().route(Method::POST, "/a/{y}", any()),
            "the route POST \"/a/{y}\" conflicts with the pattern \"/a/{x}\"",
        ),
        (
            table().public(Method::HEAD, "/a/{x}"),
            "the route HEAD \"/a/{x}\" cannot be listed: HEAD asks for what GET asks for",
        ),
        (table().public(Method::HEAD, "/c"), "the route HEAD \"/c\" cannot be listed: HEAD asks for what GET asks for"),
        (
            table().route(GET, "/c", Requirement::any_of([])),
            "the route GET \"/c\" asks for any of no scopes, which no key can meet",
        ),
        (
            table().route(GET, "/c", Requirement::all_and_any_of([avala::DATASETS_READ], [])),
            "the route GET \"/c\" asks for any of no scopes, which no key can meet",
        ),
        (
            table().catalog(avala::catalog()).route(GET, "/c", typo),
            "the route GET \"/c\" cannot be met: the scope \"dataset.read\" is not in the catalog of this service: \
             correct its name, or add it to the catalog",
        ),
    ] {
        assert_eq!(builder.build().unwrap_err().to_string(), message);
    }
}

#[test]
fn impossible_pattern_is_rejected() {
    use RouteTableErrorKind::{Ambiguous, NoPath, OldSyntax};
    for (problem, patterns) in [
        (
            NoPath,
            &["", "*", "a", "a/b", "{x}", "{*rest}", "/a?b", "/a?", "/a#b", "/a b", "/a\n", "/a\0", "http://x/a"][..],
        ),
        (
            Ambiguous,
            &["//", "/a//b", "/.", "/./a", "/a/..", "/../a", "/%61", "/a%2fb", "/a;x", "/a\\b", "/a%", "/%zz", "/a%00"],
        ),
        (OldSyntax, &["/:id", "/a/:id/b", "/*", "/a/*rest", "/*rest/"]),
    ] {
        for pattern in patterns {
            let error = table().public(GET, *pattern).build().unwrap_err();
            assert_eq!((error.method(), error.pattern(), error.kind()), (&GET, *pattern, &problem), "{error}");
        }
    }
    for pattern in [
        "/a{",
        "/a}",
        "/{",
        "/{}",
        "/{*}",
        "/{x}y",
        "/{x}{y}",
        "/{*rest}/",
        "/{*rest}/x",
        "/{x",
        "/x}/",
        "/{x*}",
        "/{/x}",
        "/{/{x.}",
        "/{x{y}",
        "/{*x{y}",
    ] {
        let error = table().public(GET, pattern).build().unwrap_err();
        assert!(matches!(error.kind(), RouteTableErrorKind::Malformed { .. }), "{pattern}: {error:?}");
        assert!(error.to_string().starts_with(&format!("the route GET {pattern:?} is malformed: ")), "{error}");
    }
}

/// The matcher panics on one parameter more.
#[test]
fn pattern_with_26_parameters_is_rejected() {
    let parameters = |count: usize| (0..count).map(|number| format!("/{{p{number}}}")).collect::<String>();
    assert!(table().public(GET, format!("{}/{{*rest}}", parameters(25))).build().is_ok());
    for pattern in [parameters(26), format!("{}/{{*rest}}", parameters(26)), format!("{}{{", parameters(26))] {
        let error = table().route(GET, &*pattern, Requirement::any_key()).build().unwrap_err();
        assert!(matches!(error.kind(), RouteTableErrorKind::Malformed { .. }), "{error:?}");
        assert_eq!(error.pattern(), pattern);
    }
}

/// A pattern on which axum panics at the start is an error here.
#[test]
fn pattern_rejected_by_axum_is_rejected() {
    let patterns = [
        "",
        "a",
        "/",
        "/a",
        "/a/",
        "/{x}",
        "/{x}/",
        "/{*rest}",
        "/a/{*rest}",
        "/a{x}",
        "/a/{x}b",
        "/{x}{y}",
        "/{}",
        "/{*}",
        "/{*rest}/a",
        "/:x",
        "/*x",
        "/{",
        "/}",
        "/{{x}}",
        "/{{",
        "/a:b",
        "/a*b",
        "/{x}/{x}",
        "/caf\u{e9}",
    ];
    for pattern in patterns {
        for other in patterns {
            let axum = std::panic::catch_unwind(|| {
                let router = Router::<()>::new().route(pattern, get(async || {}));
                if other == pattern { router } else { router.route(other, get(async || {})) }
            });
            let table = RouteTable::builder().public(GET, pattern);
            let table = if other == pattern { table } else { table.public(GET, other) };
            assert_eq!(
                table.build().map(drop).map_err(|error| error.to_string()).is_ok(),
                axum.is_ok(),
                "{pattern} {other}"
            );
        }
    }
}

#[test]
fn unusual_valid_pattern_is_accepted() {
    let table = table()
        .public(GET, "/")
        .public(GET, "/a/{x}/")
        .public(GET, "/files/{*rest}")
        .public(GET, "/a/b")
        .public(GET, "/{{literal}}")
        .public(GET, "/v1:batch")
        .public(GET, "/caf%C3%A9")
        .public(GET, "/a%20b")
        // The method of a WebSocket over HTTP/2.
        .public(Method::CONNECT, "/socket")
        .public(Method::from_bytes(b"PROPFIND").unwrap(), "/a/{x}")
        .catalog(avala::catalog())
        .route(Method::OPTIONS, "/a/{x}", Requirement::full_access());
    assert_eq!(table.build().unwrap().iter().count(), 13);
    assert_eq!(RouteTable::builder().build().unwrap().iter().count(), 0);
}

/// Sorted by pattern, with method, pattern and rule.
#[test]
fn entries_can_be_listed() {
    let table = table().route(GET, "/b", avala::DATASETS_READ).route(GET, "/0", Requirement::full_access());
    let table = table.build().unwrap();
    let lines: Vec<_> = table.iter().map(|line| format!("{} {} {}", line.method, line.pattern, line.rule)).collect();
    assert_eq!(lines, ["GET /0 full access", "GET /a/{x} nothing", "POST /b nothing", "GET /b datasets.read"]);
    assert_eq!(table.unlisted(), Unlisted::Deny);
}
