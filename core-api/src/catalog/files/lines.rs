//! A file as lines that can be applied, or say what is wrong with them. Pure.
//!
//! One line is one variant. Lines of one key are one product: what they say of the product
//! may stand on any of them, and must agree. What is left blank stays as it is.

use std::collections::HashMap;
use std::sync::Arc;

use actix_web::web::Bytes;
use csv::{ReaderBuilder, StringRecord};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};
use shared::error::{ErrorCode, Refusal};
use shared::money::Currency;
use shared::status::ProductStatus;
use uuid::Uuid;

use super::table::{Column, Header, LINES_MAX, minor_of};
use crate::catalog::products::input::{PRICE_MAX, STOCK_MAX, VARIANTS_MAX, is_key, options_fit};
use crate::catalog::products::model::Options;
use crate::catalog::products::variants::Count;
use crate::http::Result as HttpResult;
use crate::http::rules::{is_picture, prose, shown};

/// A line, and what it says or what is wrong with it.
#[derive(Debug)]
pub struct Line {
    /// Its number as a spreadsheet shows it: the header is 1.
    pub number: i32,
    /// Its SKU, as far as there is one.
    pub sku: String,
    /// What it says.
    pub says: Result<Says, Refusal>,
}

/// What a line says.
#[derive(Clone, Debug)]
pub struct Says {
    /// Which product.
    pub key: String,
    /// What all lines of the product say of it; theirs together, because a description is
    /// long and lines are many.
    pub product: Arc<ProductSays>,
    /// The options, in their order.
    pub options: Vec<(String, String)>,
    /// The price, in minor units.
    pub price_minor: i64,
    /// What it cost before, in minor units.
    pub compare_at_minor: Option<i64>,
    /// Units in the shop's hands.
    pub stock: Option<Count>,
}

impl Says {
    /// The options by name.
    #[must_use]
    pub fn placed(&self) -> Options {
        self.options.iter().cloned().collect()
    }
}

/// What lines say of a product.
#[derive(Clone, Debug, Default)]
pub struct ProductSays {
    /// Its title.
    pub title: Option<String>,
    /// What it is.
    pub description: Option<String>,
    /// Its category's slug.
    pub category: Option<String>,
    /// Its shipping profile's name.
    pub shipping_profile: Option<String>,
    /// Its picture.
    pub image_url: Option<String>,
    /// Its status.
    pub status: Option<ProductStatus>,
}

/// [`read`] on a thread for what takes long, so that nobody whose request is on this one
/// waits for a large file.
///
/// # Errors
/// As [`read`].
pub async fn read_aside(file: Bytes, currency: Currency) -> HttpResult<Vec<Line>> {
    let reading = tokio::task::spawn_blocking(move || read(&file, currency));
    Ok(reading.await.map_err(anyhow::Error::new)??)
}

/// Reads a file.
///
/// # Errors
/// `InvalidBody` for what is no table of products, or has no lines or too many.
pub fn read(file: &[u8], currency: Currency) -> Result<Vec<Line>, Refusal> {
    let refused = |detail: String| Refusal::new(ErrorCode::InvalidBody, detail);
    // What spreadsheets put in front of UTF-8.
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    if std::str::from_utf8(file).is_err() {
        return Err(refused("the file is not UTF-8".to_owned()));
    }
    let mut reader = ReaderBuilder::new().flexible(true).has_headers(false).from_reader(file);
    let mut records = reader.records();
    let first = records.next().transpose().map_err(|e| refused(e.to_string()))?;
    let first = first.ok_or_else(|| refused("the file is empty".to_owned()))?;
    let header = Header::read(&first)?;
    let mut number = 1 + blank_lines(file, &first);
    let mut lines = Vec::new();
    for record in records {
        if lines.len() == LINES_MAX {
            return Err(refused(format!("{LINES_MAX} lines are the most")));
        }
        let record = record.map_err(|e| refused(e.to_string()))?;
        number += 1 + blank_lines(file, &record);
        lines.push(Line {
            number,
            sku: header
                .cell(&record, Column::Sku)
                .unwrap_or_default()
                .chars()
                // It is shown in the report, whatever the line says; Postgres takes no NUL.
                .filter(|c| !c.is_control())
                .take(64)
                .collect(),
            says: says(&header, &record, currency),
        });
    }
    if lines.is_empty() {
        return Err(refused("there is no line below the header".to_owned()));
    }
    each_sku_once(&mut lines);
    agree(&mut lines);
    Ok(lines)
}

/// Blank lines before a record, which the reader passes over and a spreadsheet shows.
fn blank_lines(file: &[u8], record: &StringRecord) -> i32 {
    let at = record.position().map_or(0, csv::Position::byte);
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    let before = file.get(..at).unwrap_or_default();
    let mut rest = file.get(at..).unwrap_or_default();
    if before.ends_with(b"\r") {
        // The second half of what ended the record before.
        rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    }
    let mut blank = 0;
    while let Some(after) = [b"\r\n".as_slice(), b"\n", b"\r"]
        .iter()
        .find_map(|end| rest.strip_prefix(*end))
    {
        rest = after;
        blank += 1;
    }
    blank
}

fn wrong(column: &str, detail: impl std::fmt::Display) -> Refusal {
    Refusal::new(ErrorCode::InvalidBody, detail.to_string()).at(column.to_owned())
}

fn says(header: &Header, record: &StringRecord, currency: Currency) -> Result<Says, Refusal> {
    if record.len() != header.width() {
        let detail = format!("has {} cells and not {}", record.len(), header.width());
        return Err(Refusal::new(ErrorCode::InvalidBody, detail));
    }
    let cell = |column| header.cell(record, column);
    let text = |name: &'static str, column, rule: &dyn Fn(&str, &()) -> garde::Result| match cell(column) {
        Some(text) => rule(&text, &())
            .map(|()| Some(text))
            .map_err(|e| wrong(name, e.message())),
        None => Ok(None),
    };
    let needed = |name: &'static str| move || wrong(name, "is missing");
    let key_rule = |key: &str, (): &()| match key.parse::<Uuid>() {
        Ok(_) => Ok(()),
        Err(_) => is_key(key, &()),
    };
    let key = text("product_key", Column::ProductKey, &key_rule)?.ok_or_else(needed("product_key"))?;
    text("sku", Column::Sku, &shown(1, 64))?.ok_or_else(needed("sku"))?;
    let product = ProductSays {
        title: text("title", Column::Title, &shown(1, 120))?,
        description: text("description", Column::Description, &prose(10_000))?,
        category: text("category", Column::Category, &shown(1, 60))?,
        shipping_profile: text("shipping_profile", Column::ShippingProfile, &shown(1, 60))?,
        image_url: text("image_url", Column::ImageUrl, &is_picture)?,
        status: cell(Column::Status).map(|text| status(&text)).transpose()?,
    };
    let price = |name: &'static str, column| match cell(column) {
        Some(text) => match minor_of(&text, currency) {
            Some(minor) if minor <= PRICE_MAX => Ok(Some(minor)),
            _ => Err(wrong(
                name,
                format_args!("is no price in {currency}, such as {}", example(currency)),
            )),
        },
        None => Ok(None),
    };
    let price_minor = price("price", Column::Price)?.ok_or_else(needed("price"))?;
    let compare_at_minor = price("compare_at_price", Column::CompareAtPrice)?;
    if compare_at_minor.is_some_and(|minor| minor < price_minor) {
        return Err(wrong("compare_at_price", "must not be less than the price"));
    }
    let units = |name: &'static str, column| match cell(column).map(|text| text.parse()) {
        None => Ok(None),
        Some(Ok(units @ 0..=STOCK_MAX)) => Ok(Some(units)),
        Some(_) => Err(wrong(name, format_args!("is a whole number up to {STOCK_MAX}"))),
    };
    let was = units("on_hand_was", Column::OnHandWas)?;
    let stock = units("on_hand", Column::OnHand)?.map(|units| Count { units, was });
    Ok(Says {
        key,
        product: Arc::new(product),
        options: options(header, record)?,
        price_minor,
        compare_at_minor,
        stock,
    })
}

fn example(currency: Currency) -> &'static str {
    if currency.exponent() == 0 { "1999" } else { "19.99" }
}

fn status(text: &str) -> Result<ProductStatus, Refusal> {
    let name: StrDeserializer<'_, ValueError> = text.into_deserializer();
    ProductStatus::deserialize(name).map_err(|_| wrong("status", "is draft, active or archived"))
}

fn options(header: &Header, record: &StringRecord) -> Result<Vec<(String, String)>, Refusal> {
    let mut options = Vec::new();
    for i in 0..3 {
        let name = header.cell(record, Column::OptionName(i));
        let value = header.cell(record, Column::OptionValue(i));
        match (name, value) {
            (Some(name), Some(value)) => options.push((name, value)),
            (None, None) => {}
            _ => {
                return Err(wrong(
                    &format!("option{}_value", i + 1),
                    "an option has a name and a value",
                ));
            }
        }
    }
    let placed: Options = options.iter().cloned().collect();
    if placed.len() != options.len() {
        return Err(wrong("option2_name", "an option is named twice"));
    }
    options_fit(&placed, &()).map_err(|error| wrong("option1_name", error.message()))?;
    Ok(options)
}

/// Of lines with one SKU the first counts.
fn each_sku_once(lines: &mut [Line]) {
    let mut first: HashMap<String, i32> = HashMap::new();
    for line in lines.iter_mut().filter(|line| line.says.is_ok()) {
        if let Some(number) = first.get(&line.sku) {
            line.says = Err(wrong("sku", format_args!("is on line {number} already")));
        } else {
            first.insert(line.sku.clone(), line.number);
        }
    }
}

/// What is known of a product so far.
#[derive(Default)]
struct Known {
    /// The number of its first line.
    first: i32,
    lines: usize,
    says: ProductSays,
}

/// All good lines of a key say the same of their product: what one of them leaves blank,
/// another may say, and who says otherwise than the first is refused. So are lines beyond
/// what a product may have.
fn agree(lines: &mut [Line]) {
    let mut products: HashMap<String, Known> = HashMap::new();
    for line in lines.iter_mut() {
        let Ok(says) = &line.says else { continue };
        let known = products.entry(says.key.clone()).or_insert_with(|| Known {
            first: line.number,
            ..Known::default()
        });
        known.lines += 1;
        if known.lines > VARIANTS_MAX {
            let detail = format_args!("{VARIANTS_MAX} variants are the most, and lines of one product");
            line.says = Err(wrong("product_key", detail));
        } else if let Err(column) = known.says.take(&says.product) {
            let detail = format_args!("another line from {} on says otherwise", known.first);
            line.says = Err(wrong(column, detail));
        }
    }
    let products: HashMap<String, Arc<ProductSays>> = products
        .into_iter()
        .map(|(key, known)| (key, Arc::new(known.says)))
        .collect();
    for line in lines.iter_mut() {
        if let Ok(says) = &mut line.says
            && let Some(known) = products.get(&says.key)
        {
            says.product = known.clone();
        }
    }
}

impl ProductSays {
    /// Takes what is not known yet; all of it or, when something is known otherwise,
    /// nothing and its column.
    fn take(&mut self, other: &Self) -> Result<(), &'static str> {
        fn differs<T: PartialEq>(known: Option<&T>, said: Option<&T>) -> bool {
            matches!((known, said), (Some(known), Some(said)) if known != said)
        }
        let columns = [
            ("title", differs(self.title.as_ref(), other.title.as_ref())),
            (
                "description",
                differs(self.description.as_ref(), other.description.as_ref()),
            ),
            ("category", differs(self.category.as_ref(), other.category.as_ref())),
            (
                "shipping_profile",
                differs(self.shipping_profile.as_ref(), other.shipping_profile.as_ref()),
            ),
            ("image_url", differs(self.image_url.as_ref(), other.image_url.as_ref())),
            ("status", differs(self.status.as_ref(), other.status.as_ref())),
        ];
        if let Some((column, _)) = columns.into_iter().find(|(_, differs)| *differs) {
            return Err(column);
        }
        self.title = self.title.take().or_else(|| other.title.clone());
        self.description = self.description.take().or_else(|| other.description.clone());
        self.category = self.category.take().or_else(|| other.category.clone());
        self.shipping_profile = self.shipping_profile.take().or_else(|| other.shipping_profile.clone());
        self.image_url = self.image_url.take().or_else(|| other.image_url.clone());
        self.status = self.status.or(other.status);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<Line> {
        read(text.as_bytes(), Currency::parse("EUR").expect("EUR")).expect("a table")
    }

    fn faults(text: &str) -> Vec<Option<String>> {
        let field = |refusal: &Refusal| refusal.field.clone().unwrap_or_default().into_owned();
        lines(text)
            .iter()
            .map(|line| line.says.as_ref().err().map(field))
            .collect()
    }

    #[test]
    fn a_bad_line_says_which_column_and_leaves_the_others_alone() {
        let at = |column: &str| Some(column.to_owned());
        assert_eq!(
            faults(
                "product_key,sku,price,compare_at_price,on_hand,status,option1_name,option1_value\n\
                 MUG,M-1,19.99,,5,,,\n\
                 MUG,,19.99,,,,,\n\
                 MUG,M-2,19.999,,,,,\n\
                 MUG,M-3,5,4.99,,,,\n\
                 MUG,M-4,5,,-1,,,\n\
                 MUG,M-5,5,,,gone,,\n\
                 MUG,M-6,5,,,,Colour,\n\
                 MUG,M-7\n\
                 MUG,M-1,5,,,,,\n"
            ),
            [
                None,
                at("sku"),
                at("price"),
                at("compare_at_price"),
                at("on_hand"),
                at("status"),
                at("option1_value"),
                at(""),
                at("sku")
            ]
        );
    }

    #[test]
    fn lines_of_one_product_complete_each_other_and_must_agree() {
        let lines = lines("product_key,title,sku,price\nMUG,,A,1\nMUG,Mug,B,1\nMUG,Cup,C,1\nPAN,Pan,D,1\n");
        let titles: Vec<_> = lines
            .iter()
            .map(|line| line.says.as_ref().ok().and_then(|says| says.product.title.as_deref()))
            .collect();
        assert_eq!(titles, [Some("Mug"), Some("Mug"), None, Some("Pan")]);
        assert!(lines[2].says.is_err());
        assert_eq!(lines[3].number, 5);
    }

    #[test]
    fn a_description_is_kept_once_however_many_lines_its_product_has() {
        let mut file = format!("product_key,description,sku,price\nMUG,{},S-0,1\n", "x".repeat(10_000));
        for i in 1..=VARIANTS_MAX {
            file.push_str(&format!("MUG,,S-{i},1\n"));
        }
        let lines = lines(&file);
        let (last, fit) = lines.split_last().expect("lines");
        let says: Vec<_> = fit
            .iter()
            .map(|line| &line.says.as_ref().expect("good").product)
            .collect();
        assert_eq!(
            (says.len(), says[0].description.as_ref().map(String::len)),
            (VARIANTS_MAX, Some(10_000))
        );
        assert!(says.iter().all(|product| Arc::ptr_eq(product, says[0])));
        let beyond = last.says.as_ref().expect_err("more lines than a product has variants");
        assert_eq!(beyond.field.as_deref(), Some("product_key"));
    }

    #[test]
    fn a_line_has_the_number_that_a_spreadsheet_shows() {
        for end in ["\n", "\r\n", "\r"] {
            let file =
                "product_key,description,sku,price\nA,,A,1\n\n\nB,\"two\nlines\",B,1\nC,,C,1\n".replace('\n', end);
            let numbers: Vec<_> = lines(&file).iter().map(|line| line.number).collect();
            assert_eq!(numbers, [2, 5, 6], "{end:?}");
        }
        assert_eq!(lines("\n\nproduct_key,sku,price\nA,A,1\n")[0].number, 4);
    }

    #[test]
    fn what_is_no_table_is_refused_whole() {
        let refused = |file: &[u8]| read(file, Currency::parse("EUR").expect("EUR")).is_err();
        assert!(refused(b""));
        assert!(refused(b"product_key,sku,price\n"));
        assert!(refused(b"product_key,sku,price\n\xff,a,1\n"));
        let mut long = "product_key,sku,price\n".to_owned();
        long.push_str(&"K,S,1\n".repeat(LINES_MAX + 1));
        assert!(refused(long.as_bytes()));
        assert!(
            !refused(b"\xef\xbb\xbfproduct_key,sku,price\nK,S,1\n"),
            "a byte order mark is no matter"
        );
    }
}
