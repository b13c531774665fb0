//! The cart as it is sent and shown, and how two carts become one. Pure.

use std::collections::BTreeMap;

use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::{ProductId, VariantId};
use shared::money::Money;
use utoipa::ToSchema;

use crate::sellers::SellerRef;

/// Lines of a cart at most.
pub const LINES_MAX: usize = 100;

/// What a buyer means to buy. Nothing of it is held: a checkout does that.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Cart {
    /// The lines by shop.
    pub shops: Vec<CartShop>,
}

/// What of it is one shop's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CartShop {
    /// The shop.
    pub seller: SellerRef,
    /// The lines, the oldest first.
    pub items: Vec<CartItem>,
    /// Of the lines that can be bought as they are, without discounts, shipping and added
    /// tax.
    pub total: Money,
}

/// A line of the cart, as the goods are now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CartItem {
    /// What.
    pub variant_id: VariantId,
    /// Of which product.
    pub product_id: ProductId,
    /// The product's title.
    pub title: String,
    /// Stock keeping unit.
    pub sku: String,
    /// Option names and values.
    pub options: BTreeMap<String, String>,
    /// The product's picture; empty: none.
    pub image_url: String,
    /// How many.
    pub quantity: i32,
    /// The price of one.
    pub unit_price: Money,
    /// Of all of them.
    pub total: Money,
    /// It can be bought as it is.
    pub can_be_bought: bool,
    /// What is otherwise than the buyer last saw it, and what is in the way of buying it.
    pub notes: Vec<CartNote>,
}

/// What a buyer should know of a line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CartNote {
    /// The price is another than when the buyer last saw the line. It is said once.
    Price {
        /// The price of one then.
        from: Money,
        /// The price of one now.
        to: Money,
    },
    /// There are not that many in stock.
    InsufficientStock {
        /// How many there are.
        available: i32,
    },
    /// It is not on sale any more.
    NotOnSale,
    /// The shop is the buyer's own.
    OwnShop,
    /// The shop has banned the buyer.
    Banned,
}

/// How many of a variant.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(as = CartQuantity)]
pub struct Quantity {
    /// 1 to 1,000.
    #[garde(range(min = 1, max = 1000))]
    #[schema(minimum = 1, maximum = 1000)]
    pub quantity: i32,
}

/// A cart that was kept by a client before its buyer signed in.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(as = CartMerge)]
pub struct Merge {
    /// Its lines, at most 100.
    #[garde(dive, length(max = 100))]
    pub items: Vec<MergeLine>,
}

/// One line of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(as = CartMergeLine)]
pub struct MergeLine {
    /// What.
    #[garde(skip)]
    pub variant_id: VariantId,
    /// How many, 1 to 1,000.
    #[garde(range(min = 1, max = 1000))]
    #[schema(minimum = 1, maximum = 1000)]
    pub quantity: i32,
}

/// The cart after a merge, and what could not be taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = CartMerged)]
pub struct Merged {
    /// The cart.
    pub cart: Cart,
    /// Lines that were not taken.
    pub left_out: Vec<LeftOut>,
}

/// A line that was not taken into the cart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = CartLeftOut)]
pub struct LeftOut {
    /// What.
    pub variant_id: VariantId,
    /// Why.
    pub reason: Reason,
}

/// Why a line is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = CartReason)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// There is no such variant on sale.
    NotOnSale,
    /// The shop is the buyer's own.
    OwnShop,
    /// The shop has banned the buyer.
    Banned,
    /// The cart has as many lines as it may.
    CartFull,
}

/// Whether a variant can be put into a buyer's cart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Goods {
    /// The price of one, in minor units.
    pub price_minor: i64,
    /// The shop is the buyer's own.
    pub own: bool,
    /// The shop has banned the buyer.
    pub banned: bool,
    /// It is on sale, by a shop that may sell.
    pub on_sale: bool,
}

impl Goods {
    /// What is in the way.
    ///
    /// # Errors
    /// The reason.
    pub const fn check(&self) -> Result<(), Reason> {
        if self.own {
            Err(Reason::OwnShop)
        } else if self.banned {
            Err(Reason::Banned)
        } else if self.on_sale {
            Ok(())
        } else {
            Err(Reason::NotOnSale)
        }
    }
}

/// A line that is kept, or is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept {
    /// What.
    pub variant: VariantId,
    /// How many.
    pub quantity: i32,
}

/// What a merge writes, in the order of the variants, and what it leaves out: of what both
/// have the larger quantity, so that a second merge of the same changes nothing.
#[must_use]
pub fn merge(kept: &[Kept], asked: &[MergeLine], goods: &BTreeMap<VariantId, Goods>) -> (Vec<Kept>, Vec<LeftOut>) {
    let have: BTreeMap<VariantId, i32> = kept.iter().map(|line| (line.variant, line.quantity)).collect();
    let mut free = LINES_MAX.saturating_sub(have.len());
    let mut taken: BTreeMap<VariantId, i32> = BTreeMap::new();
    let mut left_out: Vec<LeftOut> = Vec::new();
    for line in asked {
        let variant = line.variant_id;
        if let Some(quantity) = taken.get_mut(&variant) {
            *quantity = line.quantity.max(*quantity);
            continue;
        }
        let mut fits = goods.get(&variant).map_or(Err(Reason::NotOnSale), Goods::check);
        let is_new = !have.contains_key(&variant);
        if fits.is_ok() && is_new && free == 0 {
            fits = Err(Reason::CartFull);
        }
        match fits {
            Ok(()) => {
                free -= usize::from(is_new);
                let before = have.get(&variant).copied().unwrap_or_default();
                taken.insert(variant, line.quantity.max(before));
            }
            Err(reason) => {
                if left_out.iter().all(|left| left.variant_id != variant) {
                    left_out.push(LeftOut {
                        variant_id: variant,
                        reason,
                    });
                }
            }
        }
    }
    let lines = taken
        .into_iter()
        .filter(|(variant, quantity)| have.get(variant) != Some(quantity))
        .map(|(variant, quantity)| Kept { variant, quantity })
        .collect();
    (lines, left_out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn on_sale() -> Goods {
        Goods {
            price_minor: 100,
            own: false,
            banned: false,
            on_sale: true,
        }
    }

    #[test]
    fn what_cannot_be_bought_is_left_out_and_said_once() {
        let (own, gone) = (VariantId::new(), VariantId::new());
        let goods = BTreeMap::from([(own, Goods { own: true, ..on_sale() })]);
        let line = |variant_id| MergeLine {
            variant_id,
            quantity: 1,
        };
        let (lines, left_out) = merge(&[], &[line(own), line(gone), line(own)], &goods);
        assert!(lines.is_empty());
        let reasons: Vec<_> = left_out.iter().map(|left| (left.variant_id, left.reason)).collect();
        assert_eq!(reasons, [(own, Reason::OwnShop), (gone, Reason::NotOnSale)]);
    }

    #[test]
    fn a_full_cart_takes_more_of_what_it_has_and_nothing_new() {
        let kept: Vec<Kept> = (0..LINES_MAX)
            .map(|_| Kept {
                variant: VariantId::new(),
                quantity: 2,
            })
            .collect();
        let (known, new) = (kept[7].variant, VariantId::new());
        let goods = BTreeMap::from([(known, on_sale()), (new, on_sale())]);
        let asked = [new, known].map(|variant_id| MergeLine {
            variant_id,
            quantity: 3,
        });
        let (lines, left_out) = merge(&kept, &asked, &goods);
        assert_eq!(
            lines,
            [Kept {
                variant: known,
                quantity: 3
            }]
        );
        assert_eq!(left_out[0].reason, Reason::CartFull);
    }

    proptest! {
        #[test]
        fn a_merge_that_is_sent_again_changes_nothing(
            kept in prop::collection::btree_map(0..20_usize, 1..1000_i32, 0..10),
            asked in prop::collection::vec((0..20_usize, 1..1000_i32), 0..30),
        ) {
            let variants: Vec<VariantId> = (0..20).map(|_| VariantId::new()).collect();
            let goods: BTreeMap<VariantId, Goods> = variants.iter().map(|&v| (v, on_sale())).collect();
            let mut cart: BTreeMap<VariantId, i32> = kept.iter().map(|(&i, &n)| (variants[i], n)).collect();
            let lines = |cart: &BTreeMap<VariantId, i32>| {
                cart.iter().map(|(&variant, &quantity)| Kept { variant, quantity }).collect::<Vec<_>>()
            };
            let asked: Vec<MergeLine> = asked.iter()
                .map(|&(i, quantity)| MergeLine { variant_id: variants[i], quantity }).collect();
            for line in merge(&lines(&cart), &asked, &goods).0 {
                prop_assert!(cart.insert(line.variant, line.quantity).is_none_or(|before| before < line.quantity));
            }
            prop_assert!(asked.iter().all(|line| cart[&line.variant_id] >= line.quantity));
            prop_assert_eq!(merge(&lines(&cart), &asked, &goods), (Vec::new(), Vec::new()));
        }
    }
}
