//! Who is at the other end of a session, as far as a request tells.

use actix_web::HttpRequest;
use actix_web::http::header;

use crate::config::Config;
use crate::http::{Result, client_address, counted};

/// Characters of what a client calls itself that are kept.
const AGENT_MAX_CHARS: usize = 200;

/// What sent a request, and from where.
pub(crate) struct Client {
    /// What it calls itself, as a person reads it in the list of their sessions.
    pub agent: String,
    /// The network that it is in, as what limits count by addresses has it: a fingerprint.
    pub place: String,
}

impl Client {
    /// Of a request.
    ///
    /// # Errors
    /// When the fingerprint cannot be made, which is a defect.
    pub(super) fn of(request: &HttpRequest, config: &Config) -> Result<Self> {
        let agent = request.headers().get(header::USER_AGENT);
        let agent = agent.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let printable = |c: &char| !c.is_control();
        let network = counted(client_address(request, config));
        Ok(Self {
            agent: agent.chars().filter(printable).take(AGENT_MAX_CHARS).collect(),
            place: config.token_key.fingerprint(&format!("network {network}"))?,
        })
    }
}
