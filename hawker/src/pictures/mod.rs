//! Pictures of the demo shop's products, drawn from their ids: the same id gives the
//! same picture, and neighbours differ in colour, light and proportions.
//!
//! Whole numbers only, so that every machine draws the same bytes. It draws; `pages`
//! serves.

mod shapes;

use std::fmt::Write as _;

use uuid::Uuid;

/// What a picture shows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// A cup with a handle.
    Mug,
    /// A bowl.
    Bowl,
    /// A plate, seen from above.
    Plate,
    /// A vase with stems.
    Vase,
    /// A teapot.
    Teapot,
    /// A folded blanket.
    Blanket,
    /// A cushion.
    Cushion,
    /// A towel on a rail.
    Towel,
    /// A scarf.
    Scarf,
    /// A table lamp.
    Lamp,
    /// A candle in a glass.
    Candle,
    /// A pot with a plant.
    Planter,
    /// A basket.
    Basket,
    /// A ring.
    Ring,
    /// A necklace.
    Necklace,
    /// A pair of earrings.
    Earrings,
    /// A show's cover, with things from a kiln.
    KilnCover,
    /// A show's cover, with things of wool.
    WoolCover,
    /// Anything else.
    Parcel,
}

/// Where the picture of `id` is served.
#[must_use]
pub fn address(id: Uuid) -> String {
    format!("/pictures/{id}.svg")
}

/// The colours of one picture.
pub(crate) struct Palette {
    /// The object's own.
    pub main: String,
    /// Its shadow side.
    pub dark: String,
    /// Its lit side.
    pub light: String,
    /// What sets it off: stems, handles, stones.
    pub accent: String,
}

/// Random-looking small numbers, the same for the same id.
pub(crate) struct Dice<'a>(std::iter::Cycle<std::slice::Iter<'a, u8>>);

impl Dice<'_> {
    /// A number in `0..sides`.
    pub fn roll(&mut self, sides: u32) -> u32 {
        let mut take = || self.0.next().copied().map_or(0, u32::from);
        (take() * 256 + take()) % sides.max(1)
    }
}

fn hsl(hue: u32, saturation: u32, lightness: u32) -> String {
    format!("hsl({},{saturation}%,{lightness}%)", hue % 360)
}

/// The picture as SVG text.
#[must_use]
pub fn draw(id: Uuid, kind: Kind) -> String {
    let mut dice = Dice(id.as_bytes().iter().cycle());
    let ground = dice.roll(360);
    // Neighbouring hues are calm, the opposite one stands out: objects take either.
    let hue = ground + [28, 150, 180, 205, 330][dice.roll(5) as usize];
    let palette = Palette {
        main: hsl(hue, 38 + dice.roll(16), 56),
        dark: hsl(hue + 8, 38, 40),
        light: hsl(hue, 48, 74),
        accent: hsl(hue + 160, 34, 46),
    };
    let mut svg = String::with_capacity(4096);
    // Writing to a String does not fail, here and below.
    let _ = write!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 400" role="img"><defs><linearGradient id="g" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="{}"/><stop offset="1" stop-color="{}"/></linearGradient><linearGradient id="m" x1="0" y1="0" x2="1" y2="0"><stop offset="0" stop-color="{}"/><stop offset=".45" stop-color="{}"/><stop offset="1" stop-color="{}"/></linearGradient></defs><rect width="400" height="400" fill="url(#g)"/>"#,
        hsl(ground, 42, 91),
        hsl(ground + 24, 40, 80),
        palette.light,
        palette.main,
        palette.dark,
    );
    backdrop(&mut svg, &mut dice, ground);
    shapes::draw(&mut svg, kind, &palette, &mut dice);
    svg.push_str("</svg>");
    svg
}

/// A window's light on the wall, and a table unless the thing hangs or lies flat.
fn backdrop(svg: &mut String, dice: &mut Dice<'_>, ground: u32) {
    let (x, y) = (90 + dice.roll(220), 70 + dice.roll(90));
    let _ = write!(
        svg,
        r##"<circle cx="{x}" cy="{y}" r="{}" fill="#fff" opacity=".38"/><circle cx="{}" cy="{}" r="{}" fill="{}" opacity=".35"/><path d="M0 312q200 -{} 400 0V400H0z" fill="{}" opacity=".75"/>"##,
        70 + dice.roll(60),
        400 - x,
        y + 60,
        40 + dice.roll(40),
        hsl(ground + 40, 50, 84),
        14 + dice.roll(18),
        hsl(ground + 24, 30, 70),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::catalogue::{PRODUCTS, picture_kind};

    #[test]
    fn a_picture_is_the_same_each_time_and_unlike_its_neighbours() {
        let pictures: Vec<_> = PRODUCTS
            .iter()
            .map(|product| draw(product.id(), product.kind))
            .collect();
        let again: Vec<_> = PRODUCTS
            .iter()
            .map(|product| draw(product.id(), product.kind))
            .collect();
        assert_eq!(pictures, again);
        let different: std::collections::HashSet<_> = pictures.iter().collect();
        assert_eq!(different.len(), PRODUCTS.len());
        assert!(
            pictures
                .iter()
                .all(|svg| svg.starts_with("<svg ") && svg.ends_with("</svg>"))
        );
        assert!(
            pictures
                .iter()
                .all(|svg| svg.matches('<').count() == svg.matches('>').count())
        );
    }

    #[test]
    fn every_product_has_a_picture_of_its_kind() {
        assert!(
            PRODUCTS
                .iter()
                .all(|product| picture_kind(product.id()) == Some(product.kind))
        );
        assert_eq!(picture_kind(Uuid::nil()), None);
    }
}
