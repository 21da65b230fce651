//! A Markdown parser reads what a table prints as a table with the same text in its cells.

use http::Method;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use tower_api_key::routes::{RouteTable, Unlisted};
use tower_api_key::scope::avala;
use tower_api_key::{Requirement, Scope};

#[test]
fn markdown_cells_round_trip() {
    let odd = ["a|b", "a`b", "a*b*", "_a_", "<b>", "[x](y)", "&amp", "~~a~~", "!x", "#a", ":a:"].map(scope);
    let methods =
        ["GET", "A|B", "A`B", "``", "`", "A*B*", "|"].map(|name| Method::from_bytes(name.as_bytes()).unwrap());
    let mut builder = RouteTable::builder()
        .unlisted(Unlisted::FullAccess)
        .public(Method::POST, "/a|b/{x}/{*rest}")
        .route(Method::GET, "/_a_*b*~~c~~&amp[d](e)!", Requirement::any_key())
        .route(Method::GET, "/all", Requirement::all_and_any_of([avala::DATASETS_READ], [avala::TASKS_READ]));
    for (at, scope) in odd.iter().enumerate() {
        builder = builder.route(Method::GET, format!("/scope/{at}"), scope.clone());
    }
    for method in methods {
        builder = builder.public(method, "/methods");
    }
    let table = builder.build().unwrap();
    let mut expected = vec![["method", "path", "asks for"].map(String::from)];
    expected.extend(table.iter().map(|line| [line.method.to_string(), line.pattern.clone(), line.rule.to_string()]));
    expected.push(["any other", "any other", "full access"].map(String::from));
    assert_eq!(cells(&table.to_string()), expected);
}

/// Readable as plain text too.
#[test]
fn plain_names_give_a_plain_table() {
    let table = RouteTable::builder()
        .route(Method::GET, "/tasks/", Requirement::any_of([avala::TASKS_READ, avala::PROJECTS_READ]))
        .public(Method::POST, "/signup/")
        .build()
        .unwrap();
    let expected = "\
        | method | path | asks for |\n\
        |---|---|---|\n\
        | `POST` | `/signup/` | nothing |\n\
        | `GET` | `/tasks/` | any of projects.read, tasks.read |\n\
        | any other | any other | denied |\n";
    assert_eq!(table.to_string(), expected);
}

#[test]
fn guide_shows_the_sample_output() {
    let table = RouteTable::builder()
        .public(Method::GET, "/health")
        .route(Method::GET, "/invoices", Scope::from_static("invoices.read"))
        .route(Method::POST, "/keys/{id}/revoke", Requirement::full_access())
        .build()
        .unwrap();
    assert!(include_str!("../../src/guide/axum_service.md").contains(&format!("\n\n{table}\n")));
}

fn scope(name: &str) -> Scope {
    name.parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The text of every cell, code or not. Anything else that the parser finds fails the test.
fn cells(markdown: &str) -> Vec<[String; 3]> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
        match event {
            Event::Start(Tag::TableHead | Tag::TableRow) => rows.push(Vec::new()),
            Event::Start(Tag::TableCell) => rows.last_mut().unwrap().push(String::new()),
            Event::Text(text) | Event::Code(text) => rows.last_mut().unwrap().last_mut().unwrap().push_str(&text),
            Event::Start(Tag::Table(_))
            | Event::End(TagEnd::Table | TagEnd::TableHead | TagEnd::TableRow | TagEnd::TableCell) => {}
            other => panic!("{other:?} in {markdown}"),
        }
    }
    rows.into_iter().map(|row| row.try_into().unwrap()).collect()
}
