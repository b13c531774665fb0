//! Money on its way to shops.

use core_api::payouts::{self, Claim};
use shared::ids::PayoutId;

use super::{Went, asks, code, pick, run};
use crate::model::acts::Act;
use crate::model::paper::{Bank, May};
use crate::model::play::Play;
use crate::model::world::euro;

impl Play {
    pub(super) async fn pay_out(&mut self, act: &Act, twice: bool) -> Went {
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

    /// A shop's money goes there from now on.
    async fn name(&mut self, shop: usize, bank: Bank) {
        let (db, seller) = (&self.world.state.db, self.world.shops[shop].seller);
        let sql = "update payout_accounts set disabled_at = clock_timestamp()
                    where seller_id = any($1) and disabled_at is null and $2 = 0";
        run(db, sql, &[seller.0], 0).await;
        let sql = "insert into payout_accounts (id, seller_id, provider, provider_ref, currency)
                   values (gen_random_uuid(), $1, 'test', $2, 'EUR')";
        let insert = sqlx::query(sql).bind(seller.0).bind(bank.destination());
        insert.execute(db).await.expect("the account is new");
        self.paper.shops[shop].bank = Some(bank);
    }
}
