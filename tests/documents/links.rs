//! Relative links of the documents lead to files, and to headings, that are there.

use std::fs;
use std::path::Path;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

const DOCUMENTS: [&str; 10] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/COMPARE.md",
    "docs/PROMISES.md",
    "docs/SQL.md",
    "benches/README.md",
    "examples/avala/README.md",
    "tests/CASES.md",
];

#[test]
fn links_of_documents_resolve() {
    let dead: Vec<String> = DOCUMENTS.into_iter().flat_map(dead_links).collect();
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn dead_link_is_reported() {
    let dead = |text| dead_links_of("docs/SQL.md", text);
    assert!(
        dead("[a](../README.md) [b](../src) [c](https://x.y/z) [d](../README.md#features) [e](#f-g)\n# `F` g?\n")
            .is_empty()
    );
    assert_eq!(dead("[a](README.md)"), ["docs/SQL.md: README.md"]);
    assert_eq!(dead("![a](../none.png)"), ["docs/SQL.md: ../none.png"]);
    assert_eq!(dead("[a](../README.md#none)"), ["docs/SQL.md: ../README.md#none"]);
    assert_eq!(dead("[a](#none)"), ["docs/SQL.md: #none"]);
}

fn dead_links(document: &str) -> Vec<String> {
    dead_links_of(document, &read(document))
}

fn dead_links_of(document: &str, text: &str) -> Vec<String> {
    let is_dead = |link: &&str| {
        let (path, heading) = link.split_once('#').unwrap_or((link, ""));
        let target = Path::new(document).parent().unwrap().join(path);
        let headings = || if path.is_empty() { headings(text) } else { headings(&read(&target)) };
        !path.is_empty() && !root().join(&target).exists()
            || !heading.is_empty() && !headings().contains(&heading.to_owned())
    };
    let links: Vec<String> = Parser::new(text)
        .filter_map(|event| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url.into_string()),
            _ => None,
        })
        .collect();
    let relative = links.iter().map(String::as_str).filter(|link| !link.contains("://"));
    relative.filter(is_dead).map(|link| format!("{document}: {link}")).collect()
}

/// The anchors of the headings, as forges make them: lower case, hyphens for spaces, no other punctuation.
fn headings(text: &str) -> Vec<String> {
    let (mut anchors, mut open) = (Vec::new(), None);
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => open = Some(String::new()),
            Event::Text(part) | Event::Code(part) => open.iter_mut().for_each(|heading| heading.push_str(&part)),
            Event::End(TagEnd::Heading(_)) => anchors.extend(open.take().map(|heading| anchor(&heading))),
            _ => {}
        }
    }
    anchors
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn read(document: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(document)).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
