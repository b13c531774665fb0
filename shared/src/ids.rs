//! Ids: one type for each kind of thing, so that no two can be mixed up.
//!
//! All are UUIDs, made here as version 7 (RFC 9562: ordered by time), and written as
//! hyphenated text in both wire formats, so that a client sees one form.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type, utoipa::ToSchema)]
        #[sqlx(transparent)]
        #[schema(value_type = Uuid)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id, later than all that this process made before.
            #[must_use]
            #[allow(clippy::new_without_default, reason = "a default id would be a new one each time")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(IdText).map(Self)
            }
        }
    )+};
}

impl NodeId {
    /// The node of this name: the same after a restart, so that it finds its own rooms.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(Uuid::new_v5(
            &Uuid::NAMESPACE_OID,
            format!("hawker node {name}").as_bytes(),
        ))
    }
}

/// Reads a UUID from text, whatever the format says of itself.
struct IdText;

impl serde::de::Visitor<'_> for IdText {
    type Value = Uuid;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a UUID as text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Uuid, E> {
        text.parse()
            .map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

ids! {
    /// A person with an account.
    UserId,
    /// Somebody who watches without an account, for as long as their ticket is renewed.
    GuestId,
    /// A delivery or billing address.
    AddressId,
    /// A shop.
    SellerId,
    /// A node of the category tree.
    CategoryId,
    /// What shipping of a seller's goods costs.
    ShippingProfileId,
    /// A product.
    ProductId,
    /// One buyable form of a product.
    VariantId,
    /// A file of products that a shop has sent.
    ImportId,
    /// A picture that was uploaded.
    PictureId,
    /// What a buyer says of what they got.
    ReviewId,
    /// A show.
    StreamId,
    /// A message in a show's chat.
    MessageId,
    /// Somebody's report of a message.
    ReportId,
    /// A word that a shop does not want in its chats.
    BlockedWordId,
    /// A flash sale in a show.
    SaleId,
    /// A hold on units of a flash sale.
    ReservationId,
    /// Something that a person was told.
    NotificationId,
    /// A priced purchase that holds stock until it expires.
    CheckoutId,
    /// A purchase.
    OrderId,
    /// A line of a purchase.
    OrderItemId,
    /// An attempt to pay an order.
    PaymentId,
    /// A code that takes something off a price.
    DiscountCodeId,
    /// A parcel, or several that go together.
    ShipmentId,
    /// Units of a line that their buyer sends back.
    ReturnId,
    /// What a buyer says did not come.
    ClaimId,
    /// Money on its way back to a buyer.
    RefundId,
    /// A capture that the buyer's bank has called into question.
    DisputeId,
    /// Where a shop's money goes.
    PayoutAccountId,
    /// Money on its way to a shop.
    PayoutId,
    /// What each line brought or took from its shop.
    EarningId,
    /// One process of the live engine.
    NodeId,
    /// A client's name for one act, the same whenever it is resent: unique per person,
    /// equal to REST's `Idempotency-Key`.
    RequestId,
}
