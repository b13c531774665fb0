//! Money: whole minor units and an ISO 4217 code. No floats, no conversion, and every
//! operation that could overflow or mix currencies says so.

use serde::{Deserialize, Serialize};

/// An ISO 4217 currency code, such as `EUR`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "EUR")]
pub struct Currency(iso_currency::Currency);

/// Why an amount cannot be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The operands are of different currencies.
    #[error("amounts of different currencies do not add")]
    CurrencyMismatch,
    /// The result does not fit 64 bits.
    #[error("amount out of range")]
    Overflow,
    /// Not an ISO 4217 code.
    #[error("not an ISO 4217 currency code")]
    UnknownCurrency,
}

impl Currency {
    /// Reads an upper-case ISO 4217 code.
    ///
    /// # Errors
    /// `UnknownCurrency` for anything else.
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        iso_currency::Currency::from_code(code)
            .map(Self)
            .ok_or(MoneyError::UnknownCurrency)
    }

    /// The three letters.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Digits after the point: 2 for EUR, 0 for JPY.
    #[must_use]
    pub fn exponent(self) -> u16 {
        self.0.exponent().unwrap_or(0)
    }
}

impl std::fmt::Display for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount in minor units (cents) of one currency.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Money {
    /// Minor units: 1999 is EUR 19.99.
    pub minor: i64,
    /// The currency they are units of.
    pub currency: Currency,
}

impl Money {
    /// `minor` units of `currency`.
    #[must_use]
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Nothing, of `currency`.
    #[must_use]
    pub const fn zero(currency: Currency) -> Self {
        Self { minor: 0, currency }
    }

    /// The sum.
    ///
    /// # Errors
    /// `CurrencyMismatch`, `Overflow`.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::CurrencyMismatch);
        }
        let minor = self.minor.checked_add(other.minor).ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// The difference.
    ///
    /// # Errors
    /// `CurrencyMismatch`, `Overflow`.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        let minor = other.minor.checked_neg().ok_or(MoneyError::Overflow)?;
        self.checked_add(Self { minor, ..other })
    }

    /// The amount `quantity` times.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn checked_mul(self, quantity: i64) -> Result<Self, MoneyError> {
        let minor = self.minor.checked_mul(quantity).ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// `rate` of the amount, rounded half up (away from zero) to whole minor units.
    #[must_use]
    pub fn rate(self, rate: BasisPoints) -> Self {
        let product = i128::from(self.minor) * i128::from(rate.0);
        let half = if product < 0 { -5_000 } else { 5_000 };
        // |minor| × rate ÷ 10,000 ≤ |minor|, because a rate is at most 10,000.
        let minor = i64::try_from((product + half) / 10_000).unwrap_or(i64::MAX);
        Self { minor, ..self }
    }

    /// Splits the amount in proportion to `weights` by largest remainder; ties go to the
    /// earlier part, so order the parts by id. The parts always sum to the amount.
    /// Without any weight the first part takes all.
    ///
    /// # Panics
    /// Never: `weights` may be empty, and then so is the result.
    #[must_use]
    pub fn split(self, weights: &[u64]) -> Vec<Self> {
        let Some(_) = weights.first() else { return Vec::new() };
        let total: i128 = weights.iter().map(|&w| i128::from(w)).sum();
        let weight = |i: usize| {
            if total == 0 {
                i128::from(i == 0)
            } else {
                i128::from(weights[i])
            }
        };
        let total = total.max(1);
        let amount = i128::from(self.minor.unsigned_abs());
        let mut parts: Vec<(usize, i128, i128)> = (0..weights.len())
            .map(|i| (i, amount * weight(i) / total, amount * weight(i) % total))
            .collect();
        let mut rest = amount - parts.iter().map(|(_, whole, _)| whole).sum::<i128>();
        parts.sort_by_key(|&(i, _, remainder)| (std::cmp::Reverse(remainder), i));
        for part in &mut parts {
            if rest == 0 {
                break;
            }
            part.1 += 1;
            rest -= 1;
        }
        parts.sort_by_key(|&(i, _, _)| i);
        let sign = self.minor.signum();
        parts
            .into_iter()
            .map(|(_, whole, _)| {
                // Each part is at most the amount, which fits.
                let minor = i64::try_from(whole).unwrap_or(i64::MAX) * sign;
                Self { minor, ..self }
            })
            .collect()
    }
}

/// Shows the amount as people write it: `19.99 EUR`.
impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = usize::from(self.currency.exponent());
        let scale = 10_u64.pow(u32::from(self.currency.exponent()));
        let (sign, abs) = (if self.minor < 0 { "-" } else { "" }, self.minor.unsigned_abs());
        if digits == 0 {
            return write!(f, "{sign}{abs} {}", self.currency);
        }
        write!(f, "{sign}{}.{:0digits$} {}", abs / scale, abs % scale, self.currency)
    }
}

/// A rate in hundredths of a percent, 0 to 10,000.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct BasisPoints(u16);

impl BasisPoints {
    /// `None` above 10,000 (a hundred percent).
    #[must_use]
    pub const fn new(value: u16) -> Option<Self> {
        if value <= 10_000 { Some(Self(value)) } else { None }
    }

    /// The number of basis points.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn eur(minor: i64) -> Money {
        Money::new(minor, Currency::parse("EUR").expect("EUR is in ISO 4217"))
    }

    #[test]
    fn half_a_cent_rounds_up_and_less_rounds_down() {
        let half = BasisPoints::new(5_000).expect("50 % is a rate");
        assert_eq!(eur(1).rate(half), eur(1));
        assert_eq!(eur(-1).rate(half), eur(-1));
        let third = BasisPoints::new(3_333).expect("33.33 % is a rate");
        assert_eq!(eur(1).rate(third), eur(0));
    }

    #[test]
    fn currencies_do_not_mix() {
        let yen = Money::new(1, Currency::parse("JPY").expect("JPY is in ISO 4217"));
        assert_eq!(eur(1).checked_add(yen), Err(MoneyError::CurrencyMismatch));
        assert_eq!(eur(i64::MAX).checked_add(eur(1)), Err(MoneyError::Overflow));
    }

    #[test]
    fn amounts_read_as_people_write_them() {
        assert_eq!(eur(-5).to_string(), "-0.05 EUR");
        assert_eq!(eur(123_456).to_string(), "1234.56 EUR");
        assert_eq!(
            Money::new(70, Currency::parse("JPY").expect("JPY")).to_string(),
            "70 JPY"
        );
    }

    proptest! {
        #[test]
        fn parts_always_sum_to_the_whole(minor in any::<i64>(), weights in prop::collection::vec(0_u64..1_000_000, 1..20)) {
            prop_assume!(minor != i64::MIN);
            let parts = eur(minor).split(&weights);
            prop_assert_eq!(parts.len(), weights.len());
            prop_assert_eq!(parts.iter().map(|p| i128::from(p.minor)).sum::<i128>(), i128::from(minor));
        }

        #[test]
        fn no_part_strays_from_its_share_by_a_unit(minor in 0_i64..1_000_000_000, weights in prop::collection::vec(0_u64..1_000_000, 1..20)) {
            let total: u64 = weights.iter().sum();
            prop_assume!(total > 0);
            for (part, weight) in eur(minor).split(&weights).iter().zip(&weights) {
                let exact = i128::from(minor) * i128::from(*weight);
                let off = (i128::from(part.minor) * i128::from(total) - exact).abs();
                prop_assert!(off < i128::from(total));
            }
        }

        #[test]
        fn a_rate_is_within_half_a_unit_of_exact(minor in -1_000_000_000_000_i64..1_000_000_000_000, bps in 0_u16..=10_000) {
            let rate = BasisPoints::new(bps).expect("in range");
            let exact = i128::from(minor) * i128::from(bps);
            let off = (i128::from(eur(minor).rate(rate).minor) * 10_000 - exact).abs();
            prop_assert!(off <= 5_000);
        }
    }
}
