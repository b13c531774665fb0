//! Where a request comes from. A forwarded address is believed only from a configured
//! proxy, because anybody can write the header.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::HttpRequest;

use crate::config::Config;

/// The address that rate limits count: the peer's, or, behind configured proxies, the
/// last forwarded one that is not a proxy of ours.
#[must_use]
pub fn client_address(request: &HttpRequest, config: &Config) -> IpAddr {
    let peer = request
        .peer_addr()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let forwarded = request
        .headers()
        .get_all("x-forwarded-for")
        .filter_map(|value| value.to_str().ok());
    behind(peer, forwarded, &config.trusted_proxies)
}

fn behind<'a>(peer: IpAddr, forwarded: impl Iterator<Item = &'a str>, proxies: &[IpAddr]) -> IpAddr {
    let peer = peer.to_canonical();
    if !proxies.contains(&peer) {
        return peer;
    }
    let chain: Vec<&str> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut nearest = peer;
    // From the right: each proxy appends whom it heard from. What is no address ends the
    // part that can be believed.
    for hop in chain.iter().rev() {
        let Ok(address) = hop.parse::<IpAddr>() else { break };
        nearest = address.to_canonical();
        if !proxies.contains(&nearest) {
            break;
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_forwarded_address_is_believed_only_from_a_proxy() {
        let header = ["9.9.9.9, 5.5.5.5"];
        let proxies = [ip("10.0.0.1")];
        assert_eq!(behind(ip("8.8.8.8"), header.into_iter(), &proxies), ip("8.8.8.8"));
        assert_eq!(behind(ip("10.0.0.1"), header.into_iter(), &proxies), ip("5.5.5.5"));
    }

    #[test]
    fn proxies_of_ours_are_skipped_and_nonsense_ends_the_chain() {
        let proxies = [ip("10.0.0.1"), ip("10.0.0.2")];
        let chain = ["1.1.1.1, 5.5.5.5", "10.0.0.2"];
        assert_eq!(behind(ip("10.0.0.1"), chain.into_iter(), &proxies), ip("5.5.5.5"));
        let broken = ["1.1.1.1, nonsense"];
        assert_eq!(behind(ip("10.0.0.1"), broken.into_iter(), &proxies), ip("10.0.0.1"));
    }
}
