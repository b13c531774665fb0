//! Every route of the service, on one page. A path and its method stand at the handler;
//! here is the order in which they are tried: literal segments before `{id}`.

use utoipa_actix_web::service_config::ServiceConfig;

use crate::http::operations;
use crate::identity::handlers as identity;

/// Registers every route.
pub fn all(config: &mut ServiceConfig<'_>) {
    config
        .service(operations::healthz) // GET /healthz
        .service(operations::readyz) // GET /readyz
        .service(operations::metrics) // GET /metrics
        .service(operations::openapi_json); // GET /openapi.json
    config
        .service(identity::register) // POST /auth/register
        .service(identity::login) // POST /auth/login
        .service(identity::refresh) // POST /auth/refresh
        .service(identity::logout) // POST /auth/logout
        .service(identity::me) // GET /auth/me
        .service(identity::change_profile); // PATCH /auth/profile
}
