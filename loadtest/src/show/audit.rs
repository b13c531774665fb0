//! Holds what clients were told against what the database holds: every acknowledged
//! message, every event heard, every granted hold, every paid order, the limits, and
//! then every invariant that the database can be held to by itself.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Context, Result};
use shared::db::DbOptions;
use shared::ids::{SaleId, UserId};
use shared::protocol::{Position, RoomEvent};
use shared::verify;

use super::director::Show;
use super::store;
use super::tally::Tally;

/// What the audit found, apart from the faults it added to the tally.
pub struct Audit {
    /// What the show moved, by account of the ledger.
    pub ledger: Vec<store::Account>,
    /// Every invariant.
    pub verify: verify::Report,
}

/// Reads the database and adds a fault for whatever does not agree. `last_word` is the
/// position up to which everything is committed.
///
/// # Errors
/// When the database cannot be read.
pub async fn run(database_url: &str, show: &Show, last_word: Option<Position>) -> Result<Audit> {
    let options = DbOptions {
        max_connections: 2,
        statement_timeout: std::time::Duration::from_secs(60),
        // Whether it is durable is for the services to insist on.
        allow_unsafe: true,
        ..DbOptions::default()
    };
    let pool = shared::db::connect(database_url, &options)
        .await
        .context("the audit reaches the database")?;
    let tally = &show.hall.tally;
    let stream = show.stage.stream;
    let mut conn = pool.acquire().await?;
    let messages = store::messages(&mut conn, stream).await?;
    let events = store::events(&mut conn, stream).await?;
    check_messages(tally, &messages);
    if let Some(last_word) = last_word {
        check_events(show, last_word, &messages, &events);
    }
    check_holds(tally, &store::holds(&mut conn, stream).await?);
    let orders = store::orders(&mut conn, stream).await?;
    check_orders(tally, &orders);
    let ledger = store::ledger(&mut conn, stream).await?;
    check_ledger(tally, &ledger);
    drop(conn);
    let verify = verify::run(&pool).await?;
    for check in verify.broken() {
        tally.fault(format!(
            "verify: {} is broken {} times: {:?}",
            check.name, check.broken, check.sample
        ));
    }
    pool.close().await;
    Ok(Audit { ledger, verify })
}

fn position(epoch: i64, seq: i64) -> Position {
    Position {
        epoch,
        seq: u64::try_from(seq).unwrap_or(0),
    }
}

/// Every acknowledged message is stored once, as it was acknowledged.
fn check_messages(tally: &Tally, stored: &[store::Message]) {
    let by_id: HashMap<_, _> = stored.iter().map(|message| (message.id, message)).collect();
    for told in tally.acknowledged() {
        let Some(found) = by_id.get(&told.message) else {
            tally.fault(format!("acknowledged message {} is not in the database", told.message));
            continue;
        };
        let same = found.user == told.user
            && found.request_id == told.request_id
            && found.text == told.text
            && position(found.epoch, found.seq) == told.at;
        if !same {
            tally.fault(format!("acknowledged message {} is stored otherwise", told.message));
        }
    }
}

/// Every event heard is stored as it was heard, and nothing is stored that nobody heard.
fn check_events(show: &Show, last_word: Position, messages: &[store::Message], events: &[store::Event]) {
    let tally = &show.hall.tally;
    let heard = show.hall.record.events();
    let Some((first, _)) = heard.first() else {
        tally.fault("nobody heard anything".into());
        return;
    };
    let in_range = |at: &Position| {
        at.epoch == last_word.epoch && at.seq >= first.seq && at.seq <= last_word.seq && first.epoch == at.epoch
    };
    let messages: BTreeMap<_, _> = messages
        .iter()
        .map(|row| ((row.epoch, position(row.epoch, row.seq).seq), row))
        .collect();
    let events: BTreeMap<_, _> = events
        .iter()
        .map(|row| ((row.epoch, position(row.epoch, row.seq).seq), row))
        .collect();
    let mut known = HashSet::new();
    for (at, event) in heard.iter().filter(|(at, _)| in_range(at)) {
        let key = (at.epoch, at.seq);
        known.insert(key);
        let same = match event {
            RoomEvent::Chat(message) => messages
                .get(&key)
                .is_some_and(|row| row.id == message.id && row.user == message.author.id && row.text == message.text),
            other => events
                .get(&key)
                .is_some_and(|row| serde_json::to_value(other).is_ok_and(|sent| sent == row.payload)),
        };
        if !same {
            tally.fault(format!("{} at {at:?} is not stored as it was heard", event.kind()));
        }
    }
    let unheard = messages
        .keys()
        .chain(events.keys())
        .filter(|&&(epoch, seq)| in_range(&Position { epoch, seq }) && !known.contains(&(epoch, seq)))
        .count();
    if unheard > 0 {
        tally.fault(format!("{unheard} events are stored that nobody heard"));
    }
}

/// Every granted hold has its row, and nobody was given more than there is.
fn check_holds(tally: &Tally, stored: &[store::Hold]) {
    let by_id: HashMap<_, _> = stored.iter().map(|hold| (hold.id, hold)).collect();
    let paid: HashSet<_> = tally.paid().iter().map(|paid| paid.reservation).collect();
    let granted = tally.granted();
    let mut told_of = HashSet::new();
    for told in &granted {
        let id = told.hold.reservation;
        if !told_of.insert(id) {
            tally.fault(format!("hold {id} was granted twice"));
        }
        let Some(found) = by_id.get(&id) else {
            tally.fault(format!("granted hold {id} is not in the database"));
            continue;
        };
        let same = found.user == told.user
            && found.request_id == told.request_id
            && found.sale == told.hold.sale
            && u32::try_from(found.quantity) == Ok(told.hold.quantity);
        if !same {
            tally.fault(format!("granted hold {id} is stored otherwise"));
        }
        if paid.contains(&id) != (found.status == "converted") {
            tally.fault(format!("hold {id} is {} and its buyer's order disagrees", found.status));
        }
    }
    if stored.len() > told_of.len() {
        let more = stored.len() - told_of.len();
        tally.fault(format!("{more} holds are stored that nobody was told of"));
    }
    check_limits(tally, stored);
}

fn check_limits(tally: &Tally, stored: &[store::Hold]) {
    let mut by_sale: HashMap<SaleId, i64> = HashMap::new();
    let mut by_buyer: HashMap<(SaleId, UserId), i64> = HashMap::new();
    for hold in stored {
        if matches!(hold.status.as_str(), "held" | "paying" | "converted") {
            *by_sale.entry(hold.sale).or_default() += i64::from(hold.quantity);
            *by_buyer.entry((hold.sale, hold.user)).or_default() += i64::from(hold.quantity);
        }
    }
    for sale in tally.sales() {
        let taken = by_sale.get(&sale.sale).copied().unwrap_or(0);
        if taken > i64::from(sale.quantity) {
            tally.fault(format!(
                "sale {} of {} units gave away {taken}",
                sale.sale, sale.quantity
            ));
        }
        let beyond = by_buyer
            .iter()
            .filter(|((of, _), units)| *of == sale.sale && **units > i64::from(sale.per_buyer))
            .count();
        if beyond > 0 {
            tally.fault(format!("in sale {} {beyond} buyers have more than one may", sale.sale));
        }
    }
}

/// Every order that its buyer was told is paid is stored as paid, captured in full.
fn check_orders(tally: &Tally, stored: &[store::Order]) {
    let by_id: HashMap<_, _> = stored.iter().map(|order| (order.id, order)).collect();
    for told in tally.paid() {
        let Some(found) = by_id.get(&told.order) else {
            tally.fault(format!("paid order {} is not in the database", told.order));
            continue;
        };
        let same = found.user == told.user
            && found.status == "paid"
            && found.total_minor == told.total.minor
            && found.captured_minor == told.total.minor
            && found.reservations == [told.reservation.0];
        if !same {
            tally.fault(format!("paid order {} is stored otherwise", told.order));
        }
    }
}

/// What the provider owes is what buyers paid, and the books balance.
fn check_ledger(tally: &Tally, ledger: &[store::Account]) {
    let paid: i64 = tally.paid().iter().map(|paid| paid.total.minor).sum();
    let clearing: i64 = ledger
        .iter()
        .filter(|account| account.kind == "provider_clearing")
        .map(|account| account.balance_minor)
        .sum();
    if clearing != paid {
        tally.fault(format!("buyers paid {paid} minor units and the ledger says {clearing}"));
    }
    let balance: i64 = ledger.iter().map(|account| account.balance_minor).sum();
    if balance != 0 {
        tally.fault(format!("the show's ledger entries do not balance: {balance}"));
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::{MessageId, OrderId, RequestId, ReservationId};
    use shared::money::{Currency, Money};
    use shared::protocol::Reservation;
    use shared::status::ReservationStatus;

    use super::*;
    use crate::show::tally::{Acknowledged, Granted, Paid, SaleHeld};

    fn told_of_message() -> (Tally, store::Message) {
        let (message, user, request_id) = (MessageId::new(), UserId::new(), RequestId::new());
        let tally = Tally::new();
        let told = Acknowledged {
            user,
            request_id,
            text: "hello".into(),
            message,
            at: Position { epoch: 1, seq: 7 },
        };
        tally.acknowledge(told, std::time::Duration::ZERO);
        let row = store::Message {
            epoch: 1,
            seq: 7,
            id: message,
            user,
            request_id,
            text: "hello".into(),
        };
        (tally, row)
    }

    #[test]
    fn an_acknowledged_message_must_be_there_as_it_was() {
        let (tally, row) = told_of_message();
        check_messages(&tally, &[row]);
        assert!(tally.faults().is_empty());

        let (tally, _) = told_of_message();
        check_messages(&tally, &[]);
        assert_eq!(tally.faults().len(), 1, "it is missing");

        let (tally, row) = told_of_message();
        let text = "hallo".into();
        check_messages(&tally, &[store::Message { text, ..row }]);
        assert_eq!(tally.faults().len(), 1, "it says something else");
    }

    fn told_of_hold(units: u32) -> (Tally, store::Hold) {
        let (sale, user, request_id) = (SaleId::new(), UserId::new(), RequestId::new());
        let hold = Reservation {
            reservation: ReservationId::new(),
            sale,
            quantity: 1,
            status: ReservationStatus::Held,
            expires_at: 0,
            offered: false,
        };
        let row = store::Hold {
            id: hold.reservation,
            sale,
            user,
            request_id,
            quantity: 1,
            status: "converted".into(),
        };
        let tally = Tally::new();
        tally.sale(SaleHeld {
            sale,
            quantity: units,
            per_buyer: 1,
        });
        tally.pay(Paid {
            user,
            order: OrderId::new(),
            total: Money::new(500, Currency::parse("EUR").expect("EUR is in ISO 4217")),
            reservation: hold.reservation,
        });
        let granted = Granted { user, request_id, hold };
        tally.grant(granted, std::time::Duration::ZERO);
        (tally, row)
    }

    #[test]
    fn a_granted_hold_must_be_there_and_within_the_limits() {
        let (tally, row) = told_of_hold(1);
        check_holds(&tally, &[row]);
        assert!(tally.faults().is_empty(), "{:?}", tally.faults());

        let (tally, _) = told_of_hold(1);
        check_holds(&tally, &[]);
        assert_eq!(tally.faults().len(), 1, "it is missing");

        let (tally, row) = told_of_hold(1);
        let status = "expired".into();
        check_holds(&tally, &[store::Hold { status, ..row }]);
        assert_eq!(tally.faults().len(), 1, "it was paid for and has lapsed");

        let (tally, row) = told_of_hold(0);
        check_holds(&tally, &[row]);
        assert_eq!(tally.faults().len(), 1, "more was given away than there was");

        let (tally, row) = told_of_hold(5);
        let second = store::Hold {
            id: ReservationId::new(),
            request_id: RequestId::new(),
            status: "held".into(),
            ..row.clone()
        };
        check_holds(&tally, &[row, second]);
        assert_eq!(
            tally.faults().len(),
            2,
            "nobody was told of it, and it is beyond the limit"
        );
    }

    #[test]
    fn a_paid_order_and_its_money_must_be_there() {
        let (tally, _) = told_of_hold(1);
        let told = tally.paid().remove(0);
        let order = |captured_minor| store::Order {
            id: told.order,
            user: told.user,
            status: "paid".into(),
            total_minor: 500,
            captured_minor,
            reservations: vec![told.reservation.0],
        };
        let account = |kind: &str, balance_minor| store::Account {
            kind: kind.into(),
            shop: None,
            currency: "EUR".into(),
            balance_minor,
        };
        check_orders(&tally, &[order(500)]);
        check_ledger(
            &tally,
            &[account("provider_clearing", 500), account("seller_payable", -500)],
        );
        assert!(tally.faults().is_empty(), "{:?}", tally.faults());

        check_orders(&tally, &[order(499)]);
        assert_eq!(tally.faults().len(), 1, "a cent was not captured");
        check_orders(&tally, &[]);
        assert_eq!(tally.faults().len(), 2, "it is missing");
        check_ledger(&tally, &[account("provider_clearing", 500)]);
        assert_eq!(tally.faults().len(), 3, "the books do not balance");
        check_ledger(&tally, &[]);
        assert_eq!(tally.faults().len(), 4, "no money arrived");
    }
}
