//! Amounts as Stripe writes them: whole numbers of a currency's smallest unit, as ours are,
//! but for a few currencies (<https://docs.stripe.com/currencies>). Pure.

use shared::money::{Currency, Money};

use crate::payments::provider::ProviderError;

/// How many of Stripe's units are one of ours.
enum Scale {
    /// As many.
    Same,
    /// A hundred: Stripe writes them with two digits that are always nought.
    Hundred,
    /// A hundredth: Stripe writes them without the digits that ISO 4217 has.
    Hundredth,
    /// As many, and the last of three digits is always nought.
    Tens,
}

fn scale(currency: Currency) -> Scale {
    match currency.code() {
        "ISK" | "UGX" => Scale::Hundred,
        "MGA" => Scale::Hundredth,
        "BHD" | "JOD" | "KWD" | "OMR" | "TND" => Scale::Tens,
        _ => Scale::Same,
    }
}

/// An amount of ours as Stripe writes it, with the currency as it does; `None`: it has no
/// such amount.
#[must_use]
pub fn theirs(ours: Money) -> Option<(i64, String)> {
    let units = match scale(ours.currency) {
        Scale::Same => Some(ours.minor),
        Scale::Hundred => ours.minor.checked_mul(100),
        Scale::Hundredth => (ours.minor % 100 == 0).then_some(ours.minor / 100),
        Scale::Tens => (ours.minor % 10 == 0).then_some(ours.minor),
    };
    Some((units?, ours.currency.code().to_ascii_lowercase()))
}

/// An amount of Stripe's as we write it.
///
/// # Errors
/// When there is no such currency, or no such amount of it.
pub fn ours(units: i64, currency: &str) -> Result<Money, ProviderError> {
    let unreadable = || ProviderError::Failed(format!("it has an amount of {units} {currency:?}"));
    let currency = Currency::parse(&currency.to_ascii_uppercase()).map_err(|_| unreadable())?;
    let minor = match scale(currency) {
        Scale::Same | Scale::Tens => Some(units),
        Scale::Hundred => (units % 100 == 0).then_some(units / 100),
        Scale::Hundredth => units.checked_mul(100),
    };
    Ok(Money::new(minor.ok_or_else(unreadable)?, currency))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(minor: i64, code: &str) -> Money {
        Money::new(minor, Currency::parse(code).expect("a currency"))
    }

    #[test]
    fn amounts_are_written_as_stripe_documents_them() {
        for (minor, code, units) in [
            (1_999, "EUR", Some(1_999)),
            (500, "JPY", Some(500)),
            (5, "ISK", Some(500)),
            (5, "UGX", Some(500)),
            (500, "MGA", Some(5)),
            (501, "MGA", None),
            (5_120, "KWD", Some(5_120)),
            (5_124, "KWD", None),
            (i64::MAX, "ISK", None),
        ] {
            let written = theirs(money(minor, code)).map(|(units, _)| units);
            assert_eq!(written, units, "{minor} {code}");
        }
        assert_eq!(theirs(money(1, "EUR")).map(|(_, code)| code).as_deref(), Some("eur"));
        assert!(ours(1, "isk").is_err() && ours(1, "xyz").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(
            minor in 1..1_000_000_000_000_i64,
            code in prop::sample::select(vec!["EUR", "USD", "JPY", "KRW", "ISK", "UGX", "MGA", "KWD", "TND", "HUF"]),
        ) {
            if let Some((units, currency)) = theirs(money(minor, code)) {
                prop_assert_eq!(ours(units, &currency).expect("it can be read"), money(minor, code));
            }
        }
    }
}
