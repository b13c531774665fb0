//! The API's description, and a page to browse it. Everything the page loads comes from
//! this program.

use actix_web::{App, web};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi, Ref, RefOr, Required, ResponseBuilder};
use utoipa::{OpenApi as _, ToSchema as _};
use utoipa_actix_web::AppExt as _;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::http::{PROBLEM_JSON, Problem, is_counted};
use crate::routes;

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
            Requests are counted by account, or by address without one, in four kinds: `read`, `write`, `money` \
            for what holds, orders or pays, and `media` for pictures. Each answer says in `RateLimit-Policy` how many a minute there are and in \
            `RateLimit` how many are left; beyond that it is 429 with `Retry-After`."
    ),
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
        (name = "moderation", description = "Who keeps order in a shop's shows, and who is kept out"),
        (name = "pictures", description = "Pictures of people, shops, products and shows"),
        (name = "orders", description = "Checkout, orders, payments"),
        (name = "admin", description = "For those who run the market"),
        (name = "operations", description = "For those who run the service")
    )
)]
struct Base;

/// The API as OpenAPI 3.1, from the routes themselves.
#[must_use]
pub fn openapi() -> OpenApi {
    let (_, mut api) = App::new()
        .into_utoipa_app()
        .openapi(Base::openapi())
        .configure(routes::all)
        .split_for_parts();
    let components = api.components.get_or_insert_default();
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.bearer_format = Some("JWT".to_owned());
    bearer.description = Some("The `access_token` of a session.".to_owned());
    components
        .security_schemes
        .insert("bearer".to_owned(), SecurityScheme::Http(bearer).into());
    for (path, item) in &mut api.paths.paths {
        let parameters: Vec<&str> = path
            .split('/')
            .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        for operation in operations(item) {
            add_path_parameters(operation, &parameters);
            add_problems(operation);
            if is_counted(path) {
                add_limits(operation);
            }
        }
    }
    api
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.post,
        &mut item.put,
        &mut item.patch,
        &mut item.delete,
    ]
    .into_iter()
    .filter_map(|operation| operation.as_mut())
}

/// Every parameter in a path is an id.
fn add_path_parameters(operation: &mut Operation, names: &[&str]) {
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
            .name(*name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(id))
            .build();
        parameters.push(RefOr::T(parameter));
    }
}

/// Every operation may answer with problem details; those that any caller should expect
/// are named.
fn add_problems(operation: &mut Operation) {
    let mut expected = vec![("default", "Refused: see `code`")];
    if operation.security.is_some() {
        expected.push(("401", "Not signed in"));
    }
    if operation.request_body.is_some() {
        expected.push(("400", "Not JSON"));
        expected.push(("415", "Not sent as JSON"));
        expected.push(("422", "JSON that cannot be: `field` names what is wrong"));
    }
    if let Some(parameters) = &operation.parameters {
        let has = |place: &ParameterIn| {
            parameters
                .iter()
                .any(|known| matches!(known, RefOr::T(known) if known.parameter_in == *place))
        };
        if has(&ParameterIn::Path) {
            expected.push(("404", "There is none, or it is somebody else's"));
        }
        if has(&ParameterIn::Header) {
            expected.push(("409", "The state does not allow it, or the same request is under way"));
        }
    }
    for (status, description) in expected {
        operation
            .responses
            .responses
            .entry(status.to_owned())
            .or_insert_with(|| RefOr::T(told(description).build()));
    }
}

fn told(description: &str) -> ResponseBuilder {
    let problem = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(Problem::name())))
        .build();
    ResponseBuilder::new()
        .description(description)
        .content(PROBLEM_JSON, problem)
}

/// What whoever asks too often is told.
fn add_limits(operation: &mut Operation) {
    let header = |schema: Type, description: &str| {
        HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(schema)))
            .description(Some(description))
            .build()
    };
    let wait = header(Type::Integer, "After how many seconds to try again");
    let policy = header(
        Type::String,
        "The rate limit of the kind of request: `\"read\";q=1200;w=60`",
    );
    let left = header(
        Type::String,
        "What is left of it, and seconds until it is whole: `\"read\";r=1199;t=1`",
    );
    let response = told("Asked too often")
        .header("Retry-After", wait)
        .header("RateLimit-Policy", policy)
        .header("RateLimit", left)
        .build();
    operation
        .responses
        .responses
        .insert("429".to_owned(), RefOr::T(response));
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
