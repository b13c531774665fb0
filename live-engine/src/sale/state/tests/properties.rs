//! What stays true of a sale whatever is asked of it in whatever order.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
struct Step {
    command: Command,
    bar: Option<u128>,
    later: Millis,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let hold = || (1_u128..30).prop_map(id);
    let holds = || prop::collection::btree_set(hold(), 1..3).prop_map(|set| set.into_iter().collect::<Vec<_>>());
    let command = prop_oneof![
        8 => (1_u128..30, 1_u128..6, 1_u32..4, any::<bool>())
            .prop_map(|(n, buyer, q, waits)| Command::Reserve(Ask { waits, ..ask(n, buyer, q) })),
        2 => (hold(), 1_u128..6).prop_map(|(id, buyer)| Command::Release(id, user(buyer))),
        1 => (1_u128..6).prop_map(|buyer| Command::Unwait(user(buyer))),
        2 => holds().prop_map(Command::StartPaying),
        2 => holds().prop_map(Command::Convert),
        1 => holds().prop_map(Command::PaymentFailed),
        2 => Just(Command::Sweep),
        1 => Just(Command::Close),
    ];
    let bar = prop::option::weighted(0.02, 1_u128..6);
    prop::collection::vec(
        (command, bar, 0_i64..20).prop_map(|(command, bar, later)| Step { command, bar, later }),
        1..80,
    )
}

/// Applies events one by one and looks whom each passes over.
fn apply_in_turn(sale: &mut Sale, events: &[Event]) -> Result<(), TestCaseError> {
    for event in events {
        let would_have_fitted =
            |place: &&Place, left: u32| place.quantity <= left && !sale.barred.contains(&place.user);
        match event {
            Event::Granted(..) => {
                let passed_over = sale.waiting().find(|place| would_have_fitted(place, sale.remaining()));
                prop_assert_eq!(passed_over, None, "somebody bought past the line");
            }
            Event::Offered(id, _) => {
                let first = sale.waiting().find(|place| would_have_fitted(place, sale.remaining()));
                prop_assert_eq!(first.map(|place| place.id), Some(*id), "offered out of turn");
            }
            _ => {}
        }
        sale.evolve(event);
    }
    Ok(())
}

proptest! {
    #[test]
    fn nothing_is_promised_twice_and_no_unit_vanishes(steps in steps(), quantity in 1_u32..12, per_buyer in 1_u32..5) {
        let mut sale = sale(quantity, per_buyer);
        let mut now = 10;
        for Step { command, bar, later } in steps {
            now += later;
            sale.barred.extend(bar.map(user));
            if let Command::Reserve(ask) = &command {
                // An id stands for one hold or place, as in the database.
                let taken = sale.holds.contains_key(&ask.reservation) || sale.line.iter().any(|p| p.id == ask.reservation);
                if taken && !sale.requests.contains_key(&(ask.user, ask.request)) {
                    continue;
                }
                let lapsed = sale.lapse(now);
                apply_in_turn(&mut sale, &lapsed)?;
            }
            if let Ok(events) = sale.decide(&command, now) {
                apply_in_turn(&mut sale, &events)?;
            }
            prop_assert!(sale.held + sale.sold + sale.returned <= quantity);
            if sale.status == SaleStatus::Closed {
                prop_assert_eq!(sale.held + sale.sold + sale.returned, quantity);
                prop_assert_eq!(sale.waiting().count(), 0);
            }
            prop_assert!(sale.sold < quantity || sale.status == SaleStatus::Closed);
            let sum = |wanted: &[ReservationStatus]| -> u32 {
                sale.holds.values().filter(|h| wanted.contains(&h.status)).map(|h| h.quantity).sum()
            };
            prop_assert_eq!(sum(&[ReservationStatus::Held, ReservationStatus::Paying]), sale.held);
            prop_assert_eq!(sum(&[ReservationStatus::Converted]), sale.sold);
            let fits = |place: &Place| place.quantity <= sale.remaining() && !sale.barred.contains(&place.user);
            prop_assert!(!sale.waiting().any(fits) || now >= sale.terms.ends_at, "units lie about while somebody waits");
            for buyer in 1..6 {
                prop_assert!(sale.units_of(user(buyer)) <= per_buyer);
                prop_assert!(sale.waiting().filter(|place| place.user == user(buyer)).count() <= 1);
            }
        }
    }

    #[test]
    fn nobody_is_overtaken(asks in prop::collection::vec(1_u32..4, 1..40), quantity in 1_u32..30) {
        let mut sale = sale(quantity, 10);
        let mut least_refused = u32::MAX;
        for (n, wanted) in asks.into_iter().enumerate() {
            let n = n as u128 + 1_000;
            match reserve(&mut sale, ask(n, n, wanted), 20) {
                Ok(_) => prop_assert!(wanted < least_refused, "granted what an earlier buyer was refused"),
                Err(_) => least_refused = least_refused.min(wanted),
            }
        }
    }

    /// What the database stores is what the events say: whoever hears them has the sale,
    /// and what was asked once is the same however often it is asked again.
    #[test]
    fn a_copy_that_hears_the_same_events_is_the_same_sale_and_resends_change_nothing(
        steps in steps(),
        quantity in 1_u32..12,
        per_buyer in 1_u32..5,
    ) {
        let mut owner = sale(quantity, per_buyer);
        let mut copy = owner.clone();
        let (mut now, mut asked) = (10, Vec::new());
        for Step { command, later, .. } in steps {
            now += later;
            let mut events = Vec::new();
            if let Command::Reserve(ask) = &command {
                let taken = owner.holds.contains_key(&ask.reservation)
                    || owner.line.iter().any(|place| place.id == ask.reservation);
                if taken && !owner.requests.contains_key(&(ask.user, ask.request)) {
                    continue;
                }
                events.extend(owner.lapse(now));
                events.iter().for_each(|event| owner.evolve(event));
            }
            let before = owner.clone();
            match owner.decide(&command, now) {
                Ok(decided) => {
                    decided.iter().for_each(|event| owner.evolve(event));
                    events.extend(decided);
                }
                Err(_) => prop_assert_eq!(&before, &owner, "a refusal changes nothing"),
            }
            events.iter().for_each(|event| copy.evolve(event));
            prop_assert_eq!(&copy, &owner);
            if let Command::Reserve(ask) = command {
                asked.extend(owner.requests.get(&(ask.user, ask.request)).map(|got| (ask, *got)));
            }
            for (ask, got) in &asked {
                // Whatever has become of it since; under another id, as a resend has.
                let again = Ask { reservation: id(1_000), ..*ask };
                match owner.decide(&Command::Reserve(again), now) {
                    Ok(events) => prop_assert_eq!(events, vec![], "a resend takes something"),
                    Err(code) => prop_assert_eq!(code, ErrorCode::RequestIdReused),
                }
                prop_assert_eq!(owner.requests.get(&(ask.user, ask.request)), Some(got));
            }
            prop_assert_eq!(owner.lapse(now).iter().filter(|e| matches!(e, Event::Granted(..))).count(), 0);
        }
        // Time alone brings everything back that nobody pays for, and ends the sale.
        now = now.max(owner.terms.ends_at) + 1_000;
        for event in owner.decide(&Command::Sweep, now).expect("never refused") {
            owner.evolve(&event);
        }
        prop_assert_eq!((owner.status, owner.remaining()), (SaleStatus::Closed, 0));
        prop_assert_eq!(owner.held + owner.sold + owner.returned, quantity);
        let paying = owner.holds.values().filter(|hold| hold.status == ReservationStatus::Paying);
        prop_assert_eq!(owner.held, paying.map(|hold| hold.quantity).sum::<u32>());
        prop_assert_eq!(owner.decide(&Command::Sweep, now), Ok(vec![]), "a second sweep finds nothing");
    }
}
