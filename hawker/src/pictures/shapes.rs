//! The objects, one drawing each, on a field of 400 by 400 with the table's edge at 312.
//! `url(#m)` is the object's own colour with light from the left.

use std::fmt::Write as _;

use super::{Dice, Kind, Palette};

pub(super) fn draw(svg: &mut String, kind: Kind, palette: &Palette, dice: &mut Dice<'_>) {
    let shape = match kind {
        Kind::Mug => mug(palette, dice),
        Kind::Bowl => bowl(palette, dice),
        Kind::Plate => plate(palette, dice),
        Kind::Vase => vase(palette, dice),
        Kind::Teapot => teapot(palette),
        Kind::Blanket => blanket(palette, dice),
        Kind::Cushion => cushion(palette, dice),
        Kind::Towel => towel(palette, dice),
        Kind::Scarf => scarf(palette, dice),
        Kind::Lamp => lamp(palette, dice),
        Kind::Candle => candle(palette, dice),
        Kind::Planter => planter(palette, dice),
        Kind::Basket => basket(palette),
        Kind::Ring => ring(palette, dice),
        Kind::Necklace => necklace(palette, dice),
        Kind::Earrings => earrings(palette, dice),
        Kind::KilnCover => cover(&vase(palette, dice), &mug(palette, dice), &bowl(palette, dice)),
        Kind::WoolCover => cover(&blanket(palette, dice), &scarf(palette, dice), &cushion(palette, dice)),
        Kind::Parcel => parcel(palette),
    };
    svg.push_str(&shape);
}

/// The shadow of what stands on the table.
fn shadow(width: u32) -> String {
    format!(r#"<ellipse cx="206" cy="334" rx="{width}" ry="14" opacity=".16"/>"#)
}

/// Stripes across a shape, clipped by being short.
fn bands(dice: &mut Dice<'_>, from: u32, left: u32, width: u32, colour: &str) -> String {
    let mut out = String::new();
    let gap = 12 + dice.roll(10);
    for band in 0..2 + dice.roll(3) {
        let _ = write!(
            out,
            r#"<rect x="{left}" y="{}" width="{width}" height="5" fill="{colour}" opacity=".55"/>"#,
            from + band * gap
        );
    }
    out
}

fn mug(p: &Palette, dice: &mut Dice<'_>) -> String {
    let top = 150 + dice.roll(40);
    format!(
        r#"{}<path d="M272 {}q62 -4 58 52t-70 50" fill="none" stroke="{}" stroke-width="20"/><path d="M120 {top}h160l-8 164q-2 18 -22 18h-100q-20 0 -22 -18z" fill="url(#m)"/>{}<ellipse cx="200" cy="{top}" rx="80" ry="18" fill="{}"/><ellipse cx="200" cy="{}" rx="68" ry="13" fill="{}"/>"#,
        shadow(104),
        top + 32,
        p.dark,
        bands(dice, top + 90, 127, 146, &p.light),
        p.light,
        top + 3,
        p.accent,
    )
}

fn bowl(p: &Palette, dice: &mut Dice<'_>) -> String {
    let depth = 150 + dice.roll(40);
    format!(
        r#"{}<path d="M84 190q4 {depth} 92 {depth}h48q88 0 92 -{depth}z" transform="translate(0 {})" fill="url(#m)"/><g transform="translate(0 {})"><ellipse cx="200" cy="190" rx="116" ry="30" fill="{}"/><ellipse cx="200" cy="194" rx="100" ry="22" fill="{}"/><ellipse cx="176" cy="190" rx="40" ry="8" fill="{}" opacity=".5"/></g>"#,
        shadow(110),
        146 - i64::from(depth),
        146 - i64::from(depth),
        p.light,
        p.dark,
        p.light,
    )
}

fn plate(p: &Palette, dice: &mut Dice<'_>) -> String {
    let inner = 74 + dice.roll(22);
    format!(
        r#"<circle cx="206" cy="214" r="138" opacity=".16"/><circle cx="200" cy="204" r="138" fill="url(#m)"/><circle cx="200" cy="204" r="{}" fill="{}"/><circle cx="200" cy="204" r="{inner}" fill="{}"/><circle cx="200" cy="204" r="{}" fill="none" stroke="{}" stroke-width="3" stroke-dasharray="{} 9"/><path d="M132 150q34 -42 92 -34" fill="none" stroke="{}" stroke-width="7" stroke-linecap="round" opacity=".7"/>"#,
        inner + 8,
        p.dark,
        p.main,
        inner + 26,
        p.light,
        4 + dice.roll(18),
        p.light,
    )
}

fn vase(p: &Palette, dice: &mut Dice<'_>) -> String {
    let mut stems = String::new();
    for stem in 0..3 + dice.roll(3) {
        let (x, y) = (110 + stem * 44 + dice.roll(20), 50 + dice.roll(50));
        let _ = write!(
            stems,
            r#"<path d="M200 200Q{} 150 {x} {y}" fill="none" stroke="{}" stroke-width="5"/><circle cx="{x}" cy="{y}" r="{}" fill="{}"/><circle cx="{x}" cy="{y}" r="6" fill="{}"/>"#,
            180 + stem * 12,
            p.accent,
            14 + dice.roll(9),
            p.light,
            p.dark,
        );
    }
    let belly = 60 + dice.roll(34);
    let (right, left) = (200 + belly, 200 - belly);
    format!(
        r#"{}{stems}<path d="M172 172H228Q{right} 192 {right} 252Q{right} 312 242 334H158Q{left} 312 {left} 252Q{left} 192 172 172z" fill="url(#m)"/><ellipse cx="200" cy="172" rx="28" ry="8" fill="{}"/>"#,
        shadow(92),
        p.dark,
    )
}

fn teapot(p: &Palette) -> String {
    format!(
        r#"{}<path d="M286 196q70 -14 62 46t-84 46" fill="none" stroke="{}" stroke-width="17"/><path d="M118 250q-50 -8 -66 -74l26 -8q18 44 58 48z" fill="{}"/><path d="M108 236q0 -74 92 -74t92 74q0 98 -60 98h-64q-60 0 -60 -98z" fill="url(#m)"/><path d="M146 172q54 -34 108 0z" fill="{}"/><circle cx="200" cy="144" r="13" fill="{}"/><path d="M134 214q12 -30 44 -38" fill="none" stroke="{}" stroke-width="8" stroke-linecap="round" opacity=".7"/>"#,
        shadow(112),
        p.dark,
        p.dark,
        p.dark,
        p.accent,
        p.light,
    )
}

fn blanket(p: &Palette, dice: &mut Dice<'_>) -> String {
    let mut folds = String::new();
    for fold in 0..4 {
        let y = 282 - fold * 46;
        let colour = if fold % 2 == 0 { "url(#m)" } else { p.main.as_str() };
        let _ = write!(
            folds,
            r#"<rect x="{}" y="{y}" width="{}" height="48" rx="22" fill="{colour}"/>{}"#,
            76 + fold * 3,
            248 - fold * 6,
            bands(dice, y + 10, 110, 170, &p.light),
        );
    }
    let mut fringe = String::new();
    for thread in 0..16 {
        let _ = write!(
            fringe,
            r#"<path d="M{} 324v{}" stroke="{}" stroke-width="4" stroke-linecap="round"/>"#,
            92 + thread * 14,
            10 + dice.roll(10),
            p.dark,
        );
    }
    format!("{}{fringe}{folds}", shadow(132))
}

fn cushion(p: &Palette, dice: &mut Dice<'_>) -> String {
    let step = 18 + dice.roll(14);
    let mut lines = String::new();
    for line in 1..200 / step {
        let at = 100 + line * step;
        let _ = write!(lines, r#"<path d="M{at} 128q{} 90 0 180"/>"#, line * 3);
    }
    format!(
        r#"{}<path d="M88 120q112 26 224 0q-24 100 0 206q-112 -24 -224 0q24 -104 0 -206z" fill="url(#m)"/><g fill="none" stroke="{}" stroke-width="4" opacity=".5">{lines}</g><circle cx="200" cy="222" r="10" fill="{}"/>"#,
        shadow(124),
        p.light,
        p.accent,
    )
}

fn towel(p: &Palette, dice: &mut Dice<'_>) -> String {
    let length = 190 + dice.roll(40);
    format!(
        r#"<rect x="60" y="92" width="280" height="11" rx="5" fill="{}"/><path d="M112 88h176v{length}h-176z" transform="translate(8 8)" opacity=".14"/><path d="M112 88h176v{length}h-176z" fill="url(#m)"/><path d="M112 88h176v34h-176z" fill="{}" opacity=".45"/>{}{}"#,
        p.accent,
        p.dark,
        bands(dice, 44 + length, 112, 176, &p.light),
        bands(dice, 150, 112, 176, &p.dark),
    )
}

fn scarf(p: &Palette, dice: &mut Dice<'_>) -> String {
    let mut fringe = String::new();
    for thread in 0..7 {
        let _ = write!(
            fringe,
            r#"<path d="M{} 318v26M{} 296v26" stroke="{}" stroke-width="4"/>"#,
            126 + thread * 9,
            216 + thread * 9,
            p.dark
        );
    }
    format!(
        r#"{fringe}<path d="M206 176l78 2l0 122h-72z" fill="{}"/><path d="M120 172l76 0l-8 148h-68z" fill="url(#m)"/><path d="M104 138q96 -66 192 0q26 26 -16 50q-80 34 -160 0q-42 -24 -16 -50z" fill="url(#m)"/><path d="M134 146q66 -34 132 0q-66 40 -132 0z" fill="{}"/>{}{}"#,
        p.dark,
        p.dark,
        bands(dice, 226, 124, 66, &p.light),
        bands(dice, 220, 214, 68, &p.main),
    )
}

fn lamp(p: &Palette, dice: &mut Dice<'_>) -> String {
    let flare = 20 + dice.roll(30);
    format!(
        r##"{}<path d="M120 196L40 400H360L280 196z" fill="#fff" opacity=".22"/><rect x="192" y="190" width="16" height="130" fill="{}"/><ellipse cx="200" cy="324" rx="62" ry="14" fill="{}"/><path d="M{} 84h{}l{flare} 116H{}z" fill="url(#m)"/><path d="M{} 200h{}" stroke="{}" stroke-width="6"/>"##,
        shadow(84),
        p.accent,
        p.accent,
        108 + flare,
        184 - 2 * flare,
        108,
        108,
        184,
        p.light,
    )
}

fn candle(p: &Palette, dice: &mut Dice<'_>) -> String {
    let top = 196 + dice.roll(30);
    format!(
        r##"{}<circle cx="200" cy="{}" r="74" fill="#fff6d8" opacity=".6"/><path d="M200 {}q30 44 0 62q-30 -18 0 -62z" fill="#f6b04c"/><path d="M200 {}q14 24 0 34q-14 -10 0 -34z" fill="#fff1c4"/><rect x="197" y="{}" width="6" height="22" fill="#443"/><path d="M136 {top}h128v{}q0 14 -14 14h-100q-14 0 -14 -14z" fill="url(#m)"/><ellipse cx="200" cy="{top}" rx="64" ry="14" fill="{}"/><rect x="158" y="{}" width="84" height="46" rx="4" fill="#fff" opacity=".8"/><path d="M172 {}h56M180 {}h40" stroke="{}" stroke-width="4"/>"##,
        shadow(80),
        top - 44,
        top - 86,
        top - 58,
        top - 24,
        322 - top,
        p.light,
        top + 44,
        top + 60,
        top + 74,
        p.accent,
    )
}

fn planter(p: &Palette, dice: &mut Dice<'_>) -> String {
    let mut leaves = String::new();
    for leaf in 0..7 {
        let (x, y) = (92 + leaf * 36, 76 + dice.roll(50) + 16 * u32::from(leaf % 2 == 0));
        let _ = write!(
            leaves,
            r#"<path d="M200 232Q{} {} {x} {y}Q{} {} 200 232z" fill="hsl({},34%,{}%)"/>"#,
            x + 8,
            y + 84,
            100 + leaf * 32,
            y + 20,
            118 + dice.roll(34),
            34 + dice.roll(16),
        );
    }
    format!(
        r#"{}{leaves}<path d="M122 222h156l-16 96q-2 16 -18 16h-88q-16 0 -18 -16z" fill="url(#m)"/><rect x="112" y="208" width="176" height="26" rx="8" fill="{}"/>"#,
        shadow(98),
        p.dark,
    )
}

fn basket(p: &Palette) -> String {
    let mut weave = String::new();
    for row in 0..6 {
        let y = 218 + row * 18;
        let inset = row * 3;
        let _ = write!(
            weave,
            r#"<path d="M{} {y}h{}" stroke-dasharray="16 8" stroke-dashoffset="{}"/>"#,
            104 + inset,
            192 - 2 * inset,
            row % 2 * 12,
        );
    }
    format!(
        r#"{}<path d="M124 206q0 -118 76 -118t76 118" fill="none" stroke="{}" stroke-width="13"/><path d="M94 200h212l-22 116q-3 18 -22 18h-124q-19 0 -22 -18z" fill="url(#m)"/><g fill="none" stroke="{}" stroke-width="8" opacity=".55">{weave}</g><rect x="86" y="192" width="228" height="20" rx="10" fill="{}"/>"#,
        shadow(120),
        p.accent,
        p.light,
        p.dark,
    )
}

fn ring(p: &Palette, dice: &mut Dice<'_>) -> String {
    let stone = if dice.roll(2) == 0 {
        format!(
            r#"<path d="M200 92l34 30l-34 42l-34 -42z" fill="{}"/><path d="M200 92l12 30l-12 42l-12 -42z" fill="{}" opacity=".7"/>"#,
            p.accent, p.light
        )
    } else {
        format!(
            r#"<circle cx="200" cy="132" r="26" fill="{}"/><circle cx="192" cy="124" r="9" fill="{}"/>"#,
            p.accent, p.light
        )
    };
    format!(
        r#"{}<circle cx="200" cy="232" r="84" fill="none" stroke="url(#m)" stroke-width="{}"/><path d="M138 196q20 -36 60 -44" fill="none" stroke="{}" stroke-width="6" stroke-linecap="round"/>{stone}"#,
        shadow(84),
        18 + dice.roll(12),
        p.light,
    )
}

fn necklace(p: &Palette, dice: &mut Dice<'_>) -> String {
    let mut beads = String::new();
    let count = 3 + dice.roll(5);
    for bead in 0..count {
        let offset = i64::from(bead * 24) - i64::from((count - 1) * 12);
        let _ = write!(
            beads,
            r#"<circle cx="{}" cy="{}" r="{}" fill="url(#m)"/>"#,
            200 + offset,
            272 - offset * offset / 240,
            9 + dice.roll(5),
        );
    }
    format!(
        r#"<path d="M84 70q10 204 116 204t116 -204" fill="none" stroke="{}" stroke-width="5" stroke-dasharray="7 3"/>{beads}<path d="M200 280q34 44 0 62q-34 -18 0 -62z" fill="{}"/><path d="M194 300q-8 18 2 28" fill="none" stroke="{}" stroke-width="5" stroke-linecap="round"/>"#,
        p.dark, p.accent, p.light,
    )
}

fn earrings(p: &Palette, dice: &mut Dice<'_>) -> String {
    let (length, round) = (40 + dice.roll(50), dice.roll(2) == 0);
    let mut pair = String::new();
    for x in [138, 262] {
        let y = 128 + length;
        let drop = if round {
            format!(
                r#"<circle cx="{x}" cy="{}" r="44" fill="none" stroke="url(#m)" stroke-width="15"/>"#,
                y + 44
            )
        } else {
            format!(
                r#"<path d="M{x} {y}q46 66 0 98q-46 -32 0 -98z" fill="url(#m)"/><path d="M{x} {}v60" stroke="{}" stroke-width="4"/>"#,
                y + 24,
                p.light
            )
        };
        let _ = write!(
            pair,
            r#"<path d="M{x} 128v{length}" stroke="{}" stroke-width="4"/><circle cx="{x}" cy="122" r="11" fill="{}"/>{drop}"#,
            p.dark, p.accent,
        );
    }
    pair
}

/// A table with three things under two lights: the cover of a show.
fn cover(left: &str, right: &str, front: &str) -> String {
    format!(
        r##"<path d="M60 0L150 312H-40zM340 0L440 312H250z" fill="#fff" opacity=".28"/><g transform="translate(-72 62) scale(.8)">{left}</g><g transform="translate(158 62) scale(.8)">{right}</g><g transform="translate(64 96) scale(.72)">{front}</g>"##
    )
}

fn parcel(p: &Palette) -> String {
    format!(
        r#"{}<rect x="104" y="150" width="192" height="184" rx="8" fill="url(#m)"/><rect x="184" y="150" width="32" height="184" fill="{}"/><path d="M200 150q-70 -76 -76 -20q4 24 76 20q72 4 76 -20q-6 -56 -76 20z" fill="{}"/>"#,
        shadow(110),
        p.light,
        p.accent,
    )
}
