//! What a capture means in the books. Pure.
//!
//! Debits are positive, credits negative. The one debit of a capture is the negated sum
//! of its credits, so the entries balance whatever the items are; that it also equals
//! the money that was captured is checked by the caller.

use shared::ids::{OrderItemId, SellerId};
use shared::money::{Money, MoneyError};

/// An account of the books, in one currency.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Account {
    /// Money at the payment provider that is ours to distribute.
    ProviderClearing,
    /// What the platform owes a shop.
    SellerPayable(SellerId),
    /// What the platform has earned.
    PlatformCommission,
}

impl Account {
    /// Its name in the database.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::ProviderClearing => "provider_clearing",
            Self::SellerPayable(_) => "seller_payable",
            Self::PlatformCommission => "platform_commission",
        }
    }

    /// Whose it is; `None`: the platform's.
    #[must_use]
    pub const fn seller(self) -> Option<SellerId> {
        match self {
            Self::SellerPayable(seller) => Some(seller),
            Self::ProviderClearing | Self::PlatformCommission => None,
        }
    }
}

/// A line of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Where.
    pub account: Account,
    /// How much: debits positive, credits negative, never zero.
    pub amount: Money,
    /// For which item.
    pub item: Option<OrderItemId>,
}

/// What an order item brings its shop: `amount = base + shipping - commission`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Earning {
    /// The item.
    pub item: OrderItemId,
    /// Whose.
    pub seller: SellerId,
    /// Gross less the seller's discount and included tax: what commission is taken of.
    pub base: Money,
    /// The item's share of the shipping, free of commission.
    pub shipping: Money,
    /// The platform's part.
    pub commission: Money,
    /// What the shop gets.
    pub amount: Money,
}

impl Earning {
    /// The earning of an item with this base, shipping and commission.
    ///
    /// # Errors
    /// When currencies mix or the sum does not fit.
    pub fn new(
        item: OrderItemId,
        seller: SellerId,
        base: Money,
        shipping: Money,
        commission: Money,
    ) -> Result<Self, MoneyError> {
        let amount = base.checked_add(shipping)?.checked_sub(commission)?;
        Ok(Self {
            item,
            seller,
            base,
            shipping,
            commission,
            amount,
        })
    }
}

/// The entries for a capture that pays `earnings`: the provider owes us the whole, we
/// owe each shop its earning, and keep the commission. No entries for nothing.
///
/// # Errors
/// When currencies mix or the sum does not fit.
pub fn entries_for_capture(earnings: &[Earning]) -> Result<Vec<Entry>, MoneyError> {
    let mut entries = Vec::with_capacity(2 * earnings.len() + 1);
    let Some(first) = earnings.first() else {
        return Ok(entries);
    };
    let mut credited = Money::zero(first.amount.currency);
    for earning in earnings {
        let credits = [
            (Account::SellerPayable(earning.seller), earning.amount),
            (Account::PlatformCommission, earning.commission),
        ];
        for (account, amount) in credits {
            if amount.minor != 0 {
                credited = credited.checked_add(amount)?;
                entries.push(Entry {
                    account,
                    amount: Money::zero(amount.currency).checked_sub(amount)?,
                    item: Some(earning.item),
                });
            }
        }
    }
    if credited.minor != 0 {
        let debit = Entry {
            account: Account::ProviderClearing,
            amount: credited,
            item: None,
        };
        entries.insert(0, debit);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::money::{BasisPoints, Currency};

    use super::*;

    fn eur(minor: i64) -> Money {
        Money::new(minor, Currency::parse("EUR").expect("EUR is in ISO 4217"))
    }

    fn earning(base: i64, shipping: i64, bps: u16) -> Earning {
        let commission = eur(base).rate(BasisPoints::new(bps).expect("a rate"));
        Earning::new(
            OrderItemId::new(),
            SellerId::new(),
            eur(base),
            eur(shipping),
            commission,
        )
        .expect("computed")
    }

    #[test]
    fn commission_is_never_taken_of_shipping() {
        let earning = earning(10_000, 500, 1_000);
        assert_eq!(earning.commission, eur(1_000));
        assert_eq!(earning.amount, eur(9_500));
    }

    #[test]
    fn a_capture_debits_the_provider_with_the_whole() {
        let items = [earning(10_000, 500, 1_000), earning(2_000, 0, 1_000)];
        let entries = entries_for_capture(&items).expect("balanced");
        assert_eq!(entries[0].account, Account::ProviderClearing);
        assert_eq!(entries[0].amount, eur(12_500));
        assert_eq!(entries.len(), 5);
    }

    #[test]
    fn nothing_paid_is_nothing_booked() {
        assert_eq!(entries_for_capture(&[earning(0, 0, 1_000)]), Ok(vec![]));
        assert_eq!(entries_for_capture(&[]), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn entries_always_balance(items in prop::collection::vec((0..1_000_000_000_i64, 0..100_000_i64, 0..=10_000_u16), 0..20)) {
            let earnings: Vec<_> = items.iter().map(|&(base, shipping, bps)| earning(base, shipping, bps)).collect();
            let entries = entries_for_capture(&earnings).expect("balanced");
            prop_assert_eq!(entries.iter().map(|e| e.amount.minor).sum::<i64>(), 0);
            prop_assert!(entries.iter().all(|e| e.amount.minor != 0));
            let paid: i64 = items.iter().map(|(base, shipping, _)| base + shipping).sum();
            let debit: i64 = entries.iter().filter(|e| e.amount.minor > 0).map(|e| e.amount.minor).sum();
            prop_assert_eq!(debit, paid, "what the buyer paid is what is distributed");
        }

        #[test]
        fn commission_and_earning_share_the_base_to_the_cent(base in 0..1_000_000_000_i64, bps in 0..=10_000_u16) {
            let earning = earning(base, 0, bps);
            prop_assert_eq!(earning.amount.minor + earning.commission.minor, base);
            prop_assert!(0 <= earning.commission.minor && earning.commission.minor <= base);
        }
    }
}
