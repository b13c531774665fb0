//! What winners do with their holds: an address, a checkout, an order, a payment, a
//! receipt, all over REST. Some let a hold lapse, where the sale says so.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use shared::error::ErrorCode;
use shared::ids::{AddressId, RequestId, SaleId, StreamId};
use shared::status::{OrderStatus, PaymentStatus};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::tally::Paid;
use super::viewer::{Grant, Hall};
use crate::rest::{NewAddress, NewCheckout, Order, RestClient, RestError, RestResult};

/// Buyers at the till at once.
const AT_THE_TILL: usize = 16;
/// How long a payment may take to be captured.
const CAPTURE_DEADLINE: Duration = Duration::from_secs(30);
/// How often a payment under way is looked at.
const CAPTURE_POLL: Duration = Duration::from_millis(250);
/// Of a sale whose holds may lapse, every so manyth is left to.
const LAPSING: usize = 3;

/// The till.
#[derive(Default)]
pub struct Till {
    lapsing: Mutex<HashSet<SaleId>>,
    /// Holds that were left to lapse.
    pub left: AtomicUsize,
    /// Holds that lapsed while their buyer stood at the till.
    pub late: AtomicUsize,
    /// Orders that were paid, or not.
    pub done: AtomicUsize,
}

impl Till {
    /// How many holds it has dealt with, one way or the other.
    pub fn settled(&self) -> usize {
        self.left.load(Ordering::Acquire) + self.done.load(Ordering::Acquire)
    }

    /// From now on, some holds of this sale are left to lapse.
    pub fn let_some_lapse(&self, sale: SaleId) {
        self.lapsing.lock().unwrap_or_else(PoisonError::into_inner).insert(sale);
    }

    /// From now on, every hold of this sale is paid for.
    pub fn pay_for_all(&self, sale: SaleId) {
        self.lapsing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&sale);
    }

    fn leaves(&self, sale: SaleId, nth: usize) -> bool {
        let lapsing = self.lapsing.lock().unwrap_or_else(PoisonError::into_inner);
        lapsing.contains(&sale) && nth.is_multiple_of(LAPSING)
    }

    /// Serves buyers until nobody can come any more, then waits for the last of them.
    pub async fn serve(self: Arc<Self>, hall: Arc<Hall>, mut grants: mpsc::Receiver<Grant>) {
        let places = Arc::new(Semaphore::new(AT_THE_TILL));
        let mut buyers = JoinSet::new();
        let mut nth = 0;
        loop {
            let grant = tokio::select! {
                grant = grants.recv() => grant,
                Some(_) = buyers.join_next() => continue,
            };
            let Some(grant) = grant else { break };
            nth += 1;
            if self.leaves(grant.hold.sale, nth) {
                self.left.fetch_add(1, Ordering::Release);
                continue;
            }
            let (till, hall, places) = (self.clone(), hall.clone(), places.clone());
            buyers.spawn(async move {
                // Never closed.
                let _place = places.acquire_owned().await;
                let hold = grant.hold.reservation;
                match buy(&grant, hall.stream).await {
                    Ok(paid) => hall.tally.pay(paid),
                    Err(error) if came_too_late(&grant, &error) => {
                        till.late.fetch_add(1, Ordering::Release);
                    }
                    Err(error) => hall
                        .tally
                        .fault(format!("the buyer of hold {hold} did not pay: {error:#}")),
                }
                till.done.fetch_add(1, Ordering::Release);
            });
        }
        while buyers.join_next().await.is_some() {}
    }
}

/// Whether this is the fault of a buyer who let the hold's time pass, as told by the
/// server in both: the refusal, and the time that it had promised.
fn came_too_late(grant: &Grant, error: &anyhow::Error) -> bool {
    let refused = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<RestError>()?.code());
    refused == Some(ErrorCode::HoldExpired) && chrono::Utc::now().timestamp_millis() >= grant.hold.expires_at
}

/// From a hold to a receipt.
pub async fn buy(grant: &Grant, stream: StreamId) -> Result<Paid> {
    let rest = grant.account.client().await.context("signing in")?;
    let order = check_out(&rest, stream, grant).await?;
    let paid = pay(&rest, &order).await?;
    rest.receipt(paid.id).await.context("the receipt")?;
    Ok(Paid {
        user: grant.account.user,
        order: paid.id,
        total: paid.total,
        reservation: grant.hold.reservation,
    })
}

async fn check_out(rest: &RestClient, stream: StreamId, grant: &Grant) -> Result<Order> {
    let checkout = NewCheckout {
        items: Vec::new(),
        reservations: vec![grant.hold.reservation],
        address_id: address(rest).await.context("the address")?,
        stream_id: Some(stream),
    };
    let checkout = rest
        .checkout(&checkout, RequestId::new())
        .await
        .context("the checkout")?;
    let order = rest
        .place_order(checkout.id, RequestId::new())
        .await
        .context("the order")?;
    if order.total != checkout.total {
        bail!(
            "the order costs {} and the checkout said {}",
            order.total,
            checkout.total
        );
    }
    Ok(order)
}

async fn address(rest: &RestClient) -> RestResult<AddressId> {
    if let Some(address) = rest.addresses().await?.items.first() {
        return Ok(address.id);
    }
    Ok(rest.add_address(&an_address()).await?.id)
}

/// Pays with the token that succeeds, and waits until the order is paid.
async fn pay(rest: &RestClient, order: &Order) -> Result<Order> {
    let payment = rest
        .pay(order.id, "test_success", RequestId::new())
        .await
        .context("the payment")?;
    match payment.status {
        PaymentStatus::Captured | PaymentStatus::Created | PaymentStatus::Processing => {}
        status @ (PaymentStatus::RequiresAction | PaymentStatus::Failed | PaymentStatus::Cancelled) => {
            bail!("the payment is {status} ({:?})", payment.failure_code)
        }
    }
    let by = Instant::now() + CAPTURE_DEADLINE;
    loop {
        let seen = rest.order(order.id).await.context("the order's status")?;
        if seen.status == OrderStatus::Paid {
            return Ok(seen);
        }
        if Instant::now() > by {
            bail!("the order is {} after its payment was {}", seen.status, payment.status);
        }
        tokio::time::sleep(CAPTURE_POLL).await;
    }
}

/// Where everything of a show is sent.
fn an_address() -> NewAddress {
    NewAddress {
        recipient: "Show Viewer".into(),
        line1: "Example Street 1".into(),
        city: "Exampletown".into(),
        postal_code: "12345".into(),
        country: "DE".into(),
    }
}
