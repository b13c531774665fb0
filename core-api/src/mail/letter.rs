//! What is written to people: which letters there are, and their words. Pure; a link is
//! given, and the fragment that carries its token is never sent to a server by a browser,
//! so no log of a web server holds it.

use serde::{Deserialize, Serialize};
use shared::ids::{OrderId, ProductId, SellerId, StreamId, UserId};
use shared::notification::NotificationKind;

use crate::notifications::Names;

/// A letter that is to be written: the payload of an outbox row. It names what to look up
/// and holds no token.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "letter", rename_all = "snake_case")]
pub(crate) enum Letter {
    /// To the address that the person wants confirmed, with a link that confirms it.
    ConfirmEmail {
        /// Whose.
        user: UserId,
    },
    /// To the account of this address, if there is one, with a link that sets a password.
    ResetPassword {
        /// As it was asked for.
        email: String,
    },
    /// Says that the password is another.
    PasswordChanged {
        /// Whose.
        user: UserId,
    },
    /// Says to the address that the account had that it has another.
    EmailChanged {
        /// The old one.
        to: String,
    },
    /// Says that the account is gone.
    AccountDeleted {
        /// The address that it had.
        to: String,
    },
    /// Tells what a notification tells, to who wants that kind by mail.
    Notification {
        /// Whom.
        user: UserId,
        /// What it tells of.
        kind: NotificationKind,
        /// The shop that it concerns.
        seller: SellerId,
        /// The show.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stream: Option<StreamId>,
        /// The product.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        product: Option<ProductId>,
        /// The order.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<OrderId>,
        /// Why; empty: nothing was said.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
}

/// Where a link goes, and what it carries.
pub(crate) struct Link {
    /// Who gets it.
    pub to: String,
    /// Proves that whoever has it reads this mail. Good once.
    pub token: String,
}

/// A letter in words.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// The recipient's address.
    pub to: String,
    /// Its kind, for logs.
    pub kind: &'static str,
    /// The subject.
    pub subject: &'static str,
    /// The whole text, in lines of less than 1000 characters.
    pub text: String,
    /// The link in it, for whoever logs links on purpose.
    pub link: Option<String>,
}

impl Written {
    /// With a link that confirms an address.
    pub(super) fn confirm_email(link: &Link, public_url: &str) -> Self {
        let url = format!("{public_url}/account#confirm={}", link.token);
        Self {
            to: link.to.clone(),
            kind: "confirm_email",
            subject: "Confirm your e-mail address",
            text: format!(
                "Somebody, you most likely, gave this address for an account.\n\n\
                 Follow this link within 24 hours to confirm that it is yours, and sign in if\n\
                 you are asked to:\n\n  {url}\n\n\
                 Or enter this code: {}\n\n\
                 If it was not you, do nothing: without the link the address is not used.\n",
                link.token
            ),
            link: Some(url),
        }
    }

    /// With a link that sets a new password.
    pub(super) fn reset_password(link: &Link, public_url: &str) -> Self {
        let url = format!("{public_url}/account#reset={}", link.token);
        Self {
            to: link.to.clone(),
            kind: "reset_password",
            subject: "Choose a new password",
            text: format!(
                "Somebody, you most likely, asked for a new password for your account.\n\n\
                 Follow this link within 30 minutes to choose one:\n\n  {url}\n\n\
                 Or enter this code: {}\n\n\
                 You will be signed out everywhere. If it was not you, do nothing: your\n\
                 password stays as it is.\n",
                link.token
            ),
            link: Some(url),
        }
    }

    /// Says that the password is another.
    pub(super) fn password_changed(to: String) -> Self {
        Self {
            to,
            kind: "password_changed",
            subject: "Your password was changed",
            text: "The password of your account was changed a moment ago, and other sessions of\n\
                   it were ended.\n\n\
                   If it was not you, ask for a new password at once: the sign-in page has a link\n\
                   for it.\n"
                .to_owned(),
            link: None,
        }
    }

    /// Says that the account has another address.
    pub(super) fn email_changed(to: String) -> Self {
        Self {
            to,
            kind: "email_changed",
            subject: "Your account has another e-mail address",
            text: "Your account was given another e-mail address a moment ago. This one is not\n\
                   used any more.\n\n\
                   If it was not you, write to those who run this service.\n"
                .to_owned(),
            link: None,
        }
    }

    /// Says that the account is gone.
    pub(super) fn account_deleted(to: String) -> Self {
        Self {
            to,
            kind: "account_deleted",
            subject: "Your account is deleted",
            text: "Your account was deleted a moment ago, with your name, your addresses and your\n\
                   profile. Orders stay in the books with the address that each was sent to, as\n\
                   long as the law asks for it.\n\n\
                   This is the last letter to this address.\n"
                .to_owned(),
            link: None,
        }
    }

    /// Tells what a notification tells.
    pub(super) fn notification(to: String, kind: NotificationKind, names: &Names, reason: &str) -> Self {
        let shop = &names.shop_name;
        let stream = names.stream_title.as_deref().unwrap_or("a show");
        let product = names.product_title.as_deref().unwrap_or("a product");
        let order = match names.order_number {
            Some(number) => format!("order {number}"),
            None => "an order".to_owned(),
        };
        let (subject, said) = match kind {
            NotificationKind::ShowScheduled => (
                "A shop that you follow has scheduled a show",
                format!("{shop} has scheduled a show: {stream}."),
            ),
            NotificationKind::ShowStarted => (
                "A shop that you follow is on air",
                format!("{shop} is on air: {stream}."),
            ),
            NotificationKind::ShopApproved => ("Your shop is open", format!("Your shop {shop} may sell now.")),
            NotificationKind::ShopRejected => (
                "Your application for a shop was turned down",
                format!("Your application for the shop {shop} was turned down. You may apply again."),
            ),
            NotificationKind::ShopSuspended => (
                "Your shop is suspended",
                format!("Your shop {shop} is suspended: nothing of it is shown or sold."),
            ),
            NotificationKind::ShopReinstated => ("Your shop may go on", format!("Your shop {shop} may sell again.")),
            NotificationKind::WaitlistOffer => (
                "It is your turn",
                format!("It is your turn at {shop}: {product} is held for you, for a short time."),
            ),
            NotificationKind::ReviewAnswered => (
                "A shop has answered your review",
                format!("{shop} has answered your review of {product}."),
            ),
            NotificationKind::OrderPaid => (
                "An order with goods of your shop was paid",
                format!("In {order}, goods of {shop} were paid and can be sent."),
            ),
            NotificationKind::OrderShipped => (
                "A parcel is on its way",
                format!("{shop} has sent a parcel of {order}."),
            ),
            NotificationKind::OrderDelivered => (
                "A parcel has arrived",
                format!("A parcel of {order} that {shop} sent has arrived."),
            ),
            NotificationKind::OrderCancelled => (
                "Something of an order was called off",
                format!("In {order}, goods of {shop} were called off."),
            ),
            NotificationKind::RefundPaid => (
                "Money of your order has gone back to you",
                format!("Money of {order}, for goods of {shop}, has gone back to you."),
            ),
            NotificationKind::ReturnRequested => (
                "A buyer wants to send something back",
                format!("The buyer of {order} wants to send goods of {shop} back."),
            ),
            NotificationKind::ReturnAnswered => (
                "A shop has answered your return",
                format!("{shop} has answered what you want to send back of {order}."),
            ),
            NotificationKind::ReturnSent => (
                "A return is on its way to your shop",
                format!("What the buyer of {order} sends back to {shop} is on its way."),
            ),
            NotificationKind::ReturnWaits => (
                "Somebody of the marketplace decides about a return",
                format!(
                    "Goods of {order} are to go back to {shop}, which has not said in time what becomes of it.\n\
                     Somebody of the marketplace will. Until then nothing that it is about is paid out."
                ),
            ),
            NotificationKind::ReturnLapsed => (
                "A return is over",
                format!("Goods of {order} were not sent back to {shop} in time. The return is over."),
            ),
            NotificationKind::ClaimOpened => (
                "A buyer says that something did not come",
                format!(
                    "The buyer of {order} says that goods which {shop} has sent did not come. Say what you know of it."
                ),
            ),
            NotificationKind::ClaimAnswered => (
                "A shop has answered about what did not come",
                format!("{shop} has said what it knows of goods of {order} that did not come."),
            ),
            NotificationKind::ClaimDecided => (
                "It is decided about what did not come",
                format!("It is decided about goods of {order} that {shop} has sent and that did not come."),
            ),
            NotificationKind::PayoutPaid => (
                "A payout has arrived",
                format!("What your shop {shop} had earned was paid out. Which lines it is of is in its statement."),
            ),
            NotificationKind::PayoutFailed => (
                "A payout did not arrive",
                format!("A payout to your shop {shop} did not arrive, or came back. The money waits for the next one."),
            ),
            NotificationKind::DisputeOpened => (
                "A payment is disputed",
                format!(
                    "The bank of its buyer has called the payment of {order}, with goods of {shop}, into question. \
                     Until that is decided nothing of it is paid out or refunded."
                ),
            ),
            NotificationKind::DisputeWon => (
                "A disputed payment stands",
                format!(
                    "The dispute about {order}, with goods of {shop}, was decided for the shop: the payment stands."
                ),
            ),
            NotificationKind::DisputeLost => (
                "A disputed payment went back",
                format!(
                    "The dispute about {order}, with goods of {shop}, was decided for the buyer, whose bank keeps the money."
                ),
            ),
        };
        let why = match reason {
            "" => String::new(),
            reason => format!("\nThe reason given: {reason}\n"),
        };
        Self {
            to,
            kind: kind.as_str(),
            subject,
            text: format!(
                "{said}\n{why}\nWhich letters you get is for you to choose, in your account's notifications.\n"
            ),
            link: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queued_letter_holds_no_token_and_is_read_back() {
        let letter = Letter::ConfirmEmail { user: UserId::new() };
        let json = serde_json::to_value(&letter).expect("JSON");
        assert_eq!(json["letter"], "confirm_email");
        assert_eq!(json.as_object().map(serde_json::Map::len), Some(2));
        assert_eq!(serde_json::from_value::<Letter>(json).expect("a letter"), letter);
    }

    #[test]
    fn a_notification_is_queued_as_the_database_writes_it() {
        let (user, seller, stream) = (UserId::new(), SellerId::new(), StreamId::new());
        let queued = serde_json::json!({
            "letter": "notification", "user": user, "kind": "show_started", "seller": seller, "stream": stream});
        let letter = Letter::Notification {
            user,
            kind: NotificationKind::ShowStarted,
            seller,
            stream: Some(stream),
            product: None,
            order: None,
            reason: String::new(),
        };
        assert_eq!(serde_json::to_value(&letter).expect("JSON"), queued);
        assert_eq!(serde_json::from_value::<Letter>(queued).expect("a letter"), letter);
        let names = Names {
            shop_name: "Töpferei".to_owned(),
            ..Names::default()
        };
        for kind in NotificationKind::ALL {
            let written = Written::notification("viewer@example.com".to_owned(), *kind, &names, "why not");
            assert!(written.text.contains("Töpferei") && written.text.contains("why not"));
            assert!(written.subject.is_ascii() && written.text.lines().all(|line| line.len() < 998));
        }
    }

    #[test]
    fn a_link_carries_its_token_where_no_server_logs_it() {
        let link = Link {
            to: "viewer@example.com".to_owned(),
            token: "secret".to_owned(),
        };
        for written in [
            Written::confirm_email(&link, "https://shop.example"),
            Written::reset_password(&link, "https://shop.example"),
        ] {
            let url = written.link.expect("a link");
            let (sent, kept) = url.split_once('#').expect("a fragment");
            assert!(!sent.contains("secret") && kept.ends_with("=secret"), "{url}");
            assert!(written.text.contains(&url) && written.text.is_ascii());
        }
    }
}
