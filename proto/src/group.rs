//! Network groups: addresses that one owner is likely to hold together.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A group: IPv4 /16, IPv6 /32. An exempt address is a group of its own.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) enum Group {
    V4([u8; 2]),
    V6([u8; 4]),
    Exempt(SocketAddr),
}

impl Group {
    /// The group of an address. Loopback is always exempt, private addresses on request.
    pub(crate) fn of(addr: SocketAddr, private_exempt: bool) -> Self {
        if addr.ip().is_loopback() || (private_exempt && is_private(addr.ip())) {
            return Self::Exempt(addr);
        }
        match addr.ip() {
            IpAddr::V4(ip) => {
                let [a, b, _, _] = ip.octets();
                Self::V4([a, b])
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.octets();
                Self::V6([a, b, c, d])
            }
        }
    }
}

/// Whether an address means something on this machine or in this network alone.
pub(crate) fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || is_private(ip)
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Whether anybody can be reached there by TCP.
pub(crate) fn is_dialable(addr: SocketAddr) -> bool {
    let broadcast = matches!(addr.ip(), IpAddr::V4(ip) if ip.is_broadcast());
    addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast() && !broadcast
}

/// The address with an IPv4 address that came in IPv6 clothes undressed, and without scope: one
/// place, one spelling.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// What one owner holds: an IPv4 address, an IPv6 network of 64 bits.
pub(crate) fn owner_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn group(addr: &str) -> Group {
        Group::of(addr.parse().unwrap(), true)
    }

    #[test]
    fn neighbours_share_a_group_and_exempt_addresses_do_not() {
        assert_eq!(group("1.2.3.4:5"), group("1.2.200.1:9"));
        assert_ne!(group("1.2.3.4:5"), group("1.3.3.4:5"));
        assert_eq!(group("[2001:db8:1::1]:5"), group("[2001:db8:2::1]:6"));
        assert_ne!(group("127.0.0.1:5"), group("127.0.0.1:6"));
        assert_ne!(group("10.0.0.1:5"), group("10.0.0.2:5"));
        let strict = |addr: &str| Group::of(addr.parse().unwrap(), false);
        assert_eq!(strict("10.0.0.1:5"), strict("10.0.0.2:5"));
    }

    #[test]
    fn only_places_that_can_answer_are_dialable() {
        for (addr, dialable) in [
            ("1.2.3.4:5", true),
            ("1.2.3.4:0", false),
            ("0.0.0.0:5", false),
            ("255.255.255.255:5", false),
            ("224.0.0.1:5", false),
            ("[::]:5", false),
            ("[ff02::1]:5", false),
            ("[::1]:5", true),
        ] {
            assert_eq!(is_dialable(addr.parse().unwrap()), dialable, "{addr}");
        }
        assert_eq!(canonical("[::ffff:1.2.3.4]:5".parse().unwrap()), "1.2.3.4:5".parse().unwrap());
    }
}
