//! The book as its users see it: one sentence each of what must hold.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use alloc::format;

fn addr(number: u16) -> SocketAddr {
    format!("10.0.{}.{}:5999", number >> 8, number & 255).parse().unwrap()
}

fn book(capacity: usize) -> (Book, Rng) {
    let limits = Limits { book: capacity, ..Limits::default() };
    (Book::new(&limits, true, (1, 2)), Rng::new([5; 32]))
}

fn teller() -> SocketAddr {
    addr(9999)
}

#[test]
fn unusable_and_own_addresses_stay_out() {
    let (mut book, mut rng) = book(10);
    assert!(!book.learn("0.0.0.0:1".parse().unwrap(), None, teller(), Instant::ZERO, &mut rng));
    assert!(book.learn(addr(1), None, teller(), Instant::ZERO, &mut rng));
    book.mark_own(addr(1), Instant::ZERO);
    assert!(book.get(addr(1)).is_none());
    assert!(!book.learn(addr(1), None, teller(), Instant::ZERO, &mut rng));
    let later = Instant::ZERO + Duration::from_secs(3600);
    assert!(
        book.learn(addr(1), None, teller(), later, &mut rng),
        "an hour later it may be another's"
    );
}

#[test]
fn a_full_book_keeps_what_is_proven_and_given() {
    let (mut book, mut rng) = book(10);
    assert!(book.add_bootstrap(addr(0), Instant::ZERO, &mut rng));
    assert!(book.learn(addr(1), None, teller(), Instant::ZERO, &mut rng));
    book.reached(addr(1), &guest(), Instant::ZERO, &mut rng);
    for number in 2..1000 {
        assert!(book.learn(addr(number), None, teller(), Instant::ZERO, &mut rng));
        assert!(book.len() <= 10);
    }
    assert!(book.get(addr(0)).is_some() && book.get(addr(1)).is_some());
}

#[test]
fn only_given_addresses_leave_no_room() {
    let (mut book, mut rng) = book(3);
    for number in 0..3 {
        assert!(book.add_bootstrap(addr(number), Instant::ZERO, &mut rng));
    }
    assert!(!book.learn(addr(4), None, teller(), Instant::ZERO, &mut rng));
}

#[test]
fn failures_push_an_address_back_but_never_a_given_one_for_long() {
    let (mut book, mut rng) = book(10);
    book.add_bootstrap(addr(0), Instant::ZERO, &mut rng);
    book.learn(addr(1), None, teller(), Instant::ZERO, &mut rng);
    for _ in 0..20 {
        book.failed(addr(0), Instant::ZERO, &mut rng);
        book.failed(addr(1), Instant::ZERO, &mut rng);
    }
    let due = |number, urgent| book.due(book.get(addr(number)).unwrap(), urgent);
    let seconds = |at: Instant| at.saturating_since(Instant::ZERO).as_secs();
    assert_eq!(seconds(due(0, true)), 15);
    assert!(seconds(due(0, false)) >= 1800);
    assert!(seconds(due(1, true)) >= 1800);
}

#[test]
fn a_held_address_waits_even_when_connections_are_few() {
    let (mut book, mut rng) = book(10);
    book.add_bootstrap(addr(0), Instant::ZERO, &mut rng);
    book.hold(addr(0), Duration::from_secs(600), Instant::ZERO);
    let due = book.due(book.get(addr(0)).unwrap(), true);
    assert_eq!(due, Instant::ZERO + Duration::from_secs(600));
}

#[test]
fn own_addresses_are_bounded_and_the_oldest_goes() {
    let (mut book, _) = book(10);
    let at = |number| Instant::ZERO + Duration::from_secs(u64::from(number));
    for number in 0..=64 {
        book.mark_own(addr(number), at(number));
    }
    let is_own = |number| book.is_own(addr(number), at(64));
    assert_eq!((is_own(0), is_own(1), is_own(64)), (false, true, true));
}

fn seconds(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

#[test]
fn a_good_dial_forgives_the_failures_before_it() {
    let (mut book, mut rng) = book(10);
    let guest = guest();
    for _ in 0..20 {
        book.failed(addr(1), Instant::ZERO, &mut rng);
    }
    assert!(book.get(addr(1)).is_none(), "a failure teaches no address");
    book.learn(addr(1), None, teller(), Instant::ZERO, &mut rng);
    for _ in 0..20 {
        book.failed(addr(1), Instant::ZERO, &mut rng);
    }
    book.reached(addr(1), &guest, seconds(5), &mut rng);
    book.failed(addr(1), seconds(5), &mut rng);
    let entry = book.get(addr(1)).unwrap();
    let wait = book.due(entry, false).saturating_since(seconds(5));
    assert!(wait <= 2 * Limits::default().backoff_base, "{wait:?}");
    assert_eq!((entry.alive, entry.peer.clone()), (Some(seconds(5)), Some(guest)));
}

#[test]
fn an_address_whose_connection_ended_rests_a_moment() {
    let (mut book, mut rng) = book(10);
    book.learn(addr(1), None, teller(), Instant::ZERO, &mut rng);
    book.reached(addr(1), &guest(), seconds(50), &mut rng);
    book.ended(addr(1), seconds(90), seconds(100), &mut rng);
    let entry = book.get(addr(1)).unwrap();
    assert_eq!((entry.alive, entry.last_try), (Some(seconds(90)), Some(seconds(100))));
    let wait = entry.not_before.saturating_since(seconds(100));
    let base = Limits::default().backoff_base;
    assert!(wait >= base / 2 && wait <= base * 3 / 2, "{wait:?}");
    book.ended(addr(1), seconds(80), seconds(100), &mut rng);
    assert_eq!(book.get(addr(1)).unwrap().alive, Some(seconds(90)), "the latest sign counts");
}

#[test]
fn nobody_can_ask_for_more_peace_than_the_longest_wait() {
    let (mut book, mut rng) = book(10);
    book.add_bootstrap(addr(0), Instant::ZERO, &mut rng);
    book.hold(addr(0), Duration::MAX, seconds(1));
    let due = book.due(book.get(addr(0)).unwrap(), true);
    assert_eq!(due, seconds(1) + Limits::default().backoff_max);
    book.hold(addr(0), Duration::ZERO, seconds(2));
    assert_eq!(book.due(book.get(addr(0)).unwrap(), true), due, "a shorter one takes none back");
    book.failed(addr(0), seconds(3), &mut rng);
    assert!(book.due(book.get(addr(0)).unwrap(), true) < due, "a dial of ours ends the peace");
}

#[test]
fn a_full_book_of_proven_addresses_has_no_room_for_what_is_told() {
    let (mut book, mut rng) = book(3);
    for number in 1..=3 {
        book.reached(addr(number), &guest(), seconds(20), &mut rng);
    }
    assert!(!book.learn(addr(4), None, teller(), seconds(40), &mut rng));
    assert!((1..=3).all(|number| book.get(addr(number)).is_some()));
}

#[test]
fn an_address_that_is_tried_or_rests_is_not_forgotten_for_what_is_told() {
    let (mut book, mut rng) = book(3);
    let [tried, failed, told, more] = [1, 2, 3, 4].map(addr);
    for addr in [tried, failed, told] {
        assert!(book.learn(addr, None, teller(), seconds(0), &mut rng));
    }
    book.failed(failed, seconds(0), &mut rng);
    book.dialled(tried, seconds(20));
    assert!(book.learn(more, None, teller(), seconds(0), &mut rng));
    assert!(book.get(told).is_none(), "the only one that nothing is known of");
    book.failed(more, seconds(0), &mut rng);
    assert!(!book.learn(told, None, teller(), seconds(0), &mut rng));
    assert!(
        book.learn(told, None, teller(), seconds(20), &mut rng),
        "the dial is over, or the rest"
    );
    let (given, guest) = (addr(5), PeerId::Guest("x".into()));
    for addr in [tried, failed, told, more] {
        book.failed(addr, seconds(20), &mut rng);
    }
    assert!(book.add_bootstrap(given, seconds(20), &mut rng));
    book.reached(addr(6), &guest, seconds(20), &mut rng);
    assert!(book.get(given).is_some() && book.get(addr(6)).is_some(), "sure ones find room");
}

#[test]
fn a_dial_that_succeeds_in_spite_of_a_hold_ends_it() {
    let (mut book, mut rng) = book(10);
    let (peer, hour) = (PeerId::Guest("x".into()), Duration::from_secs(3600));
    assert!(book.add_bootstrap(addr(1), Instant::ZERO, &mut rng));
    book.hold(addr(1), hour, Instant::ZERO);
    assert_eq!(book.due(book.get(addr(1)).unwrap(), true), Instant::ZERO + hour);
    book.reached(addr(1), &peer, Instant::ZERO, &mut rng);
    book.ended(addr(1), Instant::ZERO, Instant::ZERO, &mut rng);
    let due = book.due(book.get(addr(1)).unwrap(), true);
    assert!(due <= Instant::ZERO + Duration::from_secs(3), "{due}");
}

fn guest() -> PeerId {
    PeerId::Guest("x".into())
}

fn public(a: u8, b: u8, c: u8) -> SocketAddr {
    SocketAddr::from(([a, b, c, 1], 5999))
}

#[test]
fn an_empty_book_is_small_and_what_is_forgotten_leaves_nothing() {
    let (mut book, mut rng) = book(10_000);
    assert!(size_of::<Book>() <= 512, "{}", size_of::<Book>());
    let (entry, place) = (size_of::<(SocketAddr, Entry)>(), size_of::<SocketAddr>());
    let most = 2 * entry + 2 * place + crate::limits::MAX_GUEST_NAME + 16;
    assert!(most <= crate::limits::ADDRESS_COST, "{most}");
    let empty = format!("{book:?}");
    for number in 0..1000 {
        assert!(book.learn(addr(number), None, addr(number), seconds(0), &mut rng));
    }
    for number in 0..1000 {
        assert!(book.remove(addr(number)));
    }
    assert_eq!(format!("{book:?}"), empty);
}

#[test]
fn one_group_of_tellers_fills_a_sixteenth_and_leaves_the_rest() {
    let (mut book, mut rng) = book(10_000);
    assert!(book.learn(public(9, 9, 9), None, public(8, 8, 8), seconds(0), &mut rng));
    for number in 0..20_000_u32 {
        let [_, a, b, c] = (number * 7).to_be_bytes();
        let teller = SocketAddr::from(([20, 30, c, b], 5999));
        book.learn(public(a | 64, b, c), None, teller, seconds(0), &mut rng);
    }
    assert!(book.len() > 400 && book.len() <= 16 * 32 + 1, "{}", book.len());
    let fullest = book.buckets.new_table().values().map(Vec::len).max();
    assert_eq!(fullest, Some(buckets::BUCKET));
}

#[test]
fn a_full_book_takes_from_those_who_tell_most() {
    let (mut book, mut rng) = book(200);
    let honest = |number: u8| public(100 + number % 100, number, 1);
    for number in 0..60 {
        assert!(book.learn(honest(number), None, honest(number), seconds(0), &mut rng));
    }
    for number in 0..20_000_u32 {
        let [_, a, b, c] = (number * 7).to_be_bytes();
        let teller = SocketAddr::from(([20, 30, c, b], 5999));
        book.learn(public(a & 63, b, c), None, teller, seconds(0), &mut rng);
    }
    assert_eq!(book.len(), 200);
    let left = (0..60).filter(|number| book.get(honest(*number)).is_some()).count();
    assert!(left >= 50, "{left} of 60 are left");
}

/// Many addresses of one group that dials of ours reached, at these seconds.
fn reached_of_one_group(book: &mut Book, rng: &mut Rng, count: u32) -> Vec<SocketAddr> {
    let all: Vec<_> = (0..count)
        .map(|number| {
            let [_, _, b, c] = number.to_be_bytes();
            SocketAddr::from(([20, 30, b, c], 5999))
        })
        .collect();
    for (number, addr) in all.iter().enumerate() {
        book.reached(*addr, &guest(), seconds(number as u64), rng);
        book.ended(*addr, seconds(number as u64), seconds(number as u64), rng);
    }
    all
}

fn is_tried(book: &Book, addr: SocketAddr) -> bool {
    book.get(addr).is_some_and(|entry| matches!(entry.place, Place::Tried(_)))
}

#[test]
fn a_good_address_gives_way_only_after_a_dial_to_it_failed() {
    let (mut book, mut rng) = book(10_000);
    let all = reached_of_one_group(&mut book, &mut rng, 400);
    let tried = all.iter().filter(|addr| is_tried(&book, **addr)).count();
    assert!((6 * 32..=8 * 32).contains(&tried), "{tried} of one group");
    assert_eq!(book.collisions.len(), COLLISIONS);
    let Collision { incumbent, challenger } = book.collisions[0];
    assert!(is_tried(&book, incumbent) && !is_tried(&book, challenger));
    let later = seconds(1000);
    assert_eq!(book.feeler(later), Some(incumbent));
    let mut passed = book.clone();
    passed.reached(incumbent, &guest(), later, &mut rng);
    assert!(is_tried(&passed, incumbent) && !is_tried(&passed, challenger));
    assert_ne!(passed.collisions[0].incumbent, incumbent);
    book.failed(incumbent, later, &mut rng);
    assert!(!is_tried(&book, incumbent) && is_tried(&book, challenger));
    assert!(book.get(incumbent).is_some_and(|entry| entry.proven), "it is not forgotten");
    assert_eq!(book.collisions.len(), COLLISIONS - 1);
}

#[test]
fn a_connected_address_is_not_put_to_the_test() {
    let (mut book, mut rng) = book(10_000);
    for number in 0..400_u32 {
        let [_, _, b, c] = number.to_be_bytes();
        book.reached(SocketAddr::from(([20, 30, b, c], 5999)), &guest(), seconds(1), &mut rng);
    }
    assert!(book.collisions.is_empty());
}

#[test]
fn what_the_application_gave_is_in_no_bucket_and_never_forgotten() {
    let (mut book, mut rng) = book(1000);
    assert!(book.learn(public(1, 1, 1), None, teller(), seconds(0), &mut rng));
    assert!(book.add_bootstrap(public(1, 1, 1), seconds(0), &mut rng));
    assert!(book.add_bootstrap(public(1, 1, 1), seconds(0), &mut rng));
    assert_eq!((book.len(), book.given.len(), book.buckets.new_table().len()), (1, 1, 0));
    book.reached(public(1, 1, 1), &guest(), seconds(0), &mut rng);
    assert!(book.buckets.tried_table().is_empty());
    assert!(!book.add_bootstrap("0.0.0.0:0".parse().unwrap(), seconds(0), &mut rng));
    assert_eq!(book.given.len(), 1);
}

fn anyone(_: SocketAddr, _: Option<&PeerId>) -> bool {
    false
}

#[test]
fn half_of_the_draws_are_of_proven_addresses_however_many_are_told() {
    let (mut book, mut rng) = book(10_000);
    for number in 0..40 {
        book.reached(public(1, number, 1), &guest(), seconds(0), &mut rng);
        book.ended(public(1, number, 1), seconds(0), seconds(0), &mut rng);
    }
    for number in 0..2000_u16 {
        book.learn(addr(number), None, addr(number), seconds(0), &mut rng);
    }
    let mut proven = 0;
    for _ in 0..1000 {
        let drawn = book.select(false, seconds(10), &mut rng, &mut anyone).unwrap();
        proven += usize::from(is_tried(&book, drawn));
    }
    assert!((440..=560).contains(&proven), "{proven} of 1000");
}

#[test]
fn the_only_address_that_is_due_and_wanted_is_found() {
    let (mut book, mut rng) = book(10_000);
    for number in 0..500 {
        book.learn(addr(number), Some(guest()), addr(number), seconds(0), &mut rng);
    }
    for number in 0..250 {
        book.failed(addr(number), seconds(0), &mut rng);
    }
    let mut skip = |other: SocketAddr, peer: Option<&PeerId>| {
        assert_eq!(peer, Some(&guest()));
        other != addr(300)
    };
    assert_eq!(book.select(false, seconds(0), &mut rng, &mut skip), Some(addr(300)));
    book.dialled(addr(300), seconds(20));
    assert_eq!(book.select(false, seconds(0), &mut rng, &mut skip), None, "it is being dialled");
    assert_eq!(book.next_due(false, seconds(0), &mut skip), None);
    let mut skip = |other: SocketAddr, _: Option<&PeerId>| other != addr(100);
    let due = book.next_due(false, seconds(0), &mut skip).unwrap();
    assert_eq!(book.select(false, due, &mut rng, &mut skip), Some(addr(100)));
    assert_eq!(book.select(false, due.earlier(Duration::from_nanos(1)), &mut rng, &mut skip), None);
}

#[test]
fn while_connections_are_few_one_draw_in_four_begins_with_what_was_given() {
    let (mut book, mut rng) = book(10_000);
    book.add_bootstrap(public(1, 1, 1), seconds(0), &mut rng);
    for number in 0..500 {
        book.learn(addr(number), None, addr(number), seconds(0), &mut rng);
    }
    let mut given = |urgent| {
        let draws = (0..1000).map(|_| book.select(urgent, seconds(0), &mut rng, &mut anyone));
        draws.filter(|addr| *addr == Some(public(1, 1, 1))).count()
    };
    assert!((200..=300).contains(&given(true)));
    assert_eq!(given(false), 0);
}

#[test]
fn a_feeler_goes_to_what_is_in_question_alone_and_not_while_it_is_dialled() {
    let (mut book, mut rng) = book(10_000);
    book.reached(addr(1), &guest(), seconds(0), &mut rng);
    book.add_bootstrap(addr(2), seconds(0), &mut rng);
    book.learn(addr(3), None, teller(), seconds(0), &mut rng);
    assert_eq!(book.feeler(seconds(0)), None);
    reached_of_one_group(&mut book, &mut rng, 400);
    let first = book.feeler(seconds(1000)).unwrap();
    assert!(book.collisions.iter().any(|collision| collision.incumbent == first));
    book.dialled(first, seconds(1020));
    assert_ne!(book.feeler(seconds(1000)), Some(first));
}

/// Addresses that one teller told into one bucket, whose place in the book this is.
fn of_one_bucket(book: &mut Book, rng: &mut Rng, count: usize) -> (Place, Vec<SocketAddr>) {
    let place = book.buckets.new_place(addr(0), teller());
    let same = (0..).map(addr).filter(|addr| book.buckets.new_place(*addr, teller()) == place);
    let held: Vec<SocketAddr> = same.take(count).collect();
    for addr in &held {
        assert!(book.learn(*addr, None, teller(), seconds(0), rng));
    }
    (place, held)
}

#[test]
fn of_those_that_may_go_one_that_failed_goes_first() {
    for failed in 0..3 {
        let (mut book, mut rng) = book(1000);
        let (place, held) = of_one_bucket(&mut book, &mut rng, 3);
        book.failed(held[failed], seconds(0), &mut rng);
        let rested = seconds(100);
        assert!(book.make_room(place, true, rested, &mut rng));
        assert!(book.get(held[failed]).is_none() && book.len() == 2, "{failed}");
        assert!(book.make_room(place, true, rested, &mut rng) && book.len() == 1);
    }
}

#[test]
fn what_rests_goes_for_what_is_sure_and_what_was_good_only_if_nothing_rests() {
    let (mut book, mut rng) = book(1000);
    let (place, held) = of_one_bucket(&mut book, &mut rng, 4);
    for (number, addr) in held.iter().enumerate() {
        let entry = book.entries.get_mut(addr).unwrap();
        entry.not_before = seconds(100 - number as u64);
        entry.proven = number < 2;
        entry.alive = Some(seconds(10 - number as u64));
    }
    assert!(!book.make_room(place, true, seconds(1), &mut rng), "what is told displaces none");
    // The next to be tried of those that never answered, then the longest silent of the others.
    for gone in [3, 2, 1, 0] {
        assert!(book.make_room(place, false, seconds(1), &mut rng));
        assert!(book.get(held[gone]).is_none() && book.len() == gone, "{gone}");
    }
    assert!(!book.make_room(place, false, seconds(1), &mut rng), "nothing is left");
}

#[test]
fn who_gives_way_takes_the_place_of_one_that_may_go() {
    let (mut book, mut rng) = book(10_000);
    for number in 0..400_u32 {
        let [_, _, b, c] = number.to_be_bytes();
        let (addr, at) = (SocketAddr::from(([20, 30, b, c], 5999)), seconds(number.into()));
        book.learn(addr, None, teller(), at, &mut rng); // not where its own group tells
        book.reached(addr, &guest(), at, &mut rng);
        book.ended(addr, at, at, &mut rng);
    }
    let Collision { incumbent, challenger } = book.collisions[0];
    let new = book.buckets.new_place(incumbent, incumbent);
    assert_ne!(book.get(challenger).map(|entry| entry.place), Some(new));
    for port in 1..=99 {
        let addr = SocketAddr::from(([20, 30, 99, 1], port));
        book.learn(addr, None, incumbent, seconds(0), &mut rng);
    }
    assert!(book.buckets.is_full(new));
    let known = book.len();
    book.failed(incumbent, seconds(1000), &mut rng);
    assert_eq!(book.get(incumbent).map(|entry| entry.place), Some(new));
    assert!(book.buckets.at(new).contains(&incumbent) && book.buckets.is_full(new));
    assert_eq!(book.len(), known - 1, "one that was told went for it");
}

#[test]
fn a_dial_under_way_is_over_at_its_time() {
    let (mut book, mut rng) = book(10);
    assert!(book.add_bootstrap(addr(1), seconds(0), &mut rng));
    book.dialled(addr(1), seconds(20));
    let drawn = |now, rng: &mut Rng| {
        let selected = book.select(true, now, rng, &mut |_, _| false);
        (selected.is_some(), book.given(now, rng, &mut |_, _| false).is_some())
    };
    let just_before = Instant::from_nanos(seconds(20).as_nanos() - 1);
    assert_eq!(drawn(just_before, &mut rng), (false, false));
    assert_eq!(drawn(seconds(20), &mut rng), (true, true));
}
