use std::collections::BTreeMap;

use http::HeaderName;
use serde::Serialize;

use super::super::Operator;
use crate::manage::IssueRules;
use crate::scope::{Scope, ScopeSet};
use crate::text::TitleCase;

/// A text of the page that the service may replace: see [`Console::text`](super::super::Console::text).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ConsoleText {
    /// The heading: "API keys".
    Heading,
    /// Below the heading: what keys are for.
    Lead,
    /// In place of an empty table: that there are no keys.
    EmptyTitle,
    /// Below it: what to do.
    Empty,
    /// What a key with full access can do.
    FullAccess,
    /// Above a new key: that it is shown this once.
    NewKey,
}

impl ConsoleText {
    const ALL: [Self; 6] = [Self::Heading, Self::Lead, Self::EmptyTitle, Self::Empty, Self::FullAccess, Self::NewKey];

    /// Returns the name by which the page knows it, and the text that it has by default.
    const fn default(self) -> (&'static str, &'static str) {
        match self {
            Self::Heading => ("heading", "API keys"),
            Self::Lead => ("lead", "Keys let programs act for your organization. Give each one only what it needs."),
            Self::EmptyTitle => ("empty_title", "No active keys"),
            Self::Empty => ("empty", "Create one to give a program access."),
            Self::FullAccess => {
                ("full_access", "It can do everything in your organization, including creating and revoking keys.")
            }
            Self::NewKey => {
                ("new_key", "This is the only time it is shown. Store it where only your program can read it.")
            }
        }
    }
}

/// What the service has set for its page.
#[derive(Clone, Debug)]
pub(in crate::console) struct Settings {
    pub(in crate::console) title: String,
    pub(in crate::console) links: Vec<Link>,
    pub(in crate::console) log_in: Option<String>,
    pub(in crate::console) log_out: Option<String>,
    /// In the order in which the page shows them.
    pub(in crate::console) meanings: Vec<(Scope, String)>,
    pub(in crate::console) example: String,
    pub(in crate::console) header: HeaderName,
    pub(in crate::console) texts: BTreeMap<ConsoleText, String>,
}

#[derive(Clone, Debug, Serialize)]
pub(in crate::console) struct Link {
    pub(in crate::console) text: String,
    pub(in crate::console) href: String,
}

/// What the rules of the manager allow.
pub(in crate::console) struct Known {
    scopes: Option<ScopeSet>,
    full_access: bool,
    expiry_required: bool,
    default_lifetime: bool,
    environments: Vec<String>,
}

#[derive(Serialize)]
struct Config<'a> {
    api: &'a str,
    actor: Option<&'a str>,
    all_organizations: bool,
    links: &'a [Link],
    log_in: Option<&'a str>,
    log_out: Option<&'a str>,
    scopes: Vec<Choice<'a>>,
    /// Whether a scope may have any name.
    any_scope: bool,
    full_access: bool,
    expiry_required: bool,
    /// Whether a key without an expiry gets one.
    default_lifetime: bool,
    environments: &'a [String],
    example: &'a str,
    header: String,
    texts: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
struct Choice<'a> {
    name: &'a str,
    meaning: Option<&'a str>,
}

impl Known {
    pub(in crate::console) fn of(rules: &IssueRules) -> Self {
        let environments = super::super::api::environments(rules);
        Self {
            scopes: rules.grantable().or_else(|| rules.catalog().map(crate::scope::ScopeCatalog::scopes)).cloned(),
            full_access: rules.grantable().is_none(),
            expiry_required: rules.insert_rules().is_expiry_required(),
            default_lifetime: rules.insert_rules().default_lifetime().is_some(),
            environments: environments.map(ToString::to_string).collect(),
        }
    }
}

impl Settings {
    /// Returns the page with its title.
    pub(super) fn html(&self, template: &str) -> String {
        let title = escaped(&self.title);
        let heading = escaped(self.text(ConsoleText::Heading));
        let full = if title == heading { title.clone() } else { format!("{heading} · {title}") };
        template.replace("{{title}}", &full).replace("{{brand}}", &title)
    }

    /// Returns what the modules of the page read.
    pub(super) fn json(&self, known: &Known, api: &str, operator: Option<&Operator>) -> Vec<u8> {
        let config = Config {
            api,
            actor: operator.map(Operator::actor),
            all_organizations: operator.is_some_and(|operator| operator.organization().is_none()),
            links: &self.links,
            log_in: self.log_in.as_deref(),
            log_out: self.log_out.as_deref(),
            scopes: self.choices(known),
            any_scope: known.scopes.is_none(),
            full_access: known.full_access,
            expiry_required: known.expiry_required,
            default_lifetime: known.default_lifetime,
            environments: &known.environments,
            example: &self.example,
            header: TitleCase(&self.header).to_string(),
            texts: ConsoleText::ALL.map(|text| (text.default().0, self.text(text))).into(),
        };
        serde_json::to_vec(&config).expect("texts and lists")
    }

    /// Returns the scopes to choose from: those with a meaning first, and nothing that a new key cannot have.
    fn choices<'a>(&'a self, known: &'a Known) -> Vec<Choice<'a>> {
        let is_known = |scope: &&Scope| known.scopes.as_ref().is_none_or(|known| known.contains(scope));
        let meant = self.meanings.iter().map(|(scope, meaning)| (scope, Some(&**meaning)));
        let others = known.scopes.iter().flat_map(ScopeSet::iter);
        let others = others.filter(|scope| self.meanings.iter().all(|(meant, _)| meant != *scope));
        let all = meant.chain(others.map(|scope| (scope, None))).filter(|(scope, _)| is_known(scope));
        all.map(|(scope, meaning)| Choice { name: scope.as_str(), meaning }).collect()
    }

    fn text(&self, text: ConsoleText) -> &str {
        self.texts.get(&text).map_or(text.default().1, |own| own)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            title: "API keys".into(),
            links: Vec::new(),
            log_in: None,
            log_out: None,
            meanings: Vec::new(),
            example: "/".into(),
            header: HeaderName::from_static("x-avala-api-key"),
            texts: BTreeMap::new(),
        }
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            letter => escaped.push(letter),
        }
    }
    escaped
}
