//! The books' accounts and entries, and what a sale means in them. Pure.
//!
//! Debits are positive, credits negative. A sale moves money from one account (where it
//! arrived) to those who have a part in it; whatever undoes a sale moves it back the same
//! way, so there is one function for both.

use shared::ids::{OrderId, OrderItemId, SellerId};
use shared::money::Currency;
use uuid::Uuid;

use super::parts::{Earned, Parts, Terms};

/// An account of the books, in one currency.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Account {
    /// Money at the payment provider that is ours to distribute.
    ProviderClearing,
    /// What the platform owes a shop.
    SellerPayable(SellerId),
    /// What the platform has earned.
    PlatformCommission,
    /// What the platform gave towards prices.
    PlatformDiscounts,
    /// What the platform owes tax offices.
    TaxPayable,
    /// What is on its way back to buyers, or owed to them since that has failed.
    RefundsPayable,
    /// What is on its way to shops.
    PayoutsPayable,
    /// What buyers' banks hold until a dispute is decided.
    Disputed,
    /// What lost disputes cost the platform.
    DisputeLosses,
    /// What shops owed and will not pay.
    WriteOffs,
    /// What the payment provider keeps for itself.
    ProviderFees,
    /// What the platform has paid otherwise than through the payment provider.
    PaidOutside,
}

impl Account {
    /// Its name in the database.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::ProviderClearing => "provider_clearing",
            Self::SellerPayable(_) => "seller_payable",
            Self::PlatformCommission => "platform_commission",
            Self::PlatformDiscounts => "platform_discounts",
            Self::TaxPayable => "tax_payable",
            Self::RefundsPayable => "refunds_payable",
            Self::PayoutsPayable => "payouts_payable",
            Self::Disputed => "disputed",
            Self::DisputeLosses => "dispute_losses",
            Self::WriteOffs => "write_offs",
            Self::ProviderFees => "provider_fees",
            Self::PaidOutside => "paid_outside",
        }
    }

    /// Whose it is; `None`: the platform's.
    #[must_use]
    pub const fn seller(self) -> Option<SellerId> {
        match self {
            Self::SellerPayable(seller) => Some(seller),
            _ => None,
        }
    }
}

/// What happened. Of one subject each happens once: the database refuses a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A payment was captured for its order.
    Capture,
    /// A payment was captured whose order could not take it: it all goes back.
    LateCapture,
    /// A refund was decided.
    Refund,
    /// Its buyer has it.
    RefundPaid,
    /// Their bank has sent it back.
    RefundReturned,
    /// The provider could not, and it was goodwill: what was taken back for it stands again.
    RefundFailed,
    /// A payout was begun.
    Payout,
    /// Its shop has it.
    PayoutPaid,
    /// It came to nothing.
    PayoutUndone,
    /// The shop's bank sent it back.
    PayoutReturned,
    /// A buyer's bank took the money of a capture.
    DisputeOpened,
    /// It gave it back.
    DisputeWon,
    /// It keeps it.
    DisputeLost,
    /// A shop's debt was given up.
    WriteOff,
    /// The provider has taken its fee of a payment, a refund or a payout.
    ProviderFee,
}

impl Kind {
    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::LateCapture => "late_capture",
            Self::Refund => "refund",
            Self::RefundPaid => "refund_paid",
            Self::RefundReturned => "refund_returned",
            Self::RefundFailed => "refund_failed",
            Self::Payout => "payout",
            Self::PayoutPaid => "payout_paid",
            Self::PayoutUndone => "payout_undone",
            Self::PayoutReturned => "payout_returned",
            Self::DisputeOpened => "dispute_opened",
            Self::DisputeWon => "dispute_won",
            Self::DisputeLost => "dispute_lost",
            Self::WriteOff => "write_off",
            Self::ProviderFee => "provider_fee",
        }
    }
}

/// A line of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Where.
    pub account: Account,
    /// How much, in minor units: debits positive, credits negative, never zero.
    pub minor: i64,
    /// For which item.
    pub item: Option<OrderItemId>,
}

/// Entries that belong together and sum to zero.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    /// What happened.
    pub kind: Kind,
    /// To which payment, refund, payout, dispute or write-off.
    pub subject: Uuid,
    /// Of which order.
    pub order: Option<OrderId>,
    /// In which currency.
    pub currency: Currency,
    /// The entries.
    pub entries: Vec<Entry>,
}

impl Transaction {
    /// A transaction that moves `minor` units from one account to another.
    #[must_use]
    pub fn moving(
        kind: Kind,
        subject: Uuid,
        order: Option<OrderId>,
        currency: Currency,
        (from, to): (Account, Account),
        minor: i64,
    ) -> Self {
        let entry = |account, minor| Entry {
            account,
            minor,
            item: None,
        };
        let entries = match minor {
            0 => Vec::new(),
            _ => vec![entry(to, minor), entry(from, -minor)],
        };
        Self {
            kind,
            subject,
            order,
            currency,
            entries,
        }
    }

    /// What it debits an account with, less what it credits it with.
    #[must_use]
    pub fn net(&self, account: Account) -> i64 {
        let of = self.entries.iter().filter(|entry| entry.account == account);
        of.map(|entry| entry.minor).sum()
    }
}

/// A line of an order, or a part of one, and whose it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    /// The line.
    pub item: OrderItemId,
    /// Its shop.
    pub seller: SellerId,
    /// What of it.
    pub parts: Parts,
}

/// Which way the money goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// To those who have a part in it.
    Shared,
    /// Back from them.
    TakenBack,
}

impl Way {
    const fn sign(self) -> i64 {
        match self {
            Self::Shared => 1,
            Self::TakenBack => -1,
        }
    }
}

/// The entries by which what buyers paid for `shares` moves from `money` to those who
/// have a part in it, or back. No entries for nothing. They balance, whatever the parts
/// are: what is paid and what the platform adds are exactly what is shared.
#[must_use]
pub fn entries(shares: &[Share], terms: Terms, money: Account, way: Way) -> Vec<Entry> {
    let paid: i64 = shares.iter().map(|share| share.parts.paid(terms)).sum();
    let mut entries = vec![Entry {
        account: money,
        minor: paid,
        item: None,
    }];
    for share in shares {
        let parts = &share.parts;
        let amounts = [
            (Account::PlatformDiscounts, parts.platform_discount),
            (Account::SellerPayable(share.seller), -parts.earned(terms).amount),
            (Account::PlatformCommission, -parts.commission),
            (Account::TaxPayable, -parts.tax_owed(terms)),
        ];
        entries.extend(amounts.map(|(account, minor)| Entry {
            account,
            minor,
            item: Some(share.item),
        }));
    }
    for entry in &mut entries {
        entry.minor *= way.sign();
    }
    entries.retain(|entry| entry.minor != 0);
    entries
}

/// Why a shop has earned, or lost again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EarningKind {
    /// A line was paid.
    Sale,
    /// A part of it is refunded.
    Refund,
    /// That refund failed.
    RefundFailed,
    /// A dispute about it was lost.
    Dispute,
    /// That was decided otherwise later.
    DisputeWon,
}

impl EarningKind {
    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sale => "sale",
            Self::Refund => "refund",
            Self::RefundFailed => "refund_failed",
            Self::Dispute => "dispute",
            Self::DisputeWon => "dispute_won",
        }
    }

    /// Which way the money goes.
    #[must_use]
    pub const fn way(self) -> Way {
        match self {
            Self::Sale | Self::RefundFailed | Self::DisputeWon => Way::Shared,
            Self::Refund | Self::Dispute => Way::TakenBack,
        }
    }
}

/// What a line brings or takes from its shop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Earning {
    /// The line.
    pub item: OrderItemId,
    /// Whose.
    pub seller: SellerId,
    /// Signed: what is taken back is negative in every part.
    pub earned: Earned,
}

impl Earning {
    /// What `share` brings its shop, or takes from it.
    #[must_use]
    pub const fn of(share: &Share, terms: Terms, way: Way) -> Self {
        let (earned, sign) = (share.parts.earned(terms), way.sign());
        Self {
            item: share.item,
            seller: share.seller,
            earned: Earned {
                base: sign * earned.base,
                shipping: sign * earned.shipping,
                tax: sign * earned.tax,
                commission: sign * earned.commission,
                amount: sign * earned.amount,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn share(goods: i64, discount: i64, tax: i64, shipping: i64, commission: i64) -> Share {
        Share {
            item: OrderItemId::new(),
            seller: SellerId::new(),
            parts: Parts {
                goods,
                platform_discount: discount,
                tax,
                shipping,
                shipping_tax: 0,
                commission,
            },
        }
    }

    #[test]
    fn a_capture_debits_the_provider_with_the_whole() {
        let shares = [share(10_000, 0, 0, 500, 1_000), share(2_000, 0, 0, 0, 200)];
        let entries = entries(&shares, Terms::UNTAXED, Account::ProviderClearing, Way::Shared);
        assert_eq!(entries[0].account, Account::ProviderClearing);
        assert_eq!(entries[0].minor, 12_500);
        assert_eq!(entries.len(), 5, "nothing is booked for what is nothing");
    }

    #[test]
    fn nothing_paid_is_nothing_booked() {
        let none = |shares: &[Share]| entries(shares, Terms::UNTAXED, Account::ProviderClearing, Way::Shared);
        assert_eq!(none(&[share(0, 0, 0, 0, 0)]), []);
        assert_eq!(none(&[]), []);
    }

    proptest! {
        #[test]
        fn entries_balance_and_are_undone_by_the_way_back(
            lines in prop::collection::vec((0..1_000_000_000_i64, 0..10_000_i64, 0..10_000_i64, 0..100_000_i64, 0..10_000_i64), 0..20),
            included: bool, seller_remits: bool,
        ) {
            let terms = Terms { tax_included: included, seller_remits };
            let shares: Vec<_> = lines.iter().map(|&(g, d, t, s, c)| share(g, d, t.min(g), s, c.min(g))).collect();
            let there = entries(&shares, terms, Account::ProviderClearing, Way::Shared);
            let back = entries(&shares, terms, Account::ProviderClearing, Way::TakenBack);
            prop_assert_eq!(there.iter().map(|e| e.minor).sum::<i64>(), 0);
            prop_assert!(there.iter().all(|e| e.minor != 0));
            let undone = there.iter().zip(&back).all(|(a, b)| a.account == b.account && a.minor == -b.minor);
            prop_assert!(undone && there.len() == back.len());
        }
    }
}
