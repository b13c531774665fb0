//! Where a caller comes from. A forwarded address is believed only from a configured
//! proxy, because anybody can write the header. One rule for both services, or a limit
//! per address would count differently on each.

use std::net::{IpAddr, SocketAddr};

/// The address that limits count: the peer's, or, behind configured proxies, the last
/// address of `X-Forwarded-For` that is not a proxy of ours. `forwarded` are the header's
/// lines, in order and as they came: a proxy appends to whatever its caller sent, so a line
/// that is no text has the proxy's word at its end all the same.
pub fn client_address<'a>(peer: IpAddr, forwarded: impl Iterator<Item = &'a [u8]>, proxies: &[IpAddr]) -> IpAddr {
    let peer = peer.to_canonical();
    if !proxies.contains(&peer) {
        return peer;
    }
    let chain: Vec<&[u8]> = forwarded.flat_map(|line| line.split(|byte| *byte == b',')).collect();
    let mut nearest = peer;
    // From the right: each proxy appends whom it heard from. What is no address ends the
    // part that can be believed.
    for hop in chain.iter().rev() {
        let Some(address) = address(hop) else { break };
        nearest = address.to_canonical();
        if !proxies.contains(&nearest) {
            break;
        }
    }
    nearest
}

/// The address that one hop names; some proxies write the port, too.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let with_port = || hop.parse().ok().map(|address: SocketAddr| address.ip());
    hop.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_forwarded_address_is_believed_only_from_a_proxy() {
        let header = [b"9.9.9.9, 5.5.5.5".as_slice()];
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
        let chain = [b"1.1.1.1, 5.5.5.5".as_slice(), b"10.0.0.2"];
        assert_eq!(
            client_address(ip("10.0.0.1"), chain.into_iter(), &proxies),
            ip("5.5.5.5")
        );
        let broken = [b"1.1.1.1, nonsense".as_slice()];
        assert_eq!(
            client_address(ip("10.0.0.1"), broken.into_iter(), &proxies),
            ip("10.0.0.1")
        );
    }
    #[test]
    fn nobody_chooses_their_address_by_sending_what_is_no_text() {
        let proxies = [ip("10.0.0.1")];
        let chain = [b"1.1.1.1".as_slice(), b"\xff, 5.5.5.5"];
        assert_eq!(
            client_address(ip("10.0.0.1"), chain.into_iter(), &proxies),
            ip("5.5.5.5")
        );
        let chain = [b"1.1.1.1".as_slice(), b"\xff"];
        assert_eq!(
            client_address(ip("10.0.0.1"), chain.into_iter(), &proxies),
            ip("10.0.0.1")
        );
    }

    #[test]
    fn a_hop_may_be_written_with_its_port() {
        let proxies = [ip("10.0.0.1")];
        for (hop, address) in [("5.5.5.5:4711", "5.5.5.5"), ("[2001:db8::5]:4711", "2001:db8::5")] {
            let chain = [hop.as_bytes()];
            assert_eq!(client_address(ip("10.0.0.1"), chain.into_iter(), &proxies), ip(address));
        }
    }
}
