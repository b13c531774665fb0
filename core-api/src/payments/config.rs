//! Who moves the money, read from the settings.

use std::str::FromStr;

use shared::config::Settings;

use super::stripe::StripeConfig;

/// Who moves the money of what begins now, and who else may still have some of before: every
/// payment, refund and payout is carried on by whom it was begun with.
#[derive(Clone, Debug)]
pub enum Providers {
    /// The built-in test provider: no real money.
    Test {
        /// Stripe has some of before, or had.
        former: Option<StripeConfig>,
    },
    /// Stripe. The test provider is asked about what it has, and given nothing.
    Stripe(StripeConfig),
}

impl Default for Providers {
    fn default() -> Self {
        Self::Test { former: None }
    }
}

enum Chosen {
    Test,
    Stripe,
}

impl FromStr for Chosen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "test" => Ok(Self::Test),
            "stripe" => Ok(Self::Stripe),
            _ => Err("must be \"test\" or \"stripe\""),
        }
    }
}

impl Providers {
    /// Who it is, for whoever starts the program.
    #[must_use]
    pub fn in_words(&self) -> &'static str {
        match self {
            Self::Test { .. } => {
                "the test provider: no real money moves (payment_provider = \"stripe\" for real money)"
            }
            Self::Stripe(stripe) if stripe.is_testing() => "Stripe, with a test key: no real money moves",
            Self::Stripe(_) => "Stripe",
        }
    }

    /// Reads the settings; what is wrong is left in `settings`, and then the answer is
    /// `None`.
    pub fn read(settings: &mut Settings) -> Option<Self> {
        let chosen = settings.or("payment_provider", Chosen::Test)?;
        let is_wanted = matches!(chosen, Chosen::Stripe);
        let stripe = StripeConfig::read(settings, is_wanted);
        match chosen {
            Chosen::Test => Some(Self::Test { former: stripe }),
            Chosen::Stripe => stripe.map(Self::Stripe),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRIPE: [(&str, &str); 2] = [
        ("stripe_secret_key", "sk_test_0123456789"),
        ("stripe_webhook_secret", "whsec_0123456789"),
    ];

    #[test]
    fn the_test_provider_is_there_unless_stripe_is_chosen_whole() {
        let read = |pairs: &[(&str, &str)]| {
            let mut settings = Settings::default();
            for (key, value) in pairs {
                settings.set(key, *value);
            }
            let read = Providers::read(&mut settings);
            settings.finish(read)
        };
        assert!(matches!(read(&[]), Ok(Providers::Test { former: None })));
        assert!(matches!(read(&STRIPE), Ok(Providers::Test { former: Some(_) })));
        let chosen = ("payment_provider", "stripe");
        assert!(matches!(
            read(&[chosen, STRIPE[0], STRIPE[1]]),
            Ok(Providers::Stripe(_))
        ));
        let half = read(&[chosen, STRIPE[0]]).expect_err("half");
        assert!(half.to_string().contains("HAWKER_STRIPE_WEBHOOK_SECRET"), "{half}");
        assert!(!half.to_string().contains("sk_test"), "{half}");
        let other = read(&[("payment_provider", "cash")]).expect_err("another");
        assert!(other.to_string().contains("\"test\" or \"stripe\""), "{other}");
    }
}
