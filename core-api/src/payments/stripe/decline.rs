//! What Stripe's many codes come to in our few, which apps can rely on. Pure. Codes that
//! would tell a thief something about a card that is not theirs are all `card_declined`,
//! as Stripe asks for (<https://docs.stripe.com/declines/codes>).

/// Why a payment was declined.
#[must_use]
pub fn meaning(code: &str, decline_code: &str) -> &'static str {
    match (code, decline_code) {
        (_, "insufficient_funds" | "withdrawal_count_limit_exceeded") => "insufficient_funds",
        ("expired_card", _) | (_, "expired_card") => "expired_card",
        ("incorrect_cvc" | "invalid_cvc", _) | (_, "incorrect_cvc" | "invalid_cvc") => "incorrect_cvc",
        ("processing_error", _) | (_, "processing_error" | "try_again_later" | "reenter_transaction") => {
            "processing_error"
        }
        ("payment_intent_authentication_failure" | "authentication_required", _) | (_, "authentication_required") => {
            "authentication_failed"
        }
        _ => "card_declined",
    }
}

/// Why a payment could not even be begun.
#[must_use]
pub fn of_request(code: &str, param: &str) -> &'static str {
    match (code, param) {
        ("amount_too_small" | "amount_too_large", _) | (_, "amount" | "currency") => "amount_not_accepted",
        _ if param.starts_with("payment_method") => "invalid_token",
        ("resource_missing" | "payment_method_unactivated", _) => "invalid_token",
        // What it is not is our request: that is always the same.
        _ => meaning(code, ""),
    }
}

/// Why money did not go back.
#[must_use]
pub fn of_refund(reason: Option<&str>) -> &'static str {
    match reason {
        Some("lost_or_stolen_card" | "expired_or_canceled_card") => "card_closed",
        Some("charge_for_pending_refund_disputed") => "disputed",
        Some("insufficient_funds") => "insufficient_funds",
        Some("declined") => "card_declined",
        Some("merchant_request") => "cancelled",
        _ => "refund_failed",
    }
}

/// Whether a refusal to refund is final under this id, and why: it was carried out by
/// nobody, and would be refused again.
#[must_use]
pub fn refund_refused(code: &str, param: &str) -> Option<&'static str> {
    match (code, param) {
        ("charge_already_refunded", _) => Some("already_refunded"),
        ("charge_disputed" | "refund_disputed_payment", _) => Some("disputed"),
        ("charge_not_refundable", _) => Some("not_refundable"),
        ("amount_too_small" | "amount_too_large", _) | (_, "amount") => Some("amount_too_large"),
        _ => None,
    }
}

/// The same of a transfer to a shop's account.
#[must_use]
pub fn transfer_refused(code: &str, param: &str) -> Option<&'static str> {
    match (code, param) {
        ("balance_insufficient" | "insufficient_funds", _) => Some("balance_insufficient"),
        ("transfers_not_allowed" | "account_closed" | "account_invalid", _) | (_, "destination") => {
            Some("account_closed")
        }
        ("amount_too_small" | "amount_too_large", _) | (_, "amount" | "currency") => Some("amount_not_accepted"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decline_is_one_of_a_few() {
        for (code, decline_code, ours) in [
            ("card_declined", "insufficient_funds", "insufficient_funds"),
            ("expired_card", "", "expired_card"),
            ("incorrect_cvc", "incorrect_cvc", "incorrect_cvc"),
            ("processing_error", "", "processing_error"),
            ("payment_intent_authentication_failure", "", "authentication_failed"),
            ("card_declined", "authentication_required", "authentication_failed"),
            ("card_declined", "generic_decline", "card_declined"),
            ("card_declined", "stolen_card", "card_declined"),
            ("card_declined", "fraudulent", "card_declined"),
            ("", "", "card_declined"),
        ] {
            assert_eq!(meaning(code, decline_code), ours, "{code} {decline_code}");
        }
    }

    #[test]
    fn what_is_not_known_to_be_final_is_not() {
        assert_eq!(refund_refused("charge_already_refunded", ""), Some("already_refunded"));
        assert_eq!(refund_refused("", "amount"), Some("amount_too_large"));
        assert_eq!(refund_refused("resource_missing", "payment_intent"), None);
        assert_eq!(refund_refused("parameter_unknown", "metadata"), None);
        assert_eq!(
            transfer_refused("balance_insufficient", ""),
            Some("balance_insufficient")
        );
        assert_eq!(
            transfer_refused("resource_missing", "destination"),
            Some("account_closed")
        );
        assert_eq!(transfer_refused("parameter_unknown", "transfer_group"), None);
    }
}
