//! A market of one sequence in the database: its people, shops, goods and codes, told apart
//! from those of all other sequences by their ids.

use core_api::State;
use core_api::http::Shopkeeper;
use shared::ids::{AddressId, ProductId, SellerId, UserId, VariantId};
use shared::money::Currency;
use sqlx::PgPool;
use testkit::fixtures;
use uuid::Uuid;

use super::acts::{COUNTRIES, Sequence, Stall};
use super::paper::{Paper, Shop, Variant};
use super::sheet::{Code, Off};

/// What the platform keeps where no rule says otherwise, in basis points.
const COMMISSION: i64 = 1_000;

/// A market, and who is in it.
pub struct World {
    /// What the product's functions need.
    pub state: State,
    /// An admin.
    pub admin: UserId,
    /// Buyers, each with an address in every country.
    pub buyers: Vec<(UserId, Vec<AddressId>)>,
    /// Shops with their owners.
    pub shops: Vec<Shopkeeper>,
    /// What is sold: two products a shop.
    pub variants: Vec<VariantId>,
    /// The codes that buyers write: one a shop, and the platform's.
    pub codes: Vec<String>,
}

async fn run(db: &PgPool, sql: &'static str, id: Uuid, numbers: &[i64]) {
    let mut query = sqlx::query(sql).bind(id);
    for number in numbers {
        query = query.bind(number);
    }
    query.execute(db).await.expect("the statement is right");
}

impl World {
    /// Opens a market in a database, and the paper beside it.
    pub async fn open(state: State, sequence: &Sequence) -> (Self, Paper) {
        let db = state.db.clone();
        let mut world = Self {
            admin: fixtures::admin(&db).await,
            state,
            buyers: Vec::new(),
            shops: Vec::new(),
            variants: Vec::new(),
            codes: Vec::new(),
        };
        for _ in 0..2 {
            world.add_buyer(&db).await;
        }
        let (mut shops, mut variants, mut codes) = (Vec::new(), Vec::new(), Vec::new());
        for (nth, stall) in sequence.stalls.iter().enumerate() {
            world.add_shop(&db, stall).await;
            shops.push(Shop {
                rate: stall.rate.unwrap_or(COMMISSION),
                postage: stall.postage,
                held: false,
                bank: None,
            });
            variants.extend(stall.prices.map(|price| Variant {
                shop: nth,
                price,
                on_hand: stall.stock,
                reserved: 0,
            }));
            codes.push(code_of(Some(nth), stall.code));
        }
        codes.push(code_of(None, sequence.code));
        for code in &codes {
            world.add_code(&db, code).await;
        }
        let least = world.state.config.commerce.payout_minimum_minor;
        (world, Paper::new(least, shops, variants, codes))
    }

    async fn add_buyer(&mut self, db: &PgPool) {
        let user = fixtures::user(db, "Test Buyer").await;
        let mut addresses = Vec::new();
        for (country, _) in COUNTRIES {
            let id = AddressId::new();
            let insert = "insert into addresses (id, user_id, recipient, line1, city, postal_code, country)
                          values ($1, $2, 'Test Buyer', '1 Quay Street', 'Harbour', '20457', $3)";
            let insert = sqlx::query(insert).bind(id.0).bind(user.0).bind(country);
            insert.execute(db).await.expect("the address is new");
            addresses.push(id);
        }
        self.buyers.push((user, addresses));
    }

    async fn add_shop(&mut self, db: &PgPool, stall: &Stall) {
        let owner = fixtures::user(db, "Host").await;
        let seller = SellerId::new();
        let insert = "insert into sellers (id, user_id, shop_name, slug, country, currency, status, decided_at)
                      values ($1::uuid, $2, 'Test Shop', 'shop-' || $1::uuid::text, 'DE', 'EUR', 'approved', now())";
        let insert = sqlx::query(insert).bind(seller.0).bind(owner.0);
        insert.execute(db).await.expect("the shop is new");
        for price in stall.prices {
            let on_hand = i32::try_from(stall.stock).expect("few");
            let (_, variant): (ProductId, _) = fixtures::product(db, seller, on_hand, price).await;
            self.variants.push(variant);
        }
        if let Some(postage) = stall.postage {
            let sql = "with p as (insert into shipping_profiles
                                      (id, seller_id, name, base_minor, extra_item_minor, free_from_minor, currency)
                                  values (gen_random_uuid(), $1, 'Parcel', $2, $3, nullif($4, 0), 'EUR') returning id)
                       update products set shipping_profile_id = (select id from p) where seller_id = $1";
            let free_from = postage.free_from.unwrap_or(0);
            run(db, sql, seller.0, &[postage.base, postage.extra, free_from]).await;
        }
        if let Some(rate) = stall.rate {
            let sql = "insert into commission_rules (id, seller_id, rate_bps) values (gen_random_uuid(), $1, $2)";
            run(db, sql, seller.0, &[rate]).await;
        }
        self.shops.push(Shopkeeper {
            user: owner,
            seller,
            currency: euro(),
        });
    }

    async fn add_code(&mut self, db: &PgPool, code: &Code) {
        let text = format!("C{}", Uuid::now_v7().simple()).to_uppercase()[..32].to_owned();
        let (percent, amount) = match code.off {
            Off::Percent(rate) => (Some(i32::try_from(rate).expect("a rate")), None),
            Off::Amount(cents) => (None, Some(cents)),
        };
        let insert = "insert into discount_codes (id, code, seller_id, percent_bps, amount_minor, currency,
                                                  min_items_minor, created_by)
                      values (gen_random_uuid(), $1, $2, $3, $4, 'EUR', $5, $6)";
        sqlx::query(insert)
            .bind(&text)
            .bind(code.shop.map(|nth| self.shops[nth].seller.0))
            .bind(percent)
            .bind(amount)
            .bind(code.least)
            .bind(self.admin.0)
            .execute(db)
            .await
            .expect("the code is new");
        self.codes.push(text);
    }

    /// Whose orders are this market's.
    pub fn buyer_ids(&self) -> Vec<Uuid> {
        self.buyers.iter().map(|(user, _)| user.0).collect()
    }

    /// Whose payouts are.
    pub fn seller_ids(&self) -> Vec<Uuid> {
        self.shops.iter().map(|shop| shop.seller.0).collect()
    }
}

fn code_of(shop: Option<usize>, (off, least): (Off, i64)) -> Code {
    Code { shop, off, least }
}

/// The currency of everything here.
pub fn euro() -> Currency {
    Currency::parse("EUR").expect("EUR is in ISO 4217")
}
