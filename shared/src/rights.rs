//! What a moderator may be allowed to do: a shop's owner appoints people, for all of the
//! shop's shows or for one, and lists their rights. The owner has them all.

use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! rights {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// One thing that a moderator may be allowed to do.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Right { $($(#[$doc])* $variant),+ }

        impl Right {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name on the wire and in the database.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

rights! {
    /// Delete messages of others.
    DeleteMessages = "delete_messages",
    /// Mute people for a while, with or without taking their messages out of view.
    Mute = "mute",
    /// Ban people from the shop's shows, and let them in again.
    Ban = "ban",
    /// Pin a message, and unpin it.
    Pin = "pin",
    /// Make announcements.
    Announce = "announce",
    /// Change the rules of the chat: who may say something and how often.
    ChatRules = "chat_rules",
    /// Decide on messages that are held for review.
    Review = "review",
}

impl Right {
    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of rights, on the wire a list of their names in a fixed order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rights(u16);

impl Rights {
    /// None.
    pub const NONE: Self = Self(0);
    /// All.
    pub const ALL: Self = Self((1 << Right::ALL.len()) - 1);

    /// Whether it is among them.
    #[must_use]
    pub const fn has(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// With those of another set.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// They, in order.
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL.iter().copied().filter(move |right| self.has(*right))
    }

    /// Their names, as the database keeps them.
    #[must_use]
    pub fn names(self) -> Vec<String> {
        self.iter().map(|right| right.as_str().to_owned()).collect()
    }

    /// The rights of these names. A name that this version does not know gives nothing.
    #[must_use]
    pub fn of_names(names: &[String]) -> Self {
        let known = |right: &&Right| names.iter().any(|name| name == right.as_str());
        Right::ALL.iter().filter(known).copied().collect()
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        Self(rights.into_iter().fold(0, |bits, right| bits | right.bit()))
    }
}

impl std::fmt::Debug for Rights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter().map(Right::as_str)).finish()
    }
}

impl Serialize for Rights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.iter().count()))?;
        for right in self.iter() {
            seq.serialize_element(&right)?;
        }
        seq.end()
    }
}

impl<'de> Deserialize<'de> for Rights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Rights;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of rights")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Rights, A::Error> {
                let mut rights = Rights::NONE;
                while let Some(right) = seq.next_element::<Right>()? {
                    rights = rights.and(Rights(right.bit()));
                }
                Ok(rights)
            }
        }

        deserializer.deserialize_seq(Names)
    }
}

impl utoipa::PartialSchema for Rights {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        Vec::<Right>::schema()
    }
}

impl utoipa::ToSchema for Rights {
    fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>) {
        schemas.push((Right::name().into_owned(), <Right as utoipa::PartialSchema>::schema()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_right_has_one_name_and_a_place_of_its_own() {
        for right in Right::ALL {
            assert_eq!(serde_json::to_value(right).expect("a right is text"), right.as_str());
            let alone: Rights = [*right].into_iter().collect();
            assert_eq!(alone.iter().collect::<Vec<_>>(), [*right]);
            assert!(Rights::ALL.has(*right) && !Rights::NONE.has(*right));
        }
        assert_eq!(Rights::ALL.iter().count(), Right::ALL.len());
    }

    #[test]
    fn a_set_is_the_list_of_its_names_everywhere() {
        let rights: Rights = [Right::Ban, Right::Mute].into_iter().collect();
        let json = serde_json::to_value(rights).expect("written");
        assert_eq!(json, serde_json::json!(["mute", "ban"]));
        assert_eq!(serde_json::from_value::<Rights>(json).expect("read"), rights);
        assert_eq!(Rights::of_names(&rights.names()), rights);
        assert_eq!(Rights::of_names(&["fly".to_owned()]), Rights::NONE);
        assert!(serde_json::from_str::<Rights>(r#"["fly"]"#).is_err());
    }
}
