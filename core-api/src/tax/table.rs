//! The rates of all regions, read from the setting `tax_rules` at start.

use shared::config::Settings;
use shared::money::BasisPoints;

use super::TaxRule;
use crate::addresses::regions;
use crate::http::rules::is_country;
use crate::ledger::parts::Terms;

/// Rules at most: they are looked through for each checkout.
const RULES_MAX: usize = 1_000;

/// Rates by where things are sent. Cheap to look in, and empty unless configured.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TaxTable(Vec<Entry>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    country: String,
    /// Its code; `None`: all of the country that has no rule of its own.
    region: Option<&'static str>,
    rule: TaxRule,
}

/// What is taxed in a country depends on the region, and no rule is for this one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRule;

impl TaxTable {
    /// Reads the setting; what is wrong is left in `settings`, and then the answer is `None`.
    pub fn read(settings: &mut Settings) -> Option<Self> {
        let text = settings.or("tax_rules", String::new())?;
        match Self::parse(&text) {
            Ok(table) => Some(table),
            Err(problem) => {
                settings.fault("tax_rules", &problem);
                None
            }
        }
    }

    /// Reads rules that are parted by semicolons, each `COUNTRY[/region]:rate in basis
    /// points:included|added:goods|shipping|goods+shipping:platform|seller`, such as
    /// `DE:1900:included:goods+shipping:platform; US/CA:725:added:goods:seller`. Regions are
    /// those that addresses are kept with, by code or name: of other countries none is known.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut entries: Vec<Entry> = Vec::new();
        for rule in text.split(';').map(str::trim).filter(|rule| !rule.is_empty()) {
            let entry = parse_entry(rule).map_err(|problem| format!("{rule:?}: {problem}"))?;
            if entries
                .iter()
                .any(|e| e.country == entry.country && e.region == entry.region)
            {
                return Err(format!("{rule:?}: the region has a rule already"));
            }
            entries.push(entry);
        }
        if entries.len() > RULES_MAX {
            return Err(format!("{RULES_MAX} rules are the most"));
        }
        Ok(Self(entries))
    }

    /// The rule of an address: of its region, else of its country. Without any rule for the
    /// country there is no tax.
    ///
    /// # Errors
    /// Where the country has rules for regions alone, and none for this one; and where it has
    /// any, and the region is none that is known: it may be one with a rule.
    pub fn rule(&self, country: &str, region: &str) -> Result<Option<TaxRule>, NoRule> {
        let of_country = || self.0.iter().filter(|entry| entry.country == country);
        let of_all = of_country().find(|entry| entry.region.is_none());
        if of_country().all(|entry| entry.region.is_none()) {
            return Ok(of_all.map(|entry| entry.rule));
        }
        let region = regions::code(country, region).ok_or(NoRule)?;
        let closest = of_country().find(|entry| entry.region == Some(region)).or(of_all);
        closest.map(|entry| Some(entry.rule)).ok_or(NoRule)
    }
}

fn parse_entry(text: &str) -> Result<Entry, &'static str> {
    let mut parts = text.split(':').map(str::trim);
    let mut next = || parts.next().unwrap_or_default();
    let (place, rate, how, of, who) = (next(), next(), next(), next(), next());
    if parts.next().is_some() {
        return Err("has more than five parts");
    }
    let (country, region) = place.split_once('/').map_or((place, None), |(c, r)| (c, Some(r)));
    if is_country(country, &()).is_err() {
        return Err("begins with no country's two letters");
    }
    let region = match region {
        Some(name) => Some(regions::code(country, name).ok_or("the region is none of AU, CA or US that is known")?),
        None => None,
    };
    let rate = rate.parse().ok().and_then(BasisPoints::new);
    let rate = rate.ok_or("the rate is no number of basis points up to 10000")?;
    let tax_included = match how {
        "included" => true,
        "added" => false,
        _ => return Err("the tax is either included or added"),
    };
    let (goods, shipping) = match of {
        "goods" => (true, false),
        "shipping" => (false, true),
        "goods+shipping" => (true, true),
        _ => return Err("the tax is of goods, shipping or goods+shipping"),
    };
    let seller_remits = match who {
        "platform" => false,
        "seller" => true,
        _ => return Err("it is remitted by the platform or the seller"),
    };
    Ok(Entry {
        country: country.to_owned(),
        region,
        rule: TaxRule {
            rate,
            goods,
            shipping,
            terms: Terms {
                tax_included,
                seller_remits,
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_its_own_rule_or_its_countrys_or_none() {
        let text =
            "US:0:added:goods:seller; US/California:725:added:goods:seller; DE:1900:included:goods+shipping:platform;";
        let table = TaxTable::parse(text).expect("rules");
        let rate = |country, region| {
            let rule = table.rule(country, region)?;
            Ok(rule.map(|rule| rule.rate.get()))
        };
        assert_eq!(rate("US", "CA"), Ok(Some(725)));
        assert_eq!(rate("US", " california"), Ok(Some(725)));
        assert_eq!(rate("US", "OR"), Ok(Some(0)));
        assert_eq!(
            rate("US", "Calif."),
            Err(NoRule),
            "it may be one with a rule of its own"
        );
        assert_eq!(rate("DE", ""), Ok(Some(1_900)));
        assert_eq!(rate("FR", "CA"), Ok(None));
        let rule = table.rule("DE", "Bayern").expect("regions make no difference");
        assert!(rule.is_some_and(|rule| rule.shipping && rule.terms.tax_included));
        assert_eq!(TaxTable::parse("").expect("no rules"), TaxTable::default());
    }

    #[test]
    fn where_regions_have_rules_the_others_are_not_untaxed_by_oversight() {
        let table =
            TaxTable::parse("US/CA:725:added:goods:seller; CA/Ontario:1300:added:goods:platform").expect("rules");
        assert_eq!(table.rule("US", "OR"), Err(NoRule));
        assert_eq!(table.rule("US", ""), Err(NoRule));
        assert!(table.rule("CA", "ON").is_ok_and(|rule| rule.is_some()));
        assert_eq!(table.rule("AU", "NSW"), Ok(None));
    }

    #[test]
    fn a_rule_that_is_none_is_named() {
        for bad in [
            "Germany:1900:included:goods:platform",
            "DE:20000:included:goods:platform",
            "DE:1900:within:goods:platform",
            "DE:1900:included:all:platform",
            "DE:1900:included:goods",
            "DE/:1900:included:goods:platform",
            "DE/Bayern:1900:included:goods:platform",
            "US/Calif.:725:added:goods:seller",
            "US/CA:725:added:goods:seller; US/California:700:added:goods:seller",
            "DE:1900:included:goods:platform:x",
            "DE:1:added:goods:seller; DE:2:added:goods:seller",
        ] {
            assert!(TaxTable::parse(bad).is_err(), "{bad}");
        }
    }
}
