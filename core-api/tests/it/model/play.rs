//! Plays a sequence: each act is done by the product and written on the paper, and the two
//! are compared. Whoever reads a failure finds the acts in order, with what they came to.

use core_api::http::{Error, Owner, Shopkeeper};
use core_api::payouts::{self, Claim};
use core_api::{fulfilment, orders, payments, refunds, returns};
use shared::ids::{OrderId, OrderItemId, PaymentId, PayoutId, RefundId, RequestId, ReturnId, UserId};
use sqlx::PgPool;
use uuid::Uuid;

use super::acts::{Act, Sequence};
use super::books::{Books, Ids, with_the_provider};
use super::paper::{BackState, May, Paper};
use super::sheet::Account;
use super::world::{World, euro};

/// Rows that a job may take.
pub(super) const ALL: u32 = 10_000;

/// A sequence that is being played.
pub struct Play {
    pub(super) world: World,
    pub(super) paper: Paper,
    pub(super) ids: Ids,
    log: Vec<String>,
}

/// What the product says to an act.
type Said<T> = core_api::http::Result<T>;

/// How an act went: what the paper says, and what the product. `None`: it names nothing that
/// there is.
pub(super) type Went = Option<(May, May)>;

/// The code of a refusal. A fault is none: it fails the sequence by its name.
pub(super) fn code<T>(said: Said<T>) -> May {
    match said {
        Ok(_) => Ok(()),
        Err(Error::Refused(refusal)) => Err(refusal.code.as_str()),
        Err(Error::Fault(fault)) => Err(Box::leak(format!("a fault: {fault:#}").into_boxed_str())),
    }
}

/// Asks for something under a new key, and perhaps once more under the same: then both
/// answers are the same.
pub(super) async fn asks<T>(twice: bool, call: impl AsyncFn(RequestId) -> Said<T>) -> May {
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

fn taker(shop: Shopkeeper) -> returns::Taker {
    returns::Taker {
        user: shop.user,
        whose: returns::Whose::Shop(shop.seller),
    }
}

fn pick(nth: u8, count: usize) -> Option<usize> {
    (count > 0).then(|| usize::from(nth) % count)
}

pub(super) async fn run(db: &PgPool, sql: &'static str, ids: &[Uuid], number: i32) {
    let done = sqlx::query(sql).bind(ids).bind(number).execute(db).await;
    done.expect(sql);
}

impl Play {
    /// Opens the market in which a sequence happens.
    pub async fn begin(state: core_api::State, sequence: &Sequence) -> Self {
        let (world, paper) = World::open(state, sequence).await;
        Self {
            world,
            paper,
            ids: Ids::default(),
            log: Vec::new(),
        }
    }

    /// Plays a whole sequence and lets everything come to its end.
    ///
    /// Returns what happened, line by line.
    ///
    /// # Errors
    /// The same, and in what product and paper differ.
    pub async fn whole(state: core_api::State, sequence: &Sequence) -> Result<Vec<String>, String> {
        let mut play = Self::begin(state, sequence).await;
        for step in sequence.steps.iter().filter(|step| step.kept) {
            play.step(&step.act, step.twice).await?;
        }
        play.ending().await?;
        Ok(play.log)
    }

    /// Everything that is under way comes to its end; then the provider has exactly what the
    /// books say.
    async fn ending(&mut self) -> Result<(), String> {
        for shop in 0..2 {
            self.step(&Act::Hold { shop, held: false }, false).await?;
        }
        for order in 0..self.paper.orders.len() {
            let order = u8::try_from(order).unwrap_or(u8::MAX);
            self.step(&Act::Lapse { order }, false).await?;
        }
        for _ in 0..2 {
            self.step(&Act::ProviderIsThrough, false).await?;
            self.step(&Act::Reconcile, false).await?;
            self.step(&Act::Expire, false).await?;
        }
        let theirs = with_the_provider(&self.world).await.map_err(|e| e.to_string())?;
        let ours = self.paper.accounts.get(&Account::Clearing).copied().unwrap_or_default();
        if ours == theirs {
            return Ok(());
        }
        Err(self.failed(&format!("the provider has {theirs}, the books say {ours}")))
    }

    fn failed(&self, why: &str) -> String {
        format!("{}\n{why}", self.log.join("\n"))
    }

    /// One act, by product and paper.
    ///
    /// # Errors
    /// As [`Self::whole`].
    pub async fn step(&mut self, act: &Act, twice: bool) -> Result<(), String> {
        let Some((paper, product)) = self.act(act, twice).await else {
            return Ok(());
        };
        let again = if twice { ", twice" } else { "" };
        let outcome = product.err().unwrap_or("done");
        self.log
            .push(format!("{:>3}. {act:?}{again}: {outcome}", self.log.len() + 1));
        if paper != product {
            let expected = paper.err().unwrap_or("done");
            return Err(self.failed(&format!("the paper says: {expected}")));
        }
        self.compare().await
    }

    /// The last act was not refused.
    pub fn last_was_done(&self) -> bool {
        self.log.last().is_some_and(|line| line.ends_with(": done"))
    }

    /// Product and paper say the same.
    async fn compare(&mut self) -> Result<(), String> {
        let books = Books::read(&self.world).await.map_err(|e| e.to_string())?;
        let (product, paper) = (&books.shown, self.paper.shown());
        if *product != paper {
            let only = |some: &[String], others: &[String], who: &str| {
                let lines = some.iter().filter(|line| !others.contains(line));
                lines.map(|line| format!("\n  {who}: {line}")).collect::<String>()
            };
            let differ = only(product, &paper, "product") + &only(&paper, product, "paper  ");
            return Err(self.failed(&format!("product and paper differ:{differ}")));
        }
        self.ids = books.ids;
        Ok(())
    }

    pub(super) fn order(&self, nth: u8) -> Option<usize> {
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

    async fn act(&mut self, act: &Act, twice: bool) -> Went {
        let done: Went = Some((Ok(()), Ok(())));
        match act {
            Act::Buy {
                buyer,
                units,
                code,
                country,
                then,
            } => {
                let buyer = usize::from(*buyer);
                self.buy(buyer, units, code.map(usize::from), usize::from(*country), *then, twice)
                    .await
            }
            Act::Pay { order, means } => {
                let order = self.order(*order)?;
                let (till, buyer, id) = (&self.world.state.till, self.buyer_of(order), self.order_id(order));
                let said = asks(twice, async |key| {
                    payments::pay(till, buyer, id, key, means.token()).await
                })
                .await;
                Some((self.paper.pay(order, *means), said))
            }
            Act::SecondStep { order } => {
                let order = self.order(*order)?;
                let payment = PaymentId(*self.ids.payments[order].last()?);
                let (till, buyer, id) = (&self.world.state.till, self.buyer_of(order), self.order_id(order));
                let said = asks(twice, async |key| {
                    payments::confirm(till, buyer, id, payment, key).await
                })
                .await;
                Some((self.paper.second_step(order), said))
            }
            Act::ProviderIsThrough => {
                self.provider_is_through().await;
                done
            }
            Act::Reconcile => {
                let said = self.reconcile().await;
                Some((Ok(()), said))
            }
            Act::Lapse { order } => {
                let order = self.order(*order)?;
                self.paper.orders[order].overdue = true;
                let sql = "update orders set expires_at = clock_timestamp() where id = any($1) and $2 = 0";
                run(&self.world.state.db, sql, &[self.ids.orders[order]], 0).await;
                done
            }
            Act::Expire => {
                let state = &self.world.state;
                let said = code(orders::expire(&state.db, &state.bus, ALL).await);
                self.paper.expire();
                Some((Ok(()), said))
            }
            Act::EndRegardless { order, cancelled } => {
                let order = self.order(*order)?;
                self.end_regardless(order, *cancelled).await
            }
            other => self.act_on_sold(other, twice).await,
        }
    }

    async fn act_on_sold(&mut self, act: &Act, twice: bool) -> Went {
        let (till, settings) = (&self.world.state.till, &self.world.state.config.commerce);
        match act {
            Act::Cancel { order } => {
                let order = self.order(*order)?;
                let said = code(orders::cancel(till, settings, self.buyer_of(order), self.order_id(order)).await);
                Some((self.paper.cancel(order), said))
            }
            Act::CancelUnits {
                order,
                line,
                units,
                by_shop,
            } => {
                let order = self.order(*order)?;
                let line = self.line(order, *line);
                let shop = self.shop_of(order, line);
                let who = match by_shop {
                    true => orders::Who::Shop(shop.user, shop.seller),
                    false => orders::Who::Buyer(self.buyer_of(order)),
                };
                let what = (self.order_id(order), self.item_id(order, line));
                let new = refunds::model::NewCancellation {
                    quantity: i32::from(*units),
                    reason: "not to be had".into(),
                };
                let call = async |key| orders::cancel_item(till, settings, who, what, key, &new).await;
                let said = asks(twice, call).await;
                Some((self.paper.cancel_units(order, line, i64::from(*units)), said))
            }
            Act::Give {
                order,
                units,
                shipping,
                restock,
            } => {
                let order = self.order(*order)?;
                let mut named: Vec<(usize, i64)> = Vec::new();
                for (line, units) in units {
                    let line = self.line(order, *line);
                    if named.iter().all(|(at, _)| *at != line) {
                        named.push((line, i64::from(*units)));
                    }
                }
                let item = |&(line, units): &(usize, i64)| refunds::model::NewRefundItem {
                    order_item_id: self.item_id(order, line),
                    quantity: i32::try_from(units).expect("few"),
                };
                let new = refunds::model::NewRefund {
                    items: named.iter().map(item).collect(),
                    shipping: *shipping,
                    restock: *restock,
                    reason: "goodwill".into(),
                };
                let (admin, id) = (self.world.admin, self.order_id(order));
                let call = async |key| refunds::acts::create(till, settings, admin, id, key, &new).await;
                let said = asks(twice, call).await;
                Some((self.paper.give(order, &named, *shipping, *restock), said))
            }
            Act::Retry { refund } => {
                let nth = pick(*refund, self.paper.refunds.len())?;
                let (admin, id) = (self.world.admin, RefundId(self.ids.refunds[nth]));
                let said = asks(twice, async |key| refunds::anew::retry(till, admin, id, key).await).await;
                Some((self.paper.retry(nth), said))
            }
            Act::Dispute { order, quarters } => {
                let order = self.order(*order)?;
                self.dispute(order, i64::from(*quarters)).await
            }
            Act::Judge { dispute, won } => {
                let nth = pick(*dispute, self.paper.disputes.len())?;
                self.judge(nth, *won).await
            }
            Act::SettleOutside { refund } => {
                let nth = pick(*refund, self.paper.refunds.len())?;
                let (admin, id) = (self.world.admin, RefundId(self.ids.refunds[nth]));
                let how = refunds::model::OutsideSettlement {
                    reason: "bank transfer".into(),
                };
                let call = async |key| refunds::anew::settle_outside(till, admin, id, key, &how).await;
                let said = asks(twice, call).await;
                Some((self.paper.settle_outside(nth), said))
            }
            Act::Send { .. } | Act::Arrive { .. } | Act::Days { .. } | Act::Release => self.send(act, twice).await,
            Act::AskBack { .. }
            | Act::Answer { .. }
            | Act::ReturnIsSent { .. }
            | Act::Receive { .. }
            | Act::LapseReturns => self.send_back(act, twice).await,
            other => self.pay_out(other, twice).await,
        }
    }

    async fn send(&mut self, act: &Act, twice: bool) -> Went {
        let state = &self.world.state;
        match act {
            Act::Send { order, shop, some } => {
                let (order, nth) = (self.order(*order)?, usize::from(*shop));
                let first = self.paper.lines_of(order, nth).first().copied();
                let some = some.filter(|_| first.is_some());
                let items = some.zip(first).map(|(units, line)| {
                    vec![fulfilment::model::NewShippedItem {
                        order_item_id: self.item_id(order, line),
                        quantity: i32::from(units),
                    }]
                });
                let new = fulfilment::model::NewShipment {
                    carrier: "post".into(),
                    tracking: String::new(),
                    items,
                };
                let (shop, id) = (self.world.shops[nth], self.order_id(order));
                let owner = Owner {
                    user: shop.user,
                    seller: shop.seller,
                };
                let said = asks(twice, async |key| fulfilment::ship(state, &owner, id, key, &new).await).await;
                Some((self.paper.send(order, nth, some.map(i64::from)), said))
            }
            Act::Arrive { order } => {
                let order = self.order(*order)?;
                let said = code(fulfilment::confirm(state, self.buyer_of(order), self.order_id(order), None).await);
                Some((self.paper.arrive(order), said))
            }
            Act::Days { days } => {
                self.days(i32::from(*days)).await;
                self.paper.days(i64::from(*days));
                Some((Ok(()), Ok(())))
            }
            _ => {
                let said = code(fulfilment::release::release(&state.db, ALL).await);
                self.paper.release();
                Some((Ok(()), said))
            }
        }
    }

    async fn send_back(&mut self, act: &Act, twice: bool) -> Went {
        let (till, settings) = (&self.world.state.till, &self.world.state.config.commerce);
        match act {
            Act::AskBack { order, line, units } => {
                let order = self.order(*order)?;
                let line = self.line(order, *line);
                let new = returns::model::NewReturn {
                    order_item_id: self.item_id(order, line),
                    quantity: i32::from(*units),
                    reason: "too small".into(),
                };
                let (buyer, id) = (self.buyer_of(order), self.order_id(order));
                let whither = (&self.world.state.db, &self.world.state.bus);
                let call = async |key| returns::request(whither, settings, buyer, id, key, &new).await;
                let said = asks(twice, call).await;
                Some((self.paper.ask_back(order, line, i64::from(*units)), said))
            }
            Act::Answer { back, to } => {
                let (nth, id, shop) = self.back(*back)?;
                let order = self.paper.returns[nth].order;
                let said = match to {
                    BackState::Approved => code(returns::approve(till, taker(shop), id, "send it").await),
                    BackState::Rejected => code(returns::reject(till, taker(shop), id, "made to order").await),
                    _ => code(returns::withdraw(&till.db, self.buyer_of(order), self.order_id(order), id).await),
                };
                Some((self.paper.answer(nth, *to), said))
            }
            Act::ReturnIsSent { back } => {
                let (nth, id, _) = self.back(*back)?;
                let order = self.paper.returns[nth].order;
                let parcel = returns::model::ReturnParcel {
                    carrier: "post".into(),
                    tracking: "R1".into(),
                };
                let (buyer, of) = (self.buyer_of(order), self.order_id(order));
                let said = code(returns::send((&till.db, &self.world.state.bus), buyer, of, id, &parcel).await);
                Some((self.paper.return_is_sent(nth), said))
            }
            Act::Receive {
                back,
                restocked,
                shipping,
            } => {
                let (nth, id, shop) = self.back(*back)?;
                let receipt = returns::model::ReturnReceipt {
                    restocked: i32::from(*restocked),
                    shipping: *shipping,
                };
                let said = asks(twice, async |key| {
                    returns::receive(till, taker(shop), id, key, &receipt).await
                })
                .await;
                Some((self.paper.receive(nth, i64::from(*restocked), *shipping), said))
            }
            _ => {
                let said = code(returns::lapse(&till.db, &self.world.state.bus, settings, ALL).await);
                self.paper.lapse_returns();
                Some((Ok(()), said))
            }
        }
    }

    fn back(&self, nth: u8) -> Option<(usize, ReturnId, Shopkeeper)> {
        let nth = pick(nth, self.paper.returns.len())?;
        let back = &self.paper.returns[nth];
        Some((
            nth,
            ReturnId(self.ids.returns[nth]),
            self.shop_of(back.order, back.line),
        ))
    }

    async fn pay_out(&mut self, act: &Act, twice: bool) -> Went {
        let (till, admin) = (&self.world.state.till, self.world.admin);
        let least = self.paper.payout_minimum;
        match act {
            Act::Name { shop, bank } => {
                self.name(usize::from(*shop), *bank).await;
                Some((Ok(()), Ok(())))
            }
            Act::AskForPayout { shop } => {
                let nth = usize::from(*shop);
                let shop = self.world.shops[nth];
                let said = asks(twice, async |key| payouts::ask(till, least, &shop, key, None).await).await;
                let claimed = self.paper.claim(nth).map(|nth| self.paper.send_payout(nth));
                Some((claimed, said))
            }
            Act::Claim { shop } => {
                let nth = usize::from(*shop);
                let said = self.claim(nth).await;
                Some((self.paper.claim(nth).map(drop), said))
            }
            Act::CancelPayout { payout } => {
                let nth = pick(*payout, self.paper.payouts.len())?;
                let shop = self.world.shops[self.paper.payouts[nth].shop];
                let said = code(payouts::cancel(&till.db, &shop, PayoutId(self.ids.payouts[nth])).await);
                Some((self.paper.cancel_payout(nth), said))
            }
            Act::PayAgain { payout } => {
                let nth = pick(*payout, self.paper.payouts.len())?;
                let id = PayoutId(self.ids.payouts[nth]);
                let said = asks(twice, async |key| {
                    payouts::admin::retry(till, least, admin, id, key).await
                })
                .await;
                Some((self.paper.pay_again(nth), said))
            }
            Act::Hold { shop, held } => {
                let (nth, seller) = (usize::from(*shop), self.world.shops[usize::from(*shop)].seller);
                let (before, said) = (
                    self.paper.shops[nth].held,
                    match held {
                        true => code(payouts::admin::hold(&till.db, admin, seller, "many returns").await),
                        false => code(payouts::admin::release(&till.db, admin, seller).await),
                    },
                );
                self.paper.shops[nth].held = *held;
                let paper = match (before, held) {
                    (true, true) => Err("wrong_state"),
                    (false, false) => Err("not_found"),
                    _ => Ok(()),
                };
                Some((paper, said))
            }
            Act::WriteOff { shop } => {
                let (nth, seller) = (usize::from(*shop), self.world.shops[usize::from(*shop)].seller);
                let new = payouts::model::NewWriteOff {
                    currency: euro(),
                    reason: "closed for good".into(),
                };
                let call = async |key| payouts::admin::write_off(&till.db, admin, seller, key, &new).await;
                let said = asks(twice, call).await;
                Some((self.paper.write_off(nth), said))
            }
            _ => None,
        }
    }

    async fn claim(&self, shop: usize) -> May {
        let claim = Claim {
            seller: self.world.shops[shop].seller,
            currency: euro(),
            minimum_minor: self.paper.payout_minimum,
            by: None,
            period: None,
        };
        let mut tx = self.world.state.db.begin().await.expect("a transaction");
        let said = code(payouts::claim(&mut tx, &claim).await);
        match said {
            Ok(()) => tx.commit().await.expect("committed"),
            Err(_) => tx.rollback().await.expect("rolled back"),
        }
        said
    }
}
