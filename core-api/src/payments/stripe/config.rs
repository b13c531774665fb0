//! What it takes to be a customer of Stripe's, read from the settings. Keys are never
//! written anywhere else: not to a log, not into an error.

use reqwest::Url;
use shared::config::{Secret, Settings};

use crate::payments::return_url::is_loopback;

/// Where Stripe is.
const API: &str = "https://api.stripe.com";

/// How Stripe is reached, and believed.
#[derive(Clone, Debug)]
pub struct StripeConfig {
    /// The secret or restricted key of the platform's account: `sk_…` or `rk_…`.
    pub secret_key: Secret,
    /// What Stripe signs the events with that it sends to this server: `whsec_…`.
    pub webhook_secret: Secret,
    /// Where it answers: Stripe itself, or a stand-in on this machine.
    pub api: Url,
}

impl StripeConfig {
    /// Whether the key is one under which no real money moves.
    #[must_use]
    pub fn is_testing(&self) -> bool {
        let key = self.secret_key.expose();
        key.starts_with("sk_test_") || key.starts_with("rk_test_")
    }

    /// Reads the settings; what is wrong is left in `settings`, and then the answer is
    /// `None`, as where Stripe is not wanted. Half of what it takes is a fault: a payment
    /// that nobody hears of, or events that nobody believes.
    pub fn read(settings: &mut Settings, is_wanted: bool) -> Option<Self> {
        let secret_key: Option<Secret> = settings.optional("stripe_secret_key");
        let webhook_secret: Option<Secret> = settings.optional("stripe_webhook_secret");
        let api = api(settings);
        if !is_wanted && secret_key.is_none() && webhook_secret.is_none() {
            return None;
        }
        let why = if is_wanted {
            "payment_provider is \"stripe\""
        } else {
            "Stripe's other secret is set"
        };
        let key = present(settings, ("stripe_secret_key", &["sk_", "rk_"]), secret_key, why);
        let webhook = present(settings, ("stripe_webhook_secret", &["whsec_"]), webhook_secret, why);
        Some(Self {
            secret_key: key?,
            webhook_secret: webhook?,
            api: api?,
        })
    }
}

/// A secret that must be there and look like one of its kind. It is not repeated.
fn present(
    settings: &mut Settings,
    (key, prefixes): (&str, &[&str]),
    secret: Option<Secret>,
    why: &str,
) -> Option<Secret> {
    let Some(secret) = secret else {
        settings.fault(key, &format!("is required, because {why}"));
        return None;
    };
    let of_its_kind = |prefix: &&str| {
        let rest = secret.expose().strip_prefix(prefix).unwrap_or_default();
        rest.len() >= 8 && rest.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !prefixes.iter().any(of_its_kind) {
        let kinds = prefixes.join("… or ");
        settings.fault(key, &format!("must be one that Stripe gave: {kinds}…"));
        return None;
    }
    Some(secret)
}

fn api(settings: &mut Settings) -> Option<Url> {
    let api: Url = settings.or("stripe_api", Url::parse(API).ok()?)?;
    let is_safe = api.scheme() == "https" || (api.scheme() == "http" && is_loopback(&api));
    if !is_safe || api.path() != "/" || api.query().is_some() || !api.username().is_empty() {
        settings.fault(
            "stripe_api",
            "must be https:// and a host, or http:// on this machine's own address",
        );
        return None;
    }
    Some(api)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: (&str, &str) = ("stripe_secret_key", "sk_test_0123456789");
    const WEBHOOKS: (&str, &str) = ("stripe_webhook_secret", "whsec_0123456789");

    fn faults<const N: usize>(pairs: [(&str, &str); N], is_wanted: bool) -> Vec<String> {
        let mut settings = Settings::from_pairs(pairs);
        let read = StripeConfig::read(&mut settings, is_wanted);
        let was_read = read.is_some();
        let faults = settings.finish(Some(())).err().map_or(Vec::new(), |error| error.0);
        assert!(!was_read || faults.is_empty());
        faults
            .into_iter()
            .map(|fault| format!("{}: {}", fault.key, fault.problem))
            .collect()
    }

    #[test]
    fn half_a_configuration_is_refused_and_names_the_other_half() {
        let missing = faults([KEY], true);
        assert_eq!(
            missing,
            ["stripe_webhook_secret: is required, because payment_provider is \"stripe\""]
        );
        assert_eq!(faults([], true).len(), 2);
        let other = faults([WEBHOOKS], false);
        assert_eq!(
            other,
            ["stripe_secret_key: is required, because Stripe's other secret is set"]
        );
        assert_eq!(faults([], false), [""; 0]);
        assert_eq!(faults([KEY, WEBHOOKS], true), [""; 0]);
        assert_eq!(faults([KEY, WEBHOOKS], false), [""; 0]);
    }

    #[test]
    fn a_key_of_another_kind_is_refused_and_not_repeated() {
        for bad in ["pk_test_0123456789", "sk_short", "sk_test 012345", "whsec_0123456789"] {
            let told = faults([("stripe_secret_key", bad), WEBHOOKS], true);
            assert_eq!(told.len(), 1, "{bad}");
            assert!(!told[0].contains(bad), "{told:?}");
        }
    }

    #[test]
    fn secrets_go_over_tls_or_stay_on_this_machine() {
        let with = |api| faults([KEY, WEBHOOKS, ("stripe_api", api)], true);
        for good in [
            "https://api.stripe.com",
            "http://127.0.0.1:8420",
            "http://[::1]:1/",
            "http://localhost:1",
        ] {
            assert_eq!(with(good), [""; 0], "{good}");
        }
        for bad in [
            "http://api.stripe.com",
            "ftp://127.0.0.1",
            "https://a@b.example",
            "https://b.example/v1",
            "x",
        ] {
            assert_eq!(with(bad).len(), 1, "{bad}");
        }
    }
}
