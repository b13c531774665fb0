//! What a demo show came to, as figures and as a table for people.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hdrhistogram::Histogram;
use shared::ids::StreamId;
use shared::money::{Currency, Money};
use shared::protocol::Format;
use shared::verify;

use super::Credentials;
use super::audit::Audit;
use super::demo::{DemoOptions, format_of};
use super::director::Show;
use super::viewer::Seat;

/// Percentiles of a latency, in milliseconds.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Latency {
    /// Half are faster.
    pub p50_ms: f64,
    /// One in a hundred is slower.
    pub p99_ms: f64,
    /// How many there were.
    pub count: u64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let ms = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Self {
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
            count: histogram.len(),
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.1} ms, p99 {:.1} ms", self.p50_ms, self.p99_ms)
    }
}

/// What a show moved on one account of the ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerLine {
    /// The account's kind.
    pub account: String,
    /// The shop, for a seller's account.
    pub shop: Option<String>,
    /// Debits less credits, as people write it.
    pub balance: String,
}

/// The figures of a show.
#[derive(Clone, PartialEq, Debug)]
pub struct Figures {
    /// Viewers with accounts.
    pub accounts: usize,
    /// Viewers without.
    pub guests: usize,
    /// Viewers that spoke JSON.
    pub json: usize,
    /// Viewers that spoke MessagePack.
    pub msgpack: usize,
    /// Distinct numbered events.
    pub events: usize,
    /// Numbered events read from sockets, all viewers together.
    pub events_read: u64,
    /// Distinct payloads, each decoded once for all who got the same bytes.
    pub payloads: u64,
    /// Connections that ended early and were made again.
    pub resumed: u64,
    /// Chat messages sent.
    pub sent: u64,
    /// Of those, acknowledged as committed.
    pub acknowledged: u64,
    /// Chat messages refused, by code.
    pub refused_chats: BTreeMap<&'static str, u64>,
    /// Chat messages read from sockets, all viewers together.
    pub delivered: u64,
    /// From the author's send to each viewer's receipt.
    pub delivery: Latency,
    /// From the author's send to the acknowledgement.
    pub acknowledgement: Latency,
    /// Reactions accepted.
    pub reactions: u64,
    /// Reactions that one viewer heard of.
    pub reactions_heard: u64,
    /// Units set aside in flash sales.
    pub units: u64,
    /// Presses of buy.
    pub buys: u64,
    /// Of those, sent again under the same request id.
    pub buys_again: u64,
    /// Holds granted.
    pub granted: u64,
    /// Buys refused, by code.
    pub refused_buys: BTreeMap<&'static str, u64>,
    /// From the press of buy to its answer.
    pub hold: Latency,
    /// Holds left to lapse on purpose.
    pub left: usize,
    /// Holds that lapsed while their buyer stood at the till.
    pub late: usize,
    /// Orders paid.
    pub paid: usize,
}

/// What a show came to.
#[derive(Clone, Debug)]
pub struct DemoReport {
    /// The show's stream; still on air if it was asked to be.
    pub stream: StreamId,
    /// Whose it is.
    pub host: Credentials,
    /// How long it took, without registrations.
    pub took: Duration,
    /// The figures.
    pub figures: Figures,
    /// What it moved, by account of the ledger; absent without a database.
    pub ledger: Option<Vec<LedgerLine>>,
    /// Every invariant; absent without a database.
    pub verify: Option<verify::Report>,
    /// What to know when reading the figures.
    pub notes: Vec<String>,
    /// Whatever must not happen and did.
    pub failures: Vec<String>,
}

/// Draws up the report.
pub fn of(options: &DemoOptions, show: &Show, seats: &[Seat], took: Duration, audit: Option<Audit>) -> DemoReport {
    let (ledger, verify) = match audit {
        Some(Audit { ledger, verify }) => (Some(ledger.iter().map(ledger_line).collect()), Some(verify)),
        None => (None, None),
    };
    DemoReport {
        stream: show.stage.stream,
        host: show.stage.host.credentials.clone(),
        took,
        figures: figures(options, show, seats),
        ledger,
        verify,
        notes: Vec::new(),
        failures: show.hall.tally.faults(),
    }
}

fn figures(options: &DemoOptions, show: &Show, seats: &[Seat]) -> Figures {
    let (record, tally) = (&show.hall.record, &show.hall.tally);
    let json = seats
        .iter()
        .filter(|seat| format_of(seat.index) == Format::Json)
        .count();
    let units = tally.sales().iter().map(|sale| u64::from(sale.quantity)).sum();
    Figures {
        accounts: show.buyers.len(),
        guests: options.viewers - show.buyers.len(),
        json,
        msgpack: seats.len() - json,
        events: record.count(|_| true),
        events_read: tally.events.load(Ordering::Relaxed),
        payloads: record.decoded(),
        resumed: tally.resumed.load(Ordering::Relaxed),
        sent: tally.sent.load(Ordering::Relaxed),
        acknowledged: tally.acknowledged().len() as u64,
        refused_chats: tally.refused_chats(),
        delivered: tally.delivered.load(Ordering::Relaxed),
        delivery: Latency::of(&tally.delivery_latency()),
        acknowledgement: Latency::of(&tally.acknowledgement_latency()),
        reactions: tally.reactions_sent.load(Ordering::Relaxed),
        reactions_heard: tally.reactions_heard.load(Ordering::Relaxed),
        units,
        buys: tally.buys.load(Ordering::Relaxed),
        buys_again: tally.buys_again.load(Ordering::Relaxed),
        granted: tally.granted_count() as u64,
        refused_buys: tally.refused_buys(),
        hold: Latency::of(&tally.hold_latency()),
        left: show.till.left.load(Ordering::Relaxed),
        late: show.till.late.load(Ordering::Relaxed),
        paid: tally.paid().len(),
    }
}

fn ledger_line(account: &super::store::Account) -> LedgerLine {
    let balance = match Currency::parse(&account.currency) {
        Ok(currency) => Money::new(account.balance_minor, currency).to_string(),
        Err(_) => format!("{} minor units of {}", account.balance_minor, account.currency),
    };
    LedgerLine {
        account: account.kind.replace('_', " "),
        shop: account.shop.clone(),
        balance,
    }
}

fn by_code(codes: &BTreeMap<&'static str, u64>) -> String {
    let total: u64 = codes.values().sum();
    let each: Vec<String> = codes.iter().map(|(code, count)| format!("{code} {count}")).collect();
    match each.as_slice() {
        [] => "0".into(),
        each => format!("{total} ({})", each.join(", ")),
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, text: impl fmt::Display) -> fmt::Result {
    writeln!(f, "  {name:<22} {text}")
}

impl fmt::Display for DemoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.audience(f)?;
        self.talk(f)?;
        self.sales(f)?;
        self.books(f)?;
        for note in &self.notes {
            writeln!(f, "  note: {note}")?;
        }
        for failure in &self.failures {
            writeln!(f, "  FAILED: {failure}")?;
        }
        Ok(())
    }
}

impl DemoReport {
    fn audience(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = &self.figures;
        let viewers = it.accounts + it.guests;
        let kinds = format!("{} accounts, {} guests", it.accounts, it.guests);
        let formats = format!("{} JSON, {} MessagePack", it.json, it.msgpack);
        row(f, "viewers", format!("{viewers}: {kinds}; {formats}"))?;
        let (events, read) = (it.events, it.events_read);
        let text = format!("{events}, read {read} times; every viewer compared in full");
        row(f, "numbered events", text)?;
        let text = format!("{} distinct, each decoded once; {} resumes", it.payloads, it.resumed);
        row(f, "payloads", text)
    }

    fn talk(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = &self.figures;
        let refused = by_code(&it.refused_chats);
        let text = format!("{} sent, {} acknowledged, {refused} refused", it.sent, it.acknowledged);
        row(f, "messages", text)?;
        let seconds = self.took.as_secs_f64();
        row(f, "messages delivered", format!("{} in {seconds:.1} s", it.delivered))?;
        row(f, "  author to viewer", it.delivery)?;
        row(f, "  author to commit", it.acknowledgement)?;
        let text = format!("{} accepted, {} heard by one viewer", it.reactions, it.reactions_heard);
        row(f, "reactions", text)
    }

    fn sales(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = &self.figures;
        let text = format!(
            "{} units, {} buys, {} of them sent twice",
            it.units, it.buys, it.buys_again
        );
        row(f, "flash sales", text)?;
        let (left, late) = (it.left, it.late);
        let text = format!("{} ({left} left to lapse, {late} too late at the till)", it.granted);
        row(f, "  holds granted", text)?;
        row(f, "  holds refused", by_code(&it.refused_buys))?;
        row(f, "  press to answer", it.hold)?;
        row(f, "orders paid", it.paid)
    }

    fn books(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(ledger) = &self.ledger else {
            return row(f, "ledger", "not read: no database was given");
        };
        for line in ledger {
            let shop = line.shop.as_deref().unwrap_or_default();
            let text = format!("{:>14}  {shop}", line.balance);
            row(f, &format!("  {}", line.account), text.trim_end())?;
        }
        let Some(verify) = &self.verify else { return Ok(()) };
        let examined: i64 = verify.checks.iter().map(|check| check.examined).sum();
        let (invariants, broken) = (verify.checks.len(), verify.broken().count());
        let text = format!("{invariants} invariants on {examined} things, {broken} broken");
        row(f, "verify", text)
    }
}
