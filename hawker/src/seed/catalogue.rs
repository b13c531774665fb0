//! What the demo shop sells: plain data, the same each time. Ids are made from names
//! (UUID version 5), so that a link to a demo product works on every machine.

use std::collections::HashMap;
use std::sync::LazyLock;

use uuid::Uuid;

use crate::pictures::Kind;

/// The host of the demo show, who owns the first shop.
pub const HOST_EMAIL: &str = "host@demo.hawker.example";
/// A viewer with an address.
pub const VIEWER_EMAIL: &str = "viewer@demo.hawker.example";
/// An administrator.
pub const ADMIN_EMAIL: &str = "admin@demo.hawker.example";

/// The id of a demo thing, by what it is and its name.
#[must_use]
pub fn id(what: &str, name: &str) -> Uuid {
    static SPACE: LazyLock<Uuid> = LazyLock::new(|| Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"demo.hawker.example"));
    Uuid::new_v5(&SPACE, format!("{what}/{name}").as_bytes())
}

/// What the picture with this id shows.
#[must_use]
pub fn picture_kind(id: Uuid) -> Option<Kind> {
    static KINDS: LazyLock<HashMap<Uuid, Kind>> = LazyLock::new(|| {
        let products = PRODUCTS.iter().map(|product| (product.id(), product.kind));
        let streams = STREAMS.iter().map(|stream| (stream.id(), stream.cover));
        products.chain(streams).collect()
    });
    KINDS.get(&id).copied()
}

/// A person.
pub struct Account {
    /// Their address, and what their id is made from.
    pub email: &'static str,
    /// Their name in chats.
    pub name: &'static str,
    /// Their role.
    pub role: &'static str,
}

/// Everybody.
pub const ACCOUNTS: &[Account] = &[
    account(HOST_EMAIL, "Demo Host", "user"),
    account(VIEWER_EMAIL, "Demo Viewer", "user"),
    account(ADMIN_EMAIL, "Demo Admin", "admin"),
    account("textiles@demo.hawker.example", "Textile Host", "user"),
    account("living@demo.hawker.example", "Living Host", "user"),
    account("jewellery@demo.hawker.example", "Jewellery Host", "user"),
];

const fn account(email: &'static str, name: &'static str, role: &'static str) -> Account {
    Account { email, name, role }
}

impl Account {
    /// Their id.
    pub fn id(&self) -> Uuid {
        id("account", self.email)
    }
}

/// A shop.
pub struct Shop {
    /// Its name in addresses, and what its id is made from.
    pub slug: &'static str,
    /// Whose it is.
    pub email: &'static str,
    /// What it calls itself.
    pub name: &'static str,
    /// What it says of itself.
    pub description: &'static str,
    /// Shipping: the first item, each further one, and free from, in cents.
    pub shipping: (i64, i64, i64),
}

impl Shop {
    /// Its id.
    pub fn id(&self) -> Uuid {
        id("shop", self.slug)
    }

    /// Its only shipping profile.
    pub fn shipping_id(&self) -> Uuid {
        id("shipping", self.slug)
    }
}

/// Every shop, all in EUR.
pub const SHOPS: &[Shop] = &[
    Shop {
        slug: "harbour-lane-ceramics",
        email: HOST_EMAIL,
        name: "Harbour Lane Ceramics",
        description: "Stoneware thrown, glazed and fired by the water. Every piece is a little different.",
        shipping: (490, 150, 6000),
    },
    Shop {
        slug: "northfold-textiles",
        email: "textiles@demo.hawker.example",
        name: "Northfold Textiles",
        description: "Wool and linen from small mills, woven to be used every day.",
        shipping: (390, 100, 8000),
    },
    Shop {
        slug: "juniper-row-living",
        email: "living@demo.hawker.example",
        name: "Juniper Row Living",
        description: "Light, scent and green things for rooms that people live in.",
        shipping: (590, 200, 9000),
    },
    Shop {
        slug: "copper-finch-jewellery",
        email: "jewellery@demo.hawker.example",
        name: "Copper Finch Jewellery",
        description: "Small batches in silver, brass and copper, made at one bench.",
        shipping: (350, 0, 5000),
    },
];

/// The category tree: slug, name, parent's slug; parents first.
pub const CATEGORIES: &[(&str, &str, Option<&str>)] = &[
    ("home", "Home", None),
    ("fashion", "Fashion", None),
    ("ceramics", "Ceramics", Some("home")),
    ("textiles", "Textiles", Some("home")),
    ("living", "Living", Some("home")),
    ("jewellery", "Jewellery", Some("fashion")),
    ("accessories", "Accessories", Some("fashion")),
    ("mugs", "Mugs", Some("ceramics")),
    ("bowls-and-plates", "Bowls and plates", Some("ceramics")),
    ("vases", "Vases", Some("ceramics")),
    ("teapots", "Teapots", Some("ceramics")),
    ("blankets", "Blankets", Some("textiles")),
    ("cushions", "Cushions", Some("textiles")),
    ("towels", "Towels", Some("textiles")),
    ("lamps", "Lamps", Some("living")),
    ("candles", "Candles", Some("living")),
    ("planters", "Planters", Some("living")),
    ("baskets", "Baskets", Some("living")),
    ("rings", "Rings", Some("jewellery")),
    ("necklaces", "Necklaces", Some("jewellery")),
    ("earrings", "Earrings", Some("jewellery")),
    ("scarves", "Scarves", Some("accessories")),
];

/// A show.
pub struct Stream {
    /// What its id is made from.
    pub key: &'static str,
    /// Whose it is, by slug.
    pub shop: &'static str,
    /// Its title.
    pub title: &'static str,
    /// What it promises.
    pub description: &'static str,
    /// What its cover shows.
    pub cover: Kind,
    /// On air now; else announced.
    pub live: bool,
    /// How many of the shop's products are in the line-up.
    pub line_up: usize,
}

impl Stream {
    /// Its id.
    pub fn id(&self) -> Uuid {
        id("stream", self.key)
    }
}

/// Both shows.
pub const STREAMS: &[Stream] = &[
    Stream {
        key: "kiln-opening",
        shop: "harbour-lane-ceramics",
        title: "Kiln opening: the winter glazes",
        description: "We open the kiln together, look at every piece, and the best ones go for less while we talk.",
        cover: Kind::KilnCover,
        live: true,
        line_up: 10,
    },
    Stream {
        key: "wool-week",
        shop: "northfold-textiles",
        title: "Wool week: blankets from the first frost",
        description: "How a blanket is woven and finished, and the seconds from the mill at a price.",
        cover: Kind::WoolCover,
        live: false,
        line_up: 8,
    },
];

/// A product and its variants.
pub struct Product {
    /// Its shop's slug.
    pub shop: &'static str,
    /// Its category's slug.
    pub category: &'static str,
    /// What its picture shows.
    pub kind: Kind,
    /// Its title, and what its id is made from.
    pub title: &'static str,
    /// What it is.
    pub description: &'static str,
    /// The first variant's price in cents.
    pub price_minor: i64,
    /// Sizes, each dearer than the one before by `size_step`; empty for one size.
    pub sizes: &'static [&'static str],
    /// What a size more costs, in cents.
    pub size_step: i64,
    /// Colours; empty for one.
    pub colours: &'static [&'static str],
}

/// One buyable form.
pub struct Variant {
    /// Its stock keeping unit, and what its id is made from.
    pub sku: String,
    /// Its options.
    pub options: serde_json::Map<String, serde_json::Value>,
    /// Its price in cents.
    pub price_minor: i64,
    /// Units in stock.
    pub on_hand: i32,
}

impl Variant {
    /// Its id.
    pub fn id(&self) -> Uuid {
        id("variant", &self.sku)
    }

    /// The id of the movement that explains its stock.
    pub fn movement_id(&self) -> Uuid {
        id("movement", &self.sku)
    }
}

impl Product {
    /// Its id.
    pub fn id(&self) -> Uuid {
        id("product", self.title)
    }

    /// Its variants: every size in every colour.
    pub fn variants(&self) -> Vec<Variant> {
        let or_one = |names: &'static [&'static str]| if names.is_empty() { &[""] } else { names };
        let mut variants = Vec::new();
        for (step, size) in (0_i64..).zip(or_one(self.sizes)) {
            for colour in or_one(self.colours) {
                variants.push(self.variant(step, size, colour));
            }
        }
        variants
    }

    fn variant(&self, step: i64, size: &str, colour: &str) -> Variant {
        let named = [("size", size), ("colour", colour)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty());
        let options = named.map(|(name, value)| (name.to_owned(), value.into())).collect();
        let words = [self.title, size, colour];
        let parts: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).map(short).collect();
        let sku = parts.join("-");
        // A stock that looks like one, with enough for a show to sell from.
        let spread = i32::from(id("stock", &sku).as_bytes()[0]);
        let on_hand = if self.shop == STREAMS[0].shop {
            250 + spread
        } else {
            spread % 60
        };
        Variant {
            price_minor: self.price_minor + step * self.size_step,
            sku,
            options,
            on_hand,
        }
    }
}

/// A name as part of a stock keeping unit: `Tide mug` becomes `TIDEMUG`.
fn short(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_uppercase())
        .collect()
}

pub use super::products::PRODUCTS;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_product_has_a_shop_a_leaf_category_and_variants() {
        for product in PRODUCTS {
            assert!(SHOPS.iter().any(|shop| shop.slug == product.shop), "{}", product.title);
            assert!(
                CATEGORIES.iter().any(|(slug, ..)| *slug == product.category),
                "{}",
                product.title
            );
            assert!(
                CATEGORIES.iter().all(|(.., parent)| *parent != Some(product.category)),
                "{}",
                product.title
            );
            assert!(!product.variants().is_empty());
        }
        assert!(PRODUCTS.len() >= 38);
    }

    #[test]
    fn nothing_shares_an_id_or_a_stock_keeping_unit() {
        let products: HashSet<_> = PRODUCTS.iter().map(Product::id).collect();
        assert_eq!(products.len(), PRODUCTS.len());
        let skus: Vec<_> = PRODUCTS
            .iter()
            .flat_map(Product::variants)
            .map(|variant| variant.sku)
            .collect();
        assert!(skus.iter().all(|sku| (1..=64).contains(&sku.len())), "{skus:?}");
        assert_eq!(skus.iter().collect::<HashSet<_>>().len(), skus.len());
    }

    #[test]
    fn ids_never_change() {
        // Links to the demo shop are printed in places that outlive a version.
        assert_eq!(id("stream", "kiln-opening").to_string(), STREAMS[0].id().to_string());
        assert_eq!(STREAMS[0].id().get_version_num(), 5);
    }

    #[test]
    fn the_tree_has_three_levels() {
        let parent = |slug| {
            CATEGORIES
                .iter()
                .find(|(own, ..)| *own == slug)
                .and_then(|(.., parent)| *parent)
        };
        let depth = |slug| std::iter::successors(Some(slug), |slug| parent(*slug)).count();
        assert_eq!(CATEGORIES.iter().map(|(slug, ..)| depth(*slug)).max(), Some(3));
    }
}
