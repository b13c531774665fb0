//! The API's description, and a page to browse it. Everything the page loads comes from
//! this program. The routes say what they take and answer; what holds of all of them is
//! added here.

mod examples;
mod further;
mod links;
mod names;
mod refusals;

use std::collections::{BTreeMap, HashSet};

use actix_web::{App, web};
use anyhow::Context as _;
use shared::error::ErrorCode;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{Components, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr, Required};
use utoipa::{OpenApi as _, ToSchema as _};
use utoipa_actix_web::AppExt as _;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::http::Problem;
use crate::routes;
use examples::Examples;

/// Types by name.
type Schemas = BTreeMap<String, RefOr<Schema>>;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Hawker",
        version = env!("CARGO_PKG_VERSION"),
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
        description = "Live shopping over REST: accounts, shops, products, shows, checkout, orders and payments.\n\n\
            Errors are problem details (RFC 9457) with a stable `code`. Lists come a page at a time: give \
            `next_cursor` back as `cursor`. Money is whole minor units and a currency. Every POST that moves money or \
            stock takes an `Idempotency-Key`, a UUID: sent again with the same body it gets the same answer; with \
            another body 422; while the first is under way 409.\n\n\
            Requests are counted by account, or by address without one, in five kinds: `read`, `write`, `money` \
            for what holds, orders, pays or decides about money, `media` for pictures, and `webhook`. Each answer says in `RateLimit-Policy` how many \
            a minute there are and in `RateLimit` how many are left; beyond that it is 429 with `Retry-After`. Each \
            answer has an `X-Request-Id`, which problem details repeat as `request_id`: name it when you ask about an \
            answer."
    ),
    servers((url = "/", description = "The server that this description comes from")),
    // What only parameters name is not collected from the routes by itself.
    components(schemas(
        Problem,
        shared::error::ErrorCode,
        shared::ids::RequestId,
        shared::ids::SellerId,
        shared::status::OrderStatus,
        shared::status::ProductStatus,
        shared::status::SellerStatus,
        shared::status::StreamStatus
    )),
    tags(
        (name = "identity", description = "Accounts and sessions"),
        (name = "addresses", description = "Where to deliver"),
        (name = "notifications", description = "What one is told of"),
        (name = "sellers", description = "Shops"),
        (name = "catalog", description = "Categories, products, stock"),
        (name = "streams", description = "Shows"),
        (name = "chat", description = "What is said in shows, and what is kept from being said"),
        (name = "moderation", description = "Who keeps order in a shop's shows, and who is kept out"),
        (name = "pictures", description = "Pictures of people, shops, products and shows"),
        (name = "flash sales", description = "Units of a sale, held for a while"),
        (name = "cart", description = "What one means to buy"),
        (name = "orders", description = "Checkout, orders, payments"),
        (name = "fulfilment", description = "What a shop has sold, its parcels, and their arrival"),
        (name = "payouts", description = "What shops earn, and how they get it"),
        (name = "admin", description = "For those who run the market"),
        (name = "operations", description = "For those who run the service")
    )
)]
struct Base;

/// The API as OpenAPI 3.1, from the routes themselves.
///
/// # Errors
/// When the examples that are compiled in cannot be read.
pub fn openapi() -> anyhow::Result<OpenApi> {
    let (_, mut api) = App::new()
        .into_utoipa_app()
        .openapi(Base::openapi())
        .configure(routes::all)
        .split_for_parts();
    let examples = Examples::read()?;
    add_components(api.components.get_or_insert_default());
    let schemas = api.components.get_or_insert_default().schemas.clone();
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            names::name(path, operation);
            add_path_parameters(path, operation);
            refusals::add(method, path, operation);
            examples.add(method, path, operation);
            may_be_left_out(operation, &schemas);
            // Said outright: it takes no token.
            operation.security.get_or_insert_default();
        }
    }
    links::add(&mut api);
    leave_out_unused(&mut api)?;
    Ok(api)
}

/// A body without a field that must be there may be left out: none at all reads as `{}`.
fn may_be_left_out(operation: &mut Operation, schemas: &Schemas) {
    if let Some(RefOr::T(body)) = &mut operation.request_body
        && let Some(RefOr::T(json)) = body.content.get("application/json")
        && let Some(schema) = &json.schema
        && !demands_a_field(schema, schemas)
    {
        body.required = Some(Required::False);
    }
}

fn demands_a_field(schema: &RefOr<Schema>, schemas: &Schemas) -> bool {
    match schema {
        RefOr::Ref(to) => {
            let name = to.ref_location.rsplit('/').next().unwrap_or_default();
            let schema = schemas.get(name);
            schema.is_none_or(|schema| demands_a_field(schema, schemas))
        }
        RefOr::T(Schema::Object(object)) => !object.required.is_empty(),
        RefOr::T(Schema::AllOf(all)) => all.items.iter().any(|part| demands_a_field(part, schemas)),
        RefOr::T(_) => true,
    }
}

/// Leaves out what nothing refers to: types that are written out where they are used, and
/// codes that only sockets say.
fn leave_out_unused(api: &mut OpenApi) -> anyhow::Result<()> {
    loop {
        let text = serde_json::to_string(api).context("writing the description")?;
        let after_marks = text.split('#').filter_map(|rest| rest.strip_prefix("/components/"));
        let used: HashSet<&str> = after_marks.filter_map(|rest| rest.split('"').next()).collect();
        let is_used = |kind: &str, name: &str| used.contains(format!("{kind}/{name}").as_str());
        let components = api.components.get_or_insert_default();
        let before = components.schemas.len();
        components.schemas.retain(|name, _| is_used("schemas", name));
        components.examples.retain(|name, _| is_used("examples", name));
        if components.schemas.len() == before {
            return Ok(());
        }
    }
}

fn add_components(components: &mut Components) {
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.bearer_format = Some("JWT".to_owned());
    bearer.description = Some("The `access_token` of a session.".to_owned());
    let schemes = &mut components.security_schemes;
    schemes.insert("bearer".to_owned(), SecurityScheme::Http(bearer).into());
    let codes = components.schemas.get_mut(&*ErrorCode::name());
    if let Some(RefOr::T(Schema::Object(codes))) = codes {
        codes.description = Some(refusals::table());
    }
    refusals::add_components(components);
}

/// The operations of a path, each with its method.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all = [
        ("GET", &mut item.get),
        ("POST", &mut item.post),
        ("PUT", &mut item.put),
        ("PATCH", &mut item.patch),
        ("DELETE", &mut item.delete),
    ];
    { all }
        .into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Every parameter in a path is an id, unless its handler says otherwise.
fn add_path_parameters(path: &str, operation: &mut Operation) {
    let names = path
        .split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let parameters = operation.parameters.get_or_insert_default();
    for name in names {
        if parameters
            .iter()
            .any(|known| matches!(known, RefOr::T(known) if known.name == *name))
        {
            continue;
        }
        let id = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)));
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(id))
            .build();
        parameters.push(RefOr::T(parameter));
    }
}

/// `/docs/`.
pub(crate) fn browse(config: &mut web::ServiceConfig) {
    let page = Config::from("/openapi.json")
        .validator_url("none")
        .persist_authorization(false);
    config
        .service(web::redirect("/docs", "/docs/"))
        .service(SwaggerUi::new("/docs/{_:.*}").config(page));
}
