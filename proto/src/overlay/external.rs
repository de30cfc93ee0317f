//! Where we are seen from outside: what peers that we chose ourselves agree on.
//!
//! One that dialled us may say what it likes, and so may many of one network group.

use core::net::IpAddr;

use crate::group::Group;
use crate::sorted::{SortedMap, SortedSet};

/// Network groups that have to agree. Three, so that neither one liar nor one provider decides.
const AGREE: usize = 3;

/// The address that enough groups see us at; of several the one that most do.
pub(crate) fn agreed(said: impl Iterator<Item = (Group, IpAddr)>) -> Option<IpAddr> {
    let mut groups: SortedMap<IpAddr, SortedSet<Group>> = SortedMap::new();
    for (group, ip) in said.filter(|(_, ip)| !ip.is_unspecified() && !ip.is_multicast()) {
        groups.change(ip, |groups| groups.insert(group));
    }
    let enough = groups.into_iter().filter(|(_, groups)| groups.len() >= AGREE);
    enough.max_by_key(|(_, groups)| groups.len()).map(|(ip, _)| ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed_of(said: &[(u8, u8)]) -> Option<u8> {
        let said = said.iter().map(|(group, ip)| {
            let ip = if *ip == 0 { [0; 4] } else { [9, 9, 9, *ip] };
            (Group::V4([1, *group]), IpAddr::from(ip))
        });
        agreed(said).map(|ip| match ip {
            IpAddr::V4(ip) => ip.octets()[3],
            IpAddr::V6(_) => 0,
        })
    }

    #[test]
    fn three_groups_agree_or_nothing_is_known() {
        assert_eq!(agreed_of(&[]), None);
        assert_eq!(agreed_of(&[(1, 7), (2, 7)]), None);
        assert_eq!(agreed_of(&[(1, 7), (2, 7), (2, 7), (1, 7)]), None, "two groups, four voices");
        assert_eq!(agreed_of(&[(1, 7), (2, 7), (3, 7)]), Some(7));
        assert_eq!(agreed_of(&[(1, 0), (2, 0), (3, 0)]), None, "nobody is there");
    }

    #[test]
    fn most_groups_win() {
        let split = [(1, 7), (2, 7), (3, 7), (4, 8), (5, 8), (6, 8), (7, 8)];
        assert_eq!(agreed_of(&split), Some(8));
    }
}
