//! Does each act: the product is asked for it, and it is written on the paper. Both say what
//! it came to; nothing here compares.

mod buying;
mod paying_out;
mod sending;
mod sending_back;
mod undoing;

use core_api::http::{Error, Shopkeeper};
use shared::ids::{OrderId, OrderItemId, RequestId, UserId};
use sqlx::PgPool;
use uuid::Uuid;

use super::acts::{Act, NEWEST};
use super::paper::May;
use super::play::Play;

/// Rows that a job may take.
const ALL: u32 = 10_000;

/// What the product says to an act.
type Said<T> = core_api::http::Result<T>;

/// How an act went: what the paper says, and what the product. `None`: it names nothing that
/// there is.
pub type Went = Option<(May, May)>;

/// The code of a refusal. A fault is none: it fails the sequence by its name.
fn code<T>(said: Said<T>) -> May {
    match said {
        Ok(_) => Ok(()),
        Err(Error::Refused(refusal)) => Err(refusal.code.as_str()),
        Err(Error::Fault(fault)) => Err(Box::leak(format!("a fault: {fault:#}").into_boxed_str())),
    }
}

/// Asks for something under a new key, and perhaps once more under the same: then both
/// answers are the same.
async fn asks<T>(twice: bool, call: impl AsyncFn(RequestId) -> Said<T>) -> May {
    let key = RequestId(Uuid::now_v7());
    let first = code(call(key).await);
    if twice {
        let again = code(call(key).await);
        if again != first {
            return Err(Box::leak(
                format!("{first:?}, and under the same key {again:?}").into_boxed_str(),
            ));
        }
    }
    first
}

fn pick(nth: u8, count: usize) -> Option<usize> {
    let last = count.checked_sub(1)?;
    Some(if nth == NEWEST { last } else { usize::from(nth) % count })
}

async fn run(db: &PgPool, sql: &'static str, ids: &[Uuid], number: i32) {
    let done = sqlx::query(sql).bind(ids).bind(number).execute(db).await;
    done.expect(sql);
}

impl Play {
    /// Does an act: what the paper says to it, and what the product.
    pub async fn act(&mut self, act: &Act, twice: bool) -> Went {
        match act {
            Act::Buy { .. }
            | Act::Pay { .. }
            | Act::SecondStep { .. }
            | Act::ProviderIsThrough
            | Act::Reconcile
            | Act::Lapse { .. }
            | Act::Expire
            | Act::EndRegardless { .. } => self.act_on_unsold(act, twice).await,
            Act::Cancel { .. }
            | Act::CancelUnits { .. }
            | Act::Give { .. }
            | Act::Retry { .. }
            | Act::SettleOutside { .. }
            | Act::Dispute { .. }
            | Act::Judge { .. } => self.undo(act, twice).await,
            Act::Send { .. } | Act::Arrive { .. } | Act::Days { .. } | Act::Release => self.send(act, twice).await,
            Act::AskBack { .. }
            | Act::Answer { .. }
            | Act::ReturnIsSent { .. }
            | Act::Receive { .. }
            | Act::LapseReturns => self.send_back(act, twice).await,
            Act::Name { .. }
            | Act::AskForPayout { .. }
            | Act::Claim { .. }
            | Act::CancelPayout { .. }
            | Act::PayAgain { .. }
            | Act::Hold { .. }
            | Act::WriteOff { .. } => self.pay_out(act, twice).await,
        }
    }

    fn order(&self, nth: u8) -> Option<usize> {
        pick(nth, self.paper.orders.len())
    }

    fn line(&self, order: usize, nth: u8) -> usize {
        usize::from(nth) % self.paper.orders[order].lines.len()
    }

    fn order_id(&self, nth: usize) -> OrderId {
        OrderId(self.ids.orders[nth])
    }

    fn item_id(&self, order: usize, line: usize) -> OrderItemId {
        OrderItemId(self.ids.items[order][line])
    }

    fn buyer_of(&self, order: usize) -> UserId {
        self.world.buyers[self.paper.orders[order].buyer].0
    }

    fn shop_of(&self, order: usize, line: usize) -> Shopkeeper {
        self.world.shops[self.paper.orders[order].lines[line].line.wanted.shop]
    }
}
