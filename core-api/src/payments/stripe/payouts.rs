//! Payouts over Stripe: transfers to shops' connected accounts, which have their own
//! schedule of payouts to their banks. A transfer carries our payout's id as its group and
//! in its metadata, and by that it is found.

use async_trait::async_trait;

use super::client::{CallError, Fields};
use super::model::{ConnectTransfer, Page};
use super::{NAME, PAGE, Stripe, amount, decline, is_id, too_old};
use crate::payments::provider::{ProviderError, Transfer, TransferState};
use crate::payouts::provider::{PayoutOrder, PayoutProvider};

#[async_trait]
impl PayoutProvider for Stripe {
    fn provider(&self) -> &'static str {
        NAME
    }

    fn knows_destination(&self, destination: &str) -> bool {
        is_id(destination, "acct_")
    }

    async fn pay_out(&self, order: &PayoutOrder) -> Result<Transfer, ProviderError> {
        if order.is_old {
            return Err(too_old());
        }
        let Some((units, currency)) = amount::theirs(order.amount) else {
            return Ok(failed(order, "amount_not_accepted"));
        };
        let id = order.payout.to_string();
        let form: Fields<'_> = vec![
            ("amount", units.to_string()),
            ("currency", currency),
            ("destination", order.destination.clone()),
            ("transfer_group", id.clone()),
            ("metadata[hawker_payout]", id.clone()),
        ];
        match self
            .client
            .post::<ConnectTransfer>("/v1/transfers", form, Some(&id))
            .await
        {
            Ok(answer) if answer.is_replayed => {
                let found = self.transfer_of(order).await?;
                found.as_ref().unwrap_or(&answer.body).transfer()
            }
            Ok(answer) => answer.body.transfer(),
            Err(CallError::Refused(refused)) => match decline::transfer_refused(&refused.code, &refused.param) {
                Some(why) => Ok(failed(order, why)),
                None => Err(CallError::Refused(refused).into()),
            },
            Err(CallError::Unknown(error)) => Err(error),
        }
    }

    async fn find_payout(&self, order: &PayoutOrder) -> Result<Option<Transfer>, ProviderError> {
        let found = self.transfer_of(order).await?;
        found.map(|transfer| transfer.transfer()).transpose()
    }
}

impl Stripe {
    async fn transfer_of(&self, order: &PayoutOrder) -> Result<Option<ConnectTransfer>, ProviderError> {
        let query = vec![("transfer_group", order.payout.to_string()), ("limit", PAGE.to_owned())];
        let page: Page<ConnectTransfer> = self.client.get("/v1/transfers", query).await?;
        Ok(page.data.into_iter().find(|transfer| transfer.is_of(order.payout)))
    }
}

/// A transfer that was refused: nothing of it is at Stripe.
fn failed(order: &PayoutOrder, why: &str) -> Transfer {
    Transfer {
        reference: order.payout.to_string(),
        amount: order.amount,
        state: TransferState::Failed(why.to_owned()),
        fee: None,
    }
}
