//! Everybody at once, over HTTP: what two people may want of the same thing at the same moment
//! is done once, exactly, and whoever comes too late is told why. Each race is run many times,
//! so that a lock that is missing shows.

mod goods;
mod money;
mod webhooks;

use reqwest::StatusCode;
use serde_json::Value;

use crate::harness::Reply;
use crate::market::Market;

/// How often a race is run.
const ROUNDS: usize = 12;

/// Those who got what they asked for, and the rest.
fn won(replies: &[Reply]) -> (Vec<&Reply>, Vec<&Reply>) {
    replies.iter().partition(|reply| reply.status.is_success())
}

/// Each of them was refused for one of these reasons.
#[track_caller]
fn refused_with(replies: &[&Reply], codes: &[&str]) {
    for reply in replies {
        assert_eq!(reply.status, StatusCode::CONFLICT, "{}", reply.text);
        let code = reply.value()["code"].as_str().unwrap_or_default().to_owned();
        assert!(codes.contains(&code.as_str()), "{}", reply.text);
    }
}

/// Asks again, as clients do, while the same request is being worked on.
async fn answered<F: Future<Output = Reply>>(ask: impl Fn() -> F) -> Reply {
    loop {
        let reply = ask().await;
        let in_flight = reply.status == StatusCode::CONFLICT && reply.value()["code"] == "request_in_flight";
        if !in_flight {
            return reply;
        }
        tokio::task::yield_now().await;
    }
}

impl Market {
    /// Our books and the provider's are the same, to the cent.
    async fn provider_agrees(&self) {
        let ours = "select coalesce((select sum(amount_minor) from payments where status = 'captured'), 0)::bigint
                         - coalesce((select sum(amount_minor) from refunds where status = 'succeeded'), 0)::bigint
                         - coalesce((select sum(amount_minor) from seller_payouts where status = 'paid'), 0)::bigint";
        let theirs = "select coalesce((select sum(amount_minor) from test_provider_intents
                                        where status = 'succeeded'), 0)::bigint
                           - coalesce((select sum(amount_minor) from test_provider_transfers
                                        where status = 'succeeded'), 0)::bigint";
        let books = "select coalesce(sum(e.amount_minor), 0)::bigint
                       from ledger_entries e
                       join ledger_accounts a on a.id = e.account_id
                       join ledger_transactions t on t.id = e.transaction_id
                      where a.kind = 'provider_clearing' and t.kind <> 'provider_fee'";
        let (ours, theirs, books) = tokio::join!(self.number(ours), self.number(theirs), self.number(books));
        assert_eq!((ours, books), (theirs, theirs));
    }

    /// Every invariant holds, and nobody waited for somebody who waited for them.
    async fn came_to_no_harm(&self) {
        self.verified().await;
        self.provider_agrees().await;
        let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
        assert_eq!(self.number(deadlocks).await, 0);
    }
}

/// A sum in minor units.
fn minor(money: &Value) -> i64 {
    money["minor"].as_i64().expect("an amount")
}
