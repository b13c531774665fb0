//! What callers send, and what an export looks like.

use garde::Validate;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Who leaves proves that it is them.
#[derive(Deserialize, Validate, ToSchema)]
pub struct Leave {
    /// The account's password.
    #[garde(length(chars, max = 128))]
    #[schema(max_length = 128, format = Password)]
    pub password: String,
}

/// All that the service knows of a person. Each list is in the order in which its things
/// came to be.
#[derive(ToSchema)]
#[schema(as = Export)]
#[allow(dead_code, reason = "it is written as a stream, section by section")]
pub struct Export {
    /// Address, role, name, handle and profile.
    pub account: Vec<Value>,
    /// The address that the person gave or asked to have, and has not confirmed.
    pub wished_addresses: Vec<Value>,
    /// Addresses, deleted ones included.
    pub addresses: Vec<Value>,
    /// Sessions, and the programs that renewed them.
    pub sessions: Vec<Value>,
    /// Pictures that the person uploaded, each with the address of its large size.
    pub pictures: Vec<Value>,
    /// The person's shop.
    pub shop: Vec<Value>,
    /// Shops that the person follows.
    pub follows: Vec<Value>,
    /// What is in the person's cart.
    pub cart: Vec<Value>,
    /// What the person was about to buy, and where it was to go.
    pub checkouts: Vec<Value>,
    /// What the person was told.
    pub notifications: Vec<Value>,
    /// How the person wants to be told what.
    pub notification_preferences: Vec<Value>,
    /// Where the person keeps order.
    pub moderates: Vec<Value>,
    /// From which shops' shows the person is kept out.
    pub bans: Vec<Value>,
    /// In which shows the person may not chat.
    pub mutes: Vec<Value>,
    /// What the person said in shows.
    pub chat_messages: Vec<Value>,
    /// What the person wanted to say and a moderator looked at first.
    pub held_messages: Vec<Value>,
    /// What the person reported.
    pub reports: Vec<Value>,
    /// Units that the person held in flash sales.
    pub flash_sale_holds: Vec<Value>,
    /// Places in line that the person had.
    pub flash_sale_places: Vec<Value>,
    /// What the person wrote of what they bought.
    pub reviews: Vec<Value>,
    /// Orders with their items, payments, refunds, returns (and why the person asked for them)
    /// and where each was sent.
    pub orders: Vec<Value>,
}
