//! Where a request comes from.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::HttpRequest;
use actix_web::http::header::HeaderValue;

use crate::config::Config;

/// The address that rate limits count.
#[must_use]
pub fn client_address(request: &HttpRequest, config: &Config) -> IpAddr {
    let peer = request
        .peer_addr()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let forwarded = request.headers().get_all("x-forwarded-for").map(HeaderValue::as_bytes);
    shared::client_address::client_address(peer, forwarded, &config.trusted_proxies)
}
