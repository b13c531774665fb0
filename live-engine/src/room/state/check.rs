//! Whether a host's command makes sense at all, whatever the room is like: its fields'
//! bounds. Pure; the room's state is not looked at.

use std::collections::BTreeSet;

use shared::error::{ErrorCode, Refusal};
use shared::ids::ProductId;
use shared::protocol::{
    HostCommand, MAX_BAN_SECONDS, MAX_CHAT_CHARS, MAX_LINE_UP, MAX_MUTE_SECONDS, MAX_REASON_CHARS, SaleOpen, SalePrice,
};

use super::RoomState;
use crate::room::text;

impl RoomState {
    /// Whether a command makes sense at all. Whether the show's state and rows allow it,
    /// the command's own transaction decides.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(command: &HostCommand) -> Result<(), Refusal> {
        match command {
            HostCommand::SaleOpen(sale) => check_sale(sale),
            HostCommand::Reorder(order) => check_order(&order.products),
            HostCommand::ChatRules(change) => change.check(),
            HostCommand::Mute(mute) | HostCommand::Timeout(mute) => {
                check_seconds(mute.seconds, MAX_MUTE_SECONDS)?;
                check_reason(&mute.reason)
            }
            HostCommand::Ban(ban) => {
                ban.seconds
                    .map_or(Ok(()), |seconds| check_seconds(seconds, MAX_BAN_SECONDS))?;
                check_reason(&ban.reason)
            }
            HostCommand::Announce { text } => text::normalise(text, MAX_CHAT_CHARS).map(drop),
            HostCommand::Start
            | HostCommand::End
            | HostCommand::Feature(_)
            | HostCommand::Unfeature
            | HostCommand::SaleClose { .. }
            | HostCommand::DeleteMessage { .. }
            | HostCommand::Review { .. }
            | HostCommand::Unmute { .. }
            | HostCommand::Unban(_)
            | HostCommand::PinMessage { .. }
            | HostCommand::UnpinMessage => Ok(()),
        }
    }
}

fn check_seconds(seconds: u32, most: u32) -> Result<(), Refusal> {
    if (1..=most).contains(&seconds) {
        return Ok(());
    }
    let detail = format!("seconds must be from 1 to {most}");
    Err(Refusal::new(ErrorCode::InvalidBody, detail).at("seconds"))
}

/// Nothing, or a line that can be shown.
fn check_reason(reason: &str) -> Result<(), Refusal> {
    if reason.trim().is_empty() {
        return Ok(());
    }
    text::normalise(reason, MAX_REASON_CHARS)
        .map(drop)
        .map_err(|refusal| refusal.at("reason"))
}

fn check_sale(sale: &SaleOpen) -> Result<(), Refusal> {
    let price = match sale.price {
        SalePrice::PriceMinor(price) => ("price_minor", price, 0, 100_000_000_000),
        SalePrice::PercentOff(percent) => ("percent_off", i64::from(percent), 1, 100),
    };
    let fields = [
        ("quantity", i64::from(sale.quantity), 1, 1_000_000),
        price,
        ("per_buyer", i64::from(sale.per_buyer), 1, 1_000),
        ("hold_seconds", i64::from(sale.hold_seconds), 1, 3_600),
        ("ends_in_seconds", i64::from(sale.ends_in_seconds), 1, 86_400),
        (
            "opens_in_seconds",
            i64::from(sale.opens_in_seconds.unwrap_or(0)),
            0,
            86_400,
        ),
    ];
    for (field, value, least, most) in fields {
        if !(least..=most).contains(&value) {
            let detail = format!("{field} must be from {least} to {most}");
            return Err(Refusal::new(ErrorCode::InvalidBody, detail).at(field));
        }
    }
    Ok(())
}

fn check_order(products: &[ProductId]) -> Result<(), Refusal> {
    let wrong = |detail: String| Err(Refusal::new(ErrorCode::InvalidBody, detail).at("products"));
    if products.len() > MAX_LINE_UP {
        return wrong(format!("a line-up has at most {MAX_LINE_UP} products"));
    }
    let distinct: BTreeSet<_> = products.iter().collect();
    if distinct.len() < products.len() {
        return wrong("a product is in the line-up once".to_owned());
    }
    Ok(())
}
