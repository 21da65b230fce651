//! What a table of routes asks for, as an OpenAPI document.

use std::fmt;

use http::{HeaderName, Method};
use utoipa::openapi::header::Header;
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{Components, ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, Info, OpenApi, Paths, Ref, RefOr, Required};

use super::pattern::{Piece, pieces};
use super::{Route, RouteTable, Rule};
use crate::scope::{Access, Requirement, Scope};
use crate::text::TitleCase;

/// Writes what a [`RouteTable`] asks for into an OpenAPI document: the security scheme, the scopes of each
/// operation, and the replies of a key check. Made by [`RouteTable::openapi`].
///
/// In OpenAPI, the entries of an operation's `security` are alternatives: one for each scheme and set of scopes that is
/// enough, and an empty one where anonymous requests are accepted. Full access is an entry without scopes and a sentence.
///
/// ```
/// use http::Method;
/// use tower_api_key::routes::RouteTable;
/// use tower_api_key::scope::avala;
/// use utoipa::openapi::Info;
///
/// let table = RouteTable::builder()
///     .public(Method::POST, "/signup/")
///     .route(Method::GET, "/datasets/{uid}/", avala::DATASETS_READ)
///     .build()?;
/// let document = serde_json::to_value(table.openapi().document(Info::new("Avala", "1.0.0")))?;
/// let operation = &document["paths"]["/datasets/{uid}/"]["get"];
/// assert_eq!(operation["security"], serde_json::json!([{ "ApiKey": ["datasets.read"] }]));
/// assert_eq!(operation["responses"]["401"]["$ref"], "#/components/responses/Unauthorized");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until it writes a document"]
pub struct RouteTableOpenApi<'a> {
    table: &'a RouteTable,
    header: HeaderName,
    further: Vec<(String, SecurityScheme)>,
    anonymous: bool,
    throttled: Throttled,
}

/// Which operations can be answered with 429.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Throttled {
    None,
    Guarded,
    All,
}

impl RouteTable {
    /// Returns what this table requires, to be written into an OpenAPI document.
    pub const fn openapi(&self) -> RouteTableOpenApi<'_> {
        RouteTableOpenApi {
            table: self,
            header: HeaderName::from_static("x-avala-api-key"),
            further: Vec::new(),
            anonymous: false,
            throttled: Throttled::None,
        }
    }
}

impl RouteTableOpenApi<'_> {
    /// Documents that keys come in this header, in place of `X-Avala-Api-Key` or an earlier one: that of
    /// [`ApiKeyLayer::header`](crate::ApiKeyLayer::header).
    pub fn header(self, header: HeaderName) -> Self {
        Self { header, ..self }
    }

    /// Documents `Authorization: Bearer` as an alternative: for
    /// [`ApiKeyLayer::accept_bearer`](crate::ApiKeyLayer::accept_bearer).
    pub fn accept_bearer(self) -> Self {
        self.or_scheme("Bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)))
    }

    /// Adds another way to authenticate as an alternative, such as the service's own login. The name is that of the scheme in
    /// the document.
    pub fn or_scheme(mut self, name: impl Into<String>, scheme: SecurityScheme) -> Self {
        self.further.push((name.into(), scheme));
        self
    }

    /// Documents that operations which require no scope take requests without a key: for
    /// [`ApiKeyLayer::allow_anonymous`](crate::ApiKeyLayer::allow_anonymous).
    pub fn allow_anonymous(self) -> Self {
        Self { anonymous: true, ..self }
    }

    /// Documents a limit on all requests: every operation can be answered with 429.
    pub fn throttled(self) -> Self {
        Self { throttled: Throttled::All, ..self }
    }

    /// Documents a limit by key or on failed attempts: every operation that requires a key can be answered with 429. A call of
    /// [`throttled`](Self::throttled) includes these.
    pub fn throttled_keys(self) -> Self {
        let throttled = if self.throttled == Throttled::All { Throttled::All } else { Throttled::Guarded };
        Self { throttled, ..self }
    }

    /// Returns a document that has only what the table requires.
    #[must_use]
    pub fn document(&self, info: Info) -> OpenApi {
        let mut document = OpenApi::new(info, Paths::new());
        self.add_to(&mut document);
        document
    }

    /// Adds to a document, such as one that is derived from handlers. Of an operation that it has, the security is
    /// replaced, and replies are added where it has none of that status; an operation that it does not have is made.
    ///
    /// The document's paths must be full ones, as the table's are. Methods that OpenAPI does not know are left out.
    pub fn add_to(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_with(Components::new);
        for (name, scheme) in self.schemes() {
            components.security_schemes.insert(name.into(), scheme.into());
        }
        components.schemas.insert(ERROR.into(), error_schema().into());
        for reply in self.replies() {
            components.responses.insert(reply.name.into(), reply.response().into());
        }
        for route in self.table.iter() {
            let item = document.paths.paths.entry(template(&route.pattern)).or_default();
            if let Some(operation) = operation_of(item, &route.method) {
                self.describe(operation.get_or_insert_with(|| new_operation(&route.pattern)), route);
            }
        }
    }

    fn describe(&self, operation: &mut Operation, route: &Route) {
        match &route.rule {
            // Not `None`, which would mean what the whole document asks for.
            Rule::Public => operation.security = Some(Vec::new()),
            Rule::Requires(requirement) => {
                operation.security = Some(self.security(requirement));
                let asks = format!("Asks for: {requirement}.");
                operation.description = Some(match operation.description.take() {
                    Some(description) => format!("{description}\n\n{asks}"),
                    None => asks,
                });
            }
        }
        for reply in self.replies().filter(|reply| self.applies(reply, route)) {
            let reference = Ref::from_response_name(reply.name);
            operation.responses.responses.entry(reply.status.into()).or_insert_with(|| reference.into());
        }
    }

    /// Returns the schemes by their names, each of which is enough.
    fn schemes(&self) -> impl Iterator<Item = (&str, SecurityScheme)> {
        let header = TitleCase(&self.header).to_string();
        let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(header)));
        std::iter::once((SCHEME, key)).chain(self.further.iter().map(|(name, scheme)| (&**name, scheme.clone())))
    }

    /// Returns an entry for each scheme and each set of scopes that is enough, and an empty one where no key is needed.
    fn security(&self, requirement: &Requirement) -> Vec<SecurityRequirement> {
        let alternatives = requirement.alternatives();
        let names = |scopes: &[&Scope]| scopes.iter().map(ToString::to_string).collect::<Vec<_>>();
        let of_scheme =
            |(name, _)| alternatives.iter().map(move |scopes| SecurityRequirement::new(name, names(scopes)));
        let anonymous = self.anonymous && requirement.is_met_by(&Access::scoped([]));
        self.schemes().flat_map(of_scheme).chain(anonymous.then(SecurityRequirement::default)).collect()
    }

    fn replies(&self) -> impl Iterator<Item = &'static Reply> {
        REPLIES.iter().filter(|reply| self.throttled != Throttled::None || reply.when != When::Throttled)
    }

    /// Returns whether an operation of this route can be answered so.
    fn applies(&self, reply: &Reply, route: &Route) -> bool {
        let requirement = route.rule.requirement();
        match reply.when {
            When::Guarded => requirement.is_some(),
            When::Scoped => requirement.is_some_and(|requirement| *requirement != Requirement::any_key()),
            When::Parameter => requirement.is_some() && parameters(&route.pattern).next().is_some(),
            When::Throttled => self.throttled == Throttled::All || requirement.is_some(),
        }
    }
}

const SCHEME: &str = "ApiKey";
const ERROR: &str = "Error";

/// A reply that an operation may get before its handler is asked.
struct Reply {
    name: &'static str,
    status: &'static str,
    description: &'static str,
    header: Option<(&'static str, Type)>,
    when: When,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// A key is asked for.
    Guarded,
    /// Some keys may not.
    Scoped,
    /// A key is required, and a parameter can have a value that is rejected.
    Parameter,
    Throttled,
}

static REPLIES: [Reply; 5] = [
    Reply {
        name: "Unauthorized",
        status: "401",
        description: "There is no key, or it is not valid, or it has expired.",
        header: Some(("WWW-Authenticate", Type::String)),
        when: When::Guarded,
    },
    Reply {
        name: "Forbidden",
        status: "403",
        description: "The key may not do this.",
        header: None,
        when: When::Scoped,
    },
    Reply {
        name: "NotFound",
        status: "404",
        description: "There is no such thing, or the path can be read in two ways.",
        header: None,
        when: When::Parameter,
    },
    Reply {
        name: "TooManyRequests",
        status: "429",
        description: "A limit is reached. `Retry-After` is in seconds.",
        header: Some(("Retry-After", Type::Integer)),
        when: When::Throttled,
    },
    Reply {
        name: "ServiceUnavailable",
        status: "503",
        description: "The key could not be checked just now. `Retry-After` is in seconds.",
        header: Some(("Retry-After", Type::Integer)),
        when: When::Guarded,
    },
];

impl Reply {
    fn response(&self) -> Response {
        let content = Content::new(Some(Ref::from_schema_name(ERROR)));
        let response = ResponseBuilder::new().description(self.description).content("application/json", content);
        match &self.header {
            Some((name, kind)) => response.header(*name, Header::new(primitive(kind.clone()))).build(),
            None => response.build(),
        }
    }
}

fn error_schema() -> Schema {
    ObjectBuilder::new().property("detail", primitive(Type::String)).required("detail").into()
}

fn primitive(kind: Type) -> Schema {
    ObjectBuilder::new().schema_type(kind).into()
}

fn operation_of<'a>(item: &'a mut PathItem, method: &Method) -> Option<&'a mut Option<Operation>> {
    Some(match method.as_str() {
        "GET" => &mut item.get,
        "PUT" => &mut item.put,
        "POST" => &mut item.post,
        "DELETE" => &mut item.delete,
        "OPTIONS" => &mut item.options,
        "PATCH" => &mut item.patch,
        "TRACE" => &mut item.trace,
        _ => return None,
    })
}

fn new_operation(pattern: &str) -> Operation {
    parameters(pattern).fold(OperationBuilder::new(), OperationBuilder::parameter).build()
}

fn parameters(pattern: &str) -> impl Iterator<Item = Parameter> {
    let string = || Some(RefOr::from(primitive(Type::String)));
    let parameter = move |name: &str| {
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
        parameter.schema(string()).build()
    };
    pieces(pattern).filter_map(move |piece| match piece {
        Piece::Text(_) => None,
        Piece::Parameter(name) | Piece::Rest(name) => Some(parameter(name)),
    })
}

/// The pattern as OpenAPI writes it: `{*rest}` is `{rest}`, and a brace of the path is encoded.
fn template(pattern: &str) -> String {
    let piece = |piece| match piece {
        Piece::Text("{{") => "%7B".to_owned(),
        Piece::Text("}}") => "%7D".to_owned(),
        Piece::Text(text) => text.to_owned(),
        Piece::Parameter(name) | Piece::Rest(name) => format!("{{{name}}}"),
    };
    pieces(pattern).map(piece).collect()
}

impl fmt::Debug for RouteTableOpenApi<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schemes: Vec<_> = self.schemes().map(|(name, _)| name).collect();
        f.debug_struct("RouteTableOpenApi")
            .field("table", &self.table)
            .field("schemes", &schemes)
            .finish_non_exhaustive()
    }
}
