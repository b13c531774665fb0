//! Where a caller comes from. A forwarded address is believed only from a configured
//! proxy, because anybody can write the header. One rule for both services, or a limit
//! per address would count differently on each.

use std::net::IpAddr;

/// The address that limits count: the peer's, or, behind configured proxies, the last
/// address of `X-Forwarded-For` that is not a proxy of ours. `forwarded` are the header's
/// lines, in order.
pub fn client_address<'a>(peer: IpAddr, forwarded: impl Iterator<Item = &'a str>, proxies: &[IpAddr]) -> IpAddr {
    let peer = peer.to_canonical();
    if !proxies.contains(&peer) {
        return peer;
    }
    let chain: Vec<&str> = forwarded.flat_map(|line| line.split(',')).map(str::trim).collect();
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
        assert_eq!(
            client_address(ip("8.8.8.8"), header.into_iter(), &proxies),
            ip("8.8.8.8")
        );
        assert_eq!(
            client_address(ip("10.0.0.1"), header.into_iter(), &proxies),
            ip("5.5.5.5")
        );
    }

    #[test]
    fn proxies_of_ours_are_skipped_and_nonsense_ends_the_chain() {
        let proxies = [ip("10.0.0.1"), ip("10.0.0.2")];
        let chain = ["1.1.1.1, 5.5.5.5", "10.0.0.2"];
        assert_eq!(
            client_address(ip("10.0.0.1"), chain.into_iter(), &proxies),
            ip("5.5.5.5")
        );
        let broken = ["1.1.1.1, nonsense"];
        assert_eq!(
            client_address(ip("10.0.0.1"), broken.into_iter(), &proxies),
            ip("10.0.0.1")
        );
    }
}
