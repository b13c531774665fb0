//! Pictures as they are stored and shown: their kinds, sizes, names and addresses, and why
//! one is refused. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shared::error::{ErrorCode, Refusal};
use shared::ids::PictureId;
use sqlx::postgres::{PgTypeInfo, PgValueRef};
use sqlx::types::Json;
use sqlx::{Postgres, Type};
use utoipa::ToSchema;

/// What a picture is of: how large it is kept follows from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Kind {
    /// A person.
    Avatar,
    /// A shop.
    Shop,
    /// A product.
    Product,
    /// A show.
    Cover,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Avatar, Self::Shop, Self::Product, Self::Cover];

    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Avatar => "avatar",
            Self::Shop => "shop",
            Self::Product => "product",
            Self::Cover => "cover",
        }
    }

    /// Whether it is cut to a square, from its middle.
    #[must_use]
    pub const fn is_square(self) -> bool {
        matches!(self, Self::Avatar | Self::Shop)
    }

    /// How long its longer side is at most, in pixels.
    #[must_use]
    pub const fn side(self, size: Size) -> u32 {
        match (self, size) {
            (Self::Avatar | Self::Shop, Size::Small) => 64,
            (Self::Avatar | Self::Shop, Size::Medium) => 192,
            (Self::Avatar | Self::Shop, Size::Large) => 512,
            (Self::Product, Size::Small) => 160,
            (Self::Product, Size::Medium) => 640,
            (Self::Product, Size::Large) => 1_600,
            (Self::Cover, Size::Small) => 320,
            (Self::Cover, Size::Medium) => 960,
            (Self::Cover, Size::Large) => 1_920,
        }
    }
}

/// One of the sizes in which a picture is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Size {
    /// For lists.
    Small,
    /// For cards.
    Medium,
    /// To look at.
    Large,
}

impl Size {
    /// All of them, the smallest first.
    pub const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Large];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }
}

/// What a picture is written as.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Format {
    /// What nothing shines through.
    Jpeg,
    /// What something shines through, without loss.
    Webp,
}

impl Format {
    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Webp => "webp",
        }
    }

    /// How names of its files end.
    #[must_use]
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Webp => "webp",
        }
    }

    /// Its media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
        }
    }
}

/// The name of one size of one picture: `0191…-small.jpg`. What it names never changes, so
/// it is its own version. Only what this reads reaches the store: no path is ever made of
/// a caller's text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileName {
    /// The picture.
    pub picture: PictureId,
    /// Its size.
    pub size: Size,
    /// What it is written as.
    pub format: Format,
}

impl FileName {
    /// Where the file is in the store: 256 folders, by the last byte of the id, which is
    /// random.
    #[must_use]
    pub fn place(&self) -> String {
        let [.., last] = self.picture.0.as_bytes();
        format!("{last:02x}/{self}")
    }

    /// Where everybody finds it, as a path of this server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("/media/{self}")
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}.{}", self.picture, self.size.as_str(), self.format.ending())
    }
}

impl FromStr for FileName {
    type Err = ();

    /// Reads exactly what [`fmt::Display`] writes.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (stem, ending) = text.split_once('.').ok_or(())?;
        let (id, size) = stem.rsplit_once('-').ok_or(())?;
        let formats = [Format::Jpeg, Format::Webp].into_iter();
        let name = Self {
            picture: id.parse().map_err(|_| ())?,
            size: Size::ALL.into_iter().find(|known| known.as_str() == size).ok_or(())?,
            format: { formats }.find(|known| known.ending() == ending).ok_or(())?,
        };
        // A UUID can be written in several ways; a file has one name.
        if name.to_string() == text { Ok(name) } else { Err(()) }
    }
}

/// A size within `side`, in the proportions of `width` to `height`, and never larger than
/// that. No side is less than one pixel.
#[must_use]
pub fn fit((width, height): (u32, u32), side: u32) -> (u32, u32) {
    let longer = width.max(height).max(1);
    if longer <= side {
        return (width, height);
    }
    let scaled = |length: u32| {
        let exact = u64::from(length) * u64::from(side) + u64::from(longer / 2);
        u32::try_from(exact / u64::from(longer)).unwrap_or(side).max(1)
    };
    (scaled(width), scaled(height))
}

/// A picture that was uploaded, in all its sizes. What is at an address never changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Picture {
    /// Its id.
    pub id: PictureId,
    /// For lists.
    pub small: Rendition,
    /// For cards.
    pub medium: Rendition,
    /// To look at.
    pub large: Rendition,
}

/// A picture in one size.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Rendition {
    /// Where it is, as a path of this server.
    #[schema(examples("/media/0191e2a4-9000-7000-8000-00000000000c-medium.jpg"))]
    pub url: String,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// What the database knows of a picture: all else follows from it. As `picture_json` puts it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stored {
    /// Its id.
    pub id: PictureId,
    /// What it is of.
    pub kind: Kind,
    /// What it is written as.
    pub format: Format,
    /// Of its large size.
    pub width: u32,
    /// Of its large size.
    pub height: u32,
}

impl Stored {
    /// One of its files.
    #[must_use]
    pub const fn file(&self, size: Size) -> FileName {
        FileName {
            picture: self.id,
            size,
            format: self.format,
        }
    }

    /// One of its sizes in pixels.
    #[must_use]
    pub fn sides(&self, size: Size) -> (u32, u32) {
        fit((self.width, self.height), self.kind.side(size))
    }

    fn rendition(&self, size: Size) -> Rendition {
        let (width, height) = self.sides(size);
        Rendition {
            url: self.file(size).url(),
            width,
            height,
        }
    }
}

impl From<Stored> for Picture {
    fn from(stored: Stored) -> Self {
        Self {
            id: stored.id,
            small: stored.rendition(Size::Small),
            medium: stored.rendition(Size::Medium),
            large: stored.rendition(Size::Large),
        }
    }
}

/// So that a query names it like any other column: `picture_json(…) as "avatar: Picture"`.
impl Type<Postgres> for Picture {
    fn type_info() -> PgTypeInfo {
        <Json<Stored> as Type<Postgres>>::type_info()
    }
}

impl<'r> sqlx::Decode<'r, Postgres> for Picture {
    fn decode(value: PgValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
        let Json(stored) = <Json<Stored> as sqlx::Decode<'r, Postgres>>::decode(value)?;
        Ok(stored.into())
    }
}

/// The bytes of a picture.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub struct PictureFile(#[allow(dead_code, reason = "it describes a body")] Vec<u8>);

/// Why a file is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// It is none of the formats that are read.
    NoPicture,
    /// It has several pictures that follow each other.
    Moves,
    /// It cannot be read, in a few words.
    Broken(&'static str),
    /// It has too many pixels.
    TooManyPixels {
        /// It has.
        width: u32,
        /// It has.
        height: u32,
        /// So many at most.
        most: u64,
    },
}

impl From<Unfit> for Refusal {
    fn from(unfit: Unfit) -> Self {
        let refused = |detail: String| Self::new(ErrorCode::PictureUnfit, detail);
        match unfit {
            Unfit::NoPicture => Self::new(
                ErrorCode::UnsupportedMediaType,
                "Send a JPEG, PNG or WebP picture: what was sent is none, whatever it is called",
            ),
            Unfit::Moves => refused("The picture moves: send one that stands still".to_owned()),
            Unfit::Broken(how) => refused(format!("The picture cannot be read: {how}")),
            Unfit::TooManyPixels { width, height, most } => refused(format!(
                "The picture has {width} × {height} pixels; no side may have more than {SIDE_MAX}, and all \
                 together not more than {most}"
            )),
        }
    }
}

/// A side at most, in pixels.
pub const SIDE_MAX: u32 = 16_384;

/// The pictures of a product, each once, in the order that they are to have.
#[derive(Debug, Serialize, Deserialize, garde::Validate, ToSchema)]
pub struct PictureOrder {
    /// All of them.
    #[garde(length(max = 10))]
    pub images: Vec<PictureId>,
}

/// The pictures of a product, the first of which stands for it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Pictures {
    /// In order.
    pub images: Vec<Picture>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_file_has_one_name_and_nothing_else_is_one() {
        let id: PictureId = "0191e2a4-9000-7000-8000-00000000000c".parse().expect("an id");
        for size in Size::ALL {
            for format in [Format::Jpeg, Format::Webp] {
                let name = FileName {
                    picture: id,
                    size,
                    format,
                };
                assert_eq!(name.to_string().parse(), Ok(name));
                assert!(name.place().starts_with("0c/"), "{}", name.place());
            }
        }
        for text in [
            "",
            "..",
            "../../etc/passwd",
            "..%2f..%2fetc%2fpasswd",
            "/etc/passwd",
            "0191e2a4-9000-7000-8000-00000000000c",
            "0191e2a4-9000-7000-8000-00000000000c-small",
            "0191e2a4-9000-7000-8000-00000000000c-small.svg",
            "0191e2a4-9000-7000-8000-00000000000c-huge.jpg",
            "0191E2A4-9000-7000-8000-00000000000C-small.jpg",
            "0191e2a490007000800000000000000c-small.jpg",
            "{0191e2a4-9000-7000-8000-00000000000c}-small.jpg",
            "0191e2a4-9000-7000-8000-00000000000c-small.jpg/..",
            "0191e2a4-9000-7000-8000-00000000000c-small.jpg#1",
            "0191e2a4-9000-7000-8000-00000000000c-small.jpg\0",
        ] {
            assert_eq!(text.parse::<FileName>(), Err(()), "{text}");
        }
    }

    #[test]
    fn a_size_keeps_proportions_and_never_grows() {
        assert_eq!(fit((4_000, 3_000), 1_600), (1_600, 1_200));
        assert_eq!(fit((3_000, 4_000), 640), (480, 640));
        assert_eq!(fit((100, 50), 640), (100, 50));
        assert_eq!(fit((16_384, 1), 160), (160, 1));
    }

    proptest! {
        #[test]
        fn whatever_its_sides_a_picture_fits(width in 1..=SIDE_MAX, height in 1..=SIDE_MAX) {
            for kind in Kind::ALL {
                let (w, h) = fit((width, height), kind.side(Size::Large));
                let stored = Stored { id: PictureId(Uuid::nil()), kind, format: Format::Jpeg, width: w, height: h };
                for size in Size::ALL {
                    let (w, h) = stored.sides(size);
                    prop_assert!(w >= 1 && h >= 1 && w.max(h) <= kind.side(size));
                    prop_assert!(w <= width && h <= height);
                }
            }
        }
    }
}
