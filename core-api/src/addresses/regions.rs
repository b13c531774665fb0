//! States, provinces and territories, of the countries where nothing arrives without one, by
//! the codes that their posts use. Tax hangs on them, so that each is kept in one spelling.
//! Facts only: what an address needs, `country` says.

/// Code and English name; a code stands again for each further name that is in use.
type Regions = &'static [(&'static str, &'static str)];

const AU: Regions = &[
    ("ACT", "Australian Capital Territory"),
    ("NSW", "New South Wales"),
    ("NT", "Northern Territory"),
    ("QLD", "Queensland"),
    ("SA", "South Australia"),
    ("TAS", "Tasmania"),
    ("VIC", "Victoria"),
    ("WA", "Western Australia"),
];

const CA: Regions = &[
    ("AB", "Alberta"),
    ("BC", "British Columbia"),
    ("MB", "Manitoba"),
    ("NB", "New Brunswick"),
    ("NL", "Newfoundland and Labrador"),
    ("NS", "Nova Scotia"),
    ("NT", "Northwest Territories"),
    ("NU", "Nunavut"),
    ("ON", "Ontario"),
    ("PE", "Prince Edward Island"),
    ("QC", "Quebec"),
    ("QC", "Québec"),
    ("SK", "Saskatchewan"),
    ("YT", "Yukon"),
    ("YT", "Yukon Territory"),
];

const US: Regions = &[
    ("AK", "Alaska"),
    ("AL", "Alabama"),
    ("AR", "Arkansas"),
    ("AZ", "Arizona"),
    ("CA", "California"),
    ("CO", "Colorado"),
    ("CT", "Connecticut"),
    ("DC", "District of Columbia"),
    ("DC", "Washington, D.C."),
    ("DE", "Delaware"),
    ("FL", "Florida"),
    ("GA", "Georgia"),
    ("HI", "Hawaii"),
    ("IA", "Iowa"),
    ("ID", "Idaho"),
    ("IL", "Illinois"),
    ("IN", "Indiana"),
    ("KS", "Kansas"),
    ("KY", "Kentucky"),
    ("LA", "Louisiana"),
    ("MA", "Massachusetts"),
    ("MD", "Maryland"),
    ("ME", "Maine"),
    ("MI", "Michigan"),
    ("MN", "Minnesota"),
    ("MO", "Missouri"),
    ("MS", "Mississippi"),
    ("MT", "Montana"),
    ("NC", "North Carolina"),
    ("ND", "North Dakota"),
    ("NE", "Nebraska"),
    ("NH", "New Hampshire"),
    ("NJ", "New Jersey"),
    ("NM", "New Mexico"),
    ("NV", "Nevada"),
    ("NY", "New York"),
    ("OH", "Ohio"),
    ("OK", "Oklahoma"),
    ("OR", "Oregon"),
    ("PA", "Pennsylvania"),
    ("RI", "Rhode Island"),
    ("SC", "South Carolina"),
    ("SD", "South Dakota"),
    ("TN", "Tennessee"),
    ("TX", "Texas"),
    ("UT", "Utah"),
    ("VA", "Virginia"),
    ("VT", "Vermont"),
    ("WA", "Washington"),
    ("WI", "Wisconsin"),
    ("WV", "West Virginia"),
    ("WY", "Wyoming"),
    // What the post of the United States delivers to beside the states.
    ("AA", "Armed Forces Americas"),
    ("AE", "Armed Forces Europe"),
    ("AP", "Armed Forces Pacific"),
    ("AS", "American Samoa"),
    ("GU", "Guam"),
    ("MP", "Northern Mariana Islands"),
    ("PR", "Puerto Rico"),
    ("VI", "U.S. Virgin Islands"),
    ("VI", "United States Virgin Islands"),
    ("VI", "Virgin Islands"),
];

/// The regions of a country; `None`: nothing there hangs on them, and they are not known here.
#[must_use]
pub fn of(country: &str) -> Option<Regions> {
    match country {
        "AU" => Some(AU),
        "CA" => Some(CA),
        "US" => Some(US),
        _ => None,
    }
}

/// The code of a country's region that is written as its code, also with the country before
/// it (`US-CA`, ISO 3166-2), or as its English name; capitals, spaces and dots aside.
#[must_use]
pub fn code(country: &str, text: &str) -> Option<&'static str> {
    let regions = of(country)?;
    let text = text.trim();
    let after_country = text
        .split_once('-')
        .filter(|(before, _)| before.trim().eq_ignore_ascii_case(country));
    let wanted = folded(after_country.map_or(text, |(_, region)| region));
    let found = regions
        .iter()
        .find(|(code, name)| wanted == folded(code) || wanted == folded(name));
    found.map(|(code, _)| *code)
}

fn folded(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_and_names_are_told_apart() {
        for (country, count) in [("AU", 8), ("CA", 13), ("US", 59)] {
            let regions = of(country).expect("they are known");
            let codes: BTreeSet<_> = regions.iter().map(|(code, _)| code).collect();
            assert_eq!(codes.len(), count, "{country}");
            for (own, name) in regions {
                assert_eq!(code(country, own), Some(*own));
                assert_eq!(
                    code(country, name),
                    Some(*own),
                    "{name} is one region's name and nobody's code"
                );
            }
        }
        assert!(of("DE").is_none());
    }

    #[test]
    fn however_a_region_is_written_it_has_one_code() {
        for text in [
            "CA",
            "ca",
            " Ca ",
            "California",
            "CALIFORNIA",
            "us-ca",
            "US - California",
        ] {
            assert_eq!(code("US", text), Some("CA"), "{text}");
        }
        assert_eq!(code("US", "Washington DC"), Some("DC"));
        assert_eq!(code("US", "Washington"), Some("WA"));
        assert_eq!(code("CA", "QUÉBEC"), Some("QC"));
        assert_eq!(code("AU", "n.s.w."), Some("NSW"));
        for text in ["", "Calif.", "CA-CA", "Ontario", "-"] {
            assert_eq!(code("US", text), None, "{text}");
        }
        assert_eq!(code("DE", "Bayern"), None);
    }
}
