//! The table in a file: its columns, its cells, its prices. Pure.
//!
//! A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula, and what
//! a shop or a customer wrote must never run on somebody's desk: such cells get a `'` in
//! front when they are written, and lose it when they are read.

use csv::StringRecord;
use shared::error::{ErrorCode, Refusal};
use shared::money::Currency;

/// Lines of a file at most, without the header.
pub const LINES_MAX: usize = 10_000;

/// What a line can say. The header names them in any order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Column {
    /// Which product: the shop's name for it, or its id.
    ProductKey,
    /// Its title.
    Title,
    /// What it is.
    Description,
    /// Its category's slug.
    Category,
    /// Its shipping profile's name.
    ShippingProfile,
    /// Its picture.
    ImageUrl,
    /// `draft`, `active` or `archived`.
    Status,
    /// The variant's SKU.
    Sku,
    /// The name of one of its options, 0 to 2.
    OptionName(usize),
    /// Its value.
    OptionValue(usize),
    /// Its price, as people write it: `19.99`.
    Price,
    /// What it cost before.
    CompareAtPrice,
    /// Units in the shop's hands.
    OnHand,
    /// Units that were there when the line was written: with others, stock is left alone.
    OnHandWas,
}

/// Every column, in the order in which they are written.
pub const COLUMNS: [(&str, Column); 16] = [
    ("product_key", Column::ProductKey),
    ("title", Column::Title),
    ("description", Column::Description),
    ("category", Column::Category),
    ("shipping_profile", Column::ShippingProfile),
    ("image_url", Column::ImageUrl),
    ("status", Column::Status),
    ("sku", Column::Sku),
    ("option1_name", Column::OptionName(0)),
    ("option1_value", Column::OptionValue(0)),
    ("option2_name", Column::OptionName(1)),
    ("option2_value", Column::OptionValue(1)),
    ("option3_name", Column::OptionName(2)),
    ("option3_value", Column::OptionValue(2)),
    ("price", Column::Price),
    ("compare_at_price", Column::CompareAtPrice),
];
/// Columns of stock, which is written only when it is asked for: a file that says how much
/// there was would undo what is sold until it comes back.
pub const STOCK_COLUMNS: [(&str, Column); 2] = [("on_hand", Column::OnHand), ("on_hand_was", Column::OnHandWas)];

/// Where a file has its columns.
#[derive(Clone, Debug)]
pub struct Header {
    places: Vec<Column>,
}

impl Header {
    /// # Errors
    /// `InvalidBody` for a column that is unknown, there twice, or needed and missing.
    pub fn read(record: &StringRecord) -> Result<Self, Refusal> {
        let refused = |detail: String| Refusal::new(ErrorCode::InvalidBody, detail).at("header");
        let mut places = Vec::with_capacity(record.len());
        for name in record {
            let name = name.trim().to_ascii_lowercase();
            let known = COLUMNS.iter().chain(&STOCK_COLUMNS).find(|(known, _)| *known == name);
            let Some((_, column)) = known else {
                let name: String = name.chars().take(40).collect();
                return Err(refused(format!("there is no column {name:?}")));
            };
            if places.contains(column) {
                return Err(refused(format!("the column {name} is there twice")));
            }
            places.push(*column);
        }
        for (name, needed) in COLUMNS {
            let is_needed = matches!(needed, Column::ProductKey | Column::Sku | Column::Price);
            if is_needed && !places.contains(&needed) {
                return Err(refused(format!("the column {name} is missing")));
            }
        }
        Ok(Self { places })
    }

    /// How many columns there are.
    #[must_use]
    pub fn width(&self) -> usize {
        self.places.len()
    }

    /// What a line says in a column, without the space around it; `None`: nothing.
    #[must_use]
    pub fn cell(&self, record: &StringRecord, column: Column) -> Option<String> {
        let place = self.places.iter().position(|known| *known == column)?;
        let text = bare(record.get(place)?).trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

/// What makes a spreadsheet calculate instead of show, and the sign that keeps it from it.
const fn is_guarded(c: char) -> bool {
    matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '\'')
}

/// A cell that is shown and never calculated.
#[must_use]
pub fn guarded(text: &str) -> String {
    let mut chars = text.chars();
    let needs = match chars.next() {
        // A sign that is the text's own would be taken off, if another one follows.
        Some('\'') => chars.next().is_some_and(is_guarded),
        Some(first) => is_guarded(first),
        None => false,
    };
    if needs { format!("'{text}") } else { text.to_owned() }
}

/// The text in a guarded cell.
#[must_use]
pub fn bare(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(text) if text.starts_with(is_guarded) => text,
        _ => cell,
    }
}

/// A price as people write it, in minor units. `None`: it is none, or has more decimals
/// than its currency.
#[must_use]
pub fn minor_of(text: &str, currency: Currency) -> Option<i64> {
    let digits = usize::from(currency.exponent());
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(decimals) || decimals.len() > digits {
        return None;
    }
    if text.ends_with('.') {
        return None;
    }
    format!("{whole}{decimals:0<digits$}").parse().ok()
}

/// Minor units as people write them: `19.99`.
#[must_use]
pub fn decimal(minor: i64, currency: Currency) -> String {
    let digits = usize::from(currency.exponent());
    let scale = 10_i64.pow(u32::from(currency.exponent()));
    if digits == 0 {
        return minor.to_string();
    }
    format!("{}.{:0digits$}", minor / scale, minor % scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).expect("in ISO 4217")
    }

    #[test]
    fn a_header_names_known_columns_once_and_those_that_are_needed() {
        let header = |names: &[&str]| Header::read(&StringRecord::from(names.to_vec())).map(|h| h.width());
        assert_eq!(header(&["sku", "Price ", "product_key"]), Ok(3));
        for bad in [
            &["sku", "price"][..],
            &["sku", "price", "product_key", "sku"],
            &["sku", "price", "product_key", "colour"],
        ] {
            assert!(header(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn formulas_are_never_written_as_such() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1"] {
            let cell = guarded(formula);
            assert!(cell.starts_with('\''), "{formula:?}");
            assert_eq!(bare(&cell), formula);
        }
        assert_eq!((guarded("'tis"), bare("'tis")), ("'tis".to_owned(), "'tis"));
    }

    #[test]
    fn prices_are_read_to_the_cent_or_not_at_all() {
        let euros = |text| minor_of(text, currency("EUR"));
        assert_eq!(
            [euros("19.99"), euros("19.9"), euros("19"), euros("0.05")],
            [Some(1_999), Some(1_990), Some(1_900), Some(5)]
        );
        for bad in [
            "",
            ".",
            "1.",
            ".5",
            "1,50",
            "1.999",
            "-1",
            "1e3",
            "1 000",
            "99999999999999999999",
        ] {
            assert_eq!(euros(bad), None, "{bad:?}");
        }
        assert_eq!(minor_of("500", currency("JPY")), Some(500));
        assert_eq!(minor_of("500.0", currency("JPY")), None);
    }

    proptest! {
        #[test]
        fn what_is_guarded_is_read_back_and_begins_with_no_formula(text in "[='+\\-@\t\r\na-z ]{0,6}") {
            let cell = guarded(&text);
            prop_assert_eq!(bare(&cell), text.as_str());
            prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']));
        }

        #[test]
        fn a_price_is_read_back(minor in 0_i64..=100_000_000_000, code in prop::sample::select(vec!["EUR", "JPY", "KWD"])) {
            let currency = currency(code);
            prop_assert_eq!(minor_of(&decimal(minor, currency), currency), Some(minor));
        }
    }
}
