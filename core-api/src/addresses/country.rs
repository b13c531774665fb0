//! What an address needs, by country: that the country is one, that a postal code has the
//! form it has there, and that there is a region where nothing arrives without. Basics
//! only: whether a street is there, its carrier knows.

use super::regions;

/// ISO 3166-1 alpha-2, and `XK`, which is not in it and has post all the same.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR \
    BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET \
    FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ \
    IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML \
    MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS \
    PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL \
    TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";

/// Where there are none, or most places have none.
const WITHOUT_POSTAL_CODES: &str = "AE AG AO AW BI BJ BO BS BW BZ CD CF CG CI CK CM CW DJ DM ER FJ GA GD GH GM GQ GY \
    HK IE JM KI KM KN KP LC LY ML MO MR MW NR NU PA QA RW SB SC SL SR SS ST SX SY TD TF TG TK TL TO TV TZ UG VU YE ZW";

/// Forms of postal codes, without the spaces and hyphens that people write or leave out:
/// `9` is a digit, `A` a letter.
const FORMS: &[(&str, &[&str])] = &[
    ("AT", &["9999"]),
    ("AU", &["9999"]),
    ("BE", &["9999"]),
    ("BG", &["9999"]),
    ("BR", &["99999999"]),
    ("CA", &["A9A9A9"]),
    ("CH", &["9999"]),
    ("CN", &["999999"]),
    ("CY", &["9999"]),
    ("CZ", &["99999"]),
    ("DE", &["99999"]),
    ("DK", &["9999", "AA9999"]),
    ("EE", &["99999"]),
    ("ES", &["99999"]),
    ("FI", &["99999"]),
    ("FR", &["99999"]),
    ("GB", &["A99AA", "A999AA", "AA99AA", "AA999AA", "A9A9AA", "AA9A9AA"]),
    ("GR", &["99999"]),
    ("HR", &["99999"]),
    ("HU", &["9999"]),
    ("IN", &["999999"]),
    ("IT", &["99999"]),
    ("JP", &["9999999"]),
    ("KR", &["99999"]),
    ("LT", &["99999", "AA99999"]),
    ("LU", &["9999", "A9999"]),
    ("LV", &["9999", "AA9999"]),
    ("MX", &["99999"]),
    ("NL", &["9999AA"]),
    ("NO", &["9999"]),
    ("NZ", &["9999"]),
    ("PL", &["99999"]),
    ("PT", &["9999999"]),
    ("RO", &["999999"]),
    ("SE", &["99999", "AA99999"]),
    ("SG", &["999999"]),
    ("SI", &["9999", "AA9999"]),
    ("SK", &["99999"]),
    ("TR", &["99999"]),
    ("UA", &["99999"]),
    ("US", &["99999", "999999999"]),
    ("ZA", &["9999"]),
];

/// What is wrong with an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    /// The field.
    pub field: &'static str,
    /// In words.
    pub problem: String,
}

impl Fault {
    const fn of(field: &'static str, problem: String) -> Self {
        Self { field, problem }
    }
}

fn lists(codes: &str, country: &str) -> bool {
    codes.split_whitespace().any(|code| code == country)
}

/// Checks what hangs on the country. The answer is the region as it is kept: by its code
/// where those of the country are known, else as it is written.
pub(super) fn check<'a>(country: &str, region: &'a str, postal_code: &str) -> Result<&'a str, Fault> {
    if !lists(COUNTRIES, country) {
        let problem = format!("{country} is no country's code (ISO 3166-1)");
        return Err(Fault::of("country", problem));
    }
    let region = check_region(country, region.trim())?;
    check_postal_code(country, postal_code)?;
    Ok(region)
}

fn check_region<'a>(country: &str, region: &'a str) -> Result<&'a str, Fault> {
    let Some(((example, name), _)) = regions::of(country).and_then(|known| known.split_first()) else {
        return Ok(region);
    };
    if region.is_empty() {
        return Err(Fault::of(
            "region",
            format!("an address in {country} needs a state or province"),
        ));
    }
    regions::code(country, region).ok_or_else(|| {
        let problem = format!("is none of {country}: write its code or its name, such as {example} or {name}");
        Fault::of("region", problem)
    })
}

fn check_postal_code(country: &str, postal_code: &str) -> Result<(), Fault> {
    let fault = |problem| Err(Fault::of("postal_code", problem));
    let code: String = postal_code.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    if code.is_empty() {
        if lists(WITHOUT_POSTAL_CODES, country) {
            return Ok(());
        }
        return fault(format!("an address in {country} needs a postal code"));
    }
    let forms = FORMS.iter().find(|(of, _)| *of == country).map(|(_, forms)| *forms);
    match forms {
        Some(forms) if !forms.iter().any(|form| has_form(&code, form)) => {
            fault(format!("is no postal code of {country}"))
        }
        _ => Ok(()),
    }
}

fn has_form(code: &str, form: &str) -> bool {
    code.len() == form.len()
        && code.bytes().zip(form.bytes()).all(|(c, of)| match of {
            b'9' => c.is_ascii_digit(),
            _ => c.is_ascii_alphabetic(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(country: &str, region: &str, postal_code: &str) -> Option<&'static str> {
        check(country, region, postal_code).err().map(|fault| fault.field)
    }

    #[test]
    fn the_lists_are_sound() {
        assert_eq!(COUNTRIES.split_whitespace().count(), 250);
        let listed = FORMS.iter().map(|(country, _)| *country);
        for country in listed.chain(WITHOUT_POSTAL_CODES.split_whitespace()) {
            assert!(lists(COUNTRIES, country), "{country}");
        }
    }

    #[test]
    fn a_postal_code_has_its_countrys_form() {
        for (country, region, code) in [
            ("DE", "", "20457"),
            ("GB", "", "SW1A 1AA"),
            ("GB", "", "m11ae"),
            ("NL", "", "1012 AB"),
            ("PT", "", "1100-148"),
            ("US", "OR", "97201-1234"),
            ("CA", "ON", "K1A 0B1"),
            ("SE", "", "111 22"),
            // A country whose form is not known here takes any.
            ("MN", "", "14200"),
            // And one without postal codes none, or what somebody writes.
            ("HK", "", ""),
            ("AE", "", "00000"),
        ] {
            assert_eq!(field(country, region, code), None, "{country} {code}");
        }
        for (country, region, code, wrong) in [
            ("DE", "", "2045", "postal_code"),
            ("DE", "", "", "postal_code"),
            ("DE", "", "2045A", "postal_code"),
            ("NL", "", "1012", "postal_code"),
            ("US", "", "97201", "region"),
            ("US", "Oregano", "97201", "region"),
            ("US", "OR", "97201-12", "postal_code"),
            ("MN", "", "", "postal_code"),
            ("ZZ", "", "1", "country"),
            ("UK", "", "SW1A 1AA", "country"),
        ] {
            assert_eq!(field(country, region, code), Some(wrong), "{country} {code}");
        }
    }

    #[test]
    fn a_region_is_kept_by_its_code_where_that_is_known() {
        assert_eq!(check("US", " oregon ", "97201"), Ok("OR"));
        assert_eq!(check("DE", " Bayern ", "80331"), Ok("Bayern"));
        assert_eq!(check("DE", "", "80331"), Ok(""));
    }
}
