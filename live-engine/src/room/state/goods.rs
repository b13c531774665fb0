//! What a room makes of word from the shop: a product as it is now, the line-up, and a
//! sale's counters. Versions decide what is news.

use shared::ids::ProductId;
use shared::protocol::{LineUpCard, ProductCard, RoomEvent, SaleCard};
use shared::status::SaleStatus;

use super::RoomState;
use crate::types::SaleProgress;

impl RoomState {
    /// A sale as it is shown, if that is newer.
    pub(super) fn newest(&self, sale: SaleCard) -> SaleCard {
        match self.sales.get(&sale.id) {
            Some(known) if known.version > sale.version => known.clone(),
            Some(_) | None => sale,
        }
    }

    /// A product on sale is shown as it is now, in front and in the line-up, wherever that
    /// is news.
    pub(super) fn product(&self, mut product: ProductCard) -> Vec<RoomEvent> {
        let mut events = Vec::new();
        let card = listed(&product);
        if self
            .line_up
            .iter()
            .any(|known| known.id == card.id && known.version <= card.version && *known != card)
        {
            events.push(RoomEvent::LineUpUpdated { product: card });
        }
        if let Some(shown) = self.featured.as_ref().filter(|shown| shown.id == product.id) {
            product.featured_variant = shown.featured_variant;
            if product.version >= shown.version && product != *shown {
                events.push(RoomEvent::ProductUpdated { product });
            }
        }
        events
    }

    /// A product that is not on sale is shown no more.
    pub(super) fn gone(&self, product: ProductId) -> Vec<RoomEvent> {
        let mut events = Vec::new();
        if self.featured() == Some(product) {
            events.push(RoomEvent::Unfeatured);
        }
        if self.lists(product) {
            let rest = self.line_up.iter().filter(|card| card.id != product);
            events.push(RoomEvent::LineUp {
                products: rest.cloned().collect(),
            });
        }
        events
    }

    /// The line-up was read; of a product that was read later on its own, that stays.
    pub(super) fn relisted(&self, mut products: Vec<LineUpCard>) -> Vec<RoomEvent> {
        for card in &mut products {
            let known = self.line_up.iter().find(|known| known.id == card.id);
            if let Some(newer) = known.filter(|known| known.version > card.version) {
                *card = newer.clone();
            }
        }
        let mut events = Vec::new();
        // Only what is in the line-up is shown.
        if self
            .featured()
            .is_some_and(|shown| products.iter().all(|card| card.id != shown))
        {
            events.push(RoomEvent::Unfeatured);
        }
        if products != self.line_up {
            events.push(RoomEvent::LineUp { products });
        }
        events
    }

    pub(super) fn progress(&self, progress: &SaleProgress) -> Vec<RoomEvent> {
        let (sale, version) = (progress.sale, progress.version);
        let Some(known) = self.sales.get(&sale) else {
            return Vec::new();
        };
        if progress.status == SaleStatus::Closed {
            return vec![RoomEvent::SaleClosed { sale }];
        }
        if version <= known.version || progress.remaining == known.remaining {
            return Vec::new();
        }
        if progress.remaining == 0 {
            return vec![RoomEvent::SaleSoldOut { sale, version }];
        }
        vec![RoomEvent::SaleUpdated {
            sale,
            remaining: progress.remaining,
            version,
        }]
    }
}

/// A product as the line-up shows it.
pub(super) fn listed(product: &ProductCard) -> LineUpCard {
    let prices = product.variants.iter().map(|variant| variant.price_minor);
    let available = product.variants.iter().map(|variant| variant.available);
    LineUpCard {
        id: product.id,
        title: product.title.clone(),
        image_url: product.image_url.clone(),
        currency: product.currency.clone(),
        from_minor: prices.min().unwrap_or(0),
        available: available.fold(0, u32::saturating_add),
        version: product.version,
    }
}
