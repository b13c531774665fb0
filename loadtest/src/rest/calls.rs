//! The routes, one method each. Paths and bodies are the API's contract; nothing else
//! happens here.

use reqwest::Method;
use serde_json::json;
use shared::ids::{
    CheckoutId, OrderId, ProductId, RequestId, ReservationId, SaleId, SellerId, StreamId, UserId, VariantId,
};
use shared::protocol::{Feature, SaleOpen};
use shared::rights::Right;

use super::{
    Address, Checkout, Hold, List, Me, NewAddress, NewCheckout, NewProduct, NewStream, OpenedSale, Order, PastMessage,
    Payment, Product, RestClient, RestResult, Seller, Session, Stream, Ticket,
};

const NO_BODY: Option<&()> = None;

/// Accounts.
impl RestClient {
    /// Makes an account and signs it in.
    ///
    /// # Errors
    /// `email_taken`, `invalid_body`.
    pub async fn register(&self, email: &str, password: &str, display_name: &str) -> RestResult<(Self, Session)> {
        let body = json!({ "email": email, "password": password, "display_name": display_name });
        let session: Session = self.post("/auth/register", &body).await?;
        Ok((self.signed_in(&session.access_token), session))
    }

    /// Signs an account in.
    ///
    /// # Errors
    /// `invalid_credentials`.
    pub async fn login(&self, email: &str, password: &str) -> RestResult<(Self, Session)> {
        let body = json!({ "email": email, "password": password });
        let session: Session = self.post("/auth/login", &body).await?;
        Ok((self.signed_in(&session.access_token), session))
    }

    /// Buys the next session with a refresh token.
    ///
    /// # Errors
    /// `unauthenticated`.
    pub async fn refresh(&self, refresh_token: &str) -> RestResult<(Self, Session)> {
        let body = json!({ "refresh_token": refresh_token });
        let session: Session = self.post("/auth/refresh", &body).await?;
        Ok((self.signed_in(&session.access_token), session))
    }

    /// The caller.
    ///
    /// # Errors
    /// `unauthenticated`.
    pub async fn me(&self) -> RestResult<Me> {
        self.get("/auth/me").await
    }

    /// Changes the caller's profile.
    ///
    /// # Errors
    /// `invalid_body`.
    pub async fn change_profile(&self, change: &serde_json::Value) -> RestResult<Me> {
        self.call(Method::PATCH, "/auth/profile", None, Some(change)).await
    }

    /// Stores an address.
    ///
    /// # Errors
    /// `invalid_body`.
    pub async fn add_address(&self, address: &NewAddress) -> RestResult<Address> {
        self.post("/users/addresses", address).await
    }

    /// The caller's addresses.
    ///
    /// # Errors
    /// `unauthenticated`.
    pub async fn addresses(&self) -> RestResult<List<Address>> {
        self.get("/users/addresses").await
    }
}

/// Shops and their goods.
impl RestClient {
    /// Applies for a shop.
    ///
    /// # Errors
    /// `conflict`, when the caller has one.
    pub async fn apply_as_seller(&self, shop_name: &str, country: &str, currency: &str) -> RestResult<Seller> {
        let body = json!({ "shop_name": shop_name, "country": country, "currency": currency });
        self.post("/sellers/apply", &body).await
    }

    /// Confirms the address of an account, as an admin.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn confirm_email(&self, user: UserId) -> RestResult<serde_json::Value> {
        self.post(&format!("/admin/users/{user}/confirm-email"), &json!({}))
            .await
    }

    /// Approves a shop, as an admin.
    ///
    /// # Errors
    /// `not_found`, `wrong_state`.
    pub async fn approve_seller(&self, seller: SellerId) -> RestResult<serde_json::Value> {
        self.post(&format!("/admin/sellers/{seller}/approve"), &json!({})).await
    }

    /// Lets somebody moderate the shows of the caller's shop.
    ///
    /// # Errors
    /// `not_found`, `conflict` for who does already.
    pub async fn appoint(&self, user: UserId, rights: &[Right]) -> RestResult<serde_json::Value> {
        let body = json!({ "user_id": user, "rights": rights });
        self.post_as("/seller/moderators", RequestId::new(), Some(&body)).await
    }

    /// Puts a product into the caller's shop.
    ///
    /// # Errors
    /// `invalid_body`.
    pub async fn create_product(&self, product: &NewProduct) -> RestResult<Product> {
        self.post("/seller/products", product).await
    }

    /// The caller's own products.
    ///
    /// # Errors
    /// `forbidden` without an approved shop.
    pub async fn my_products(&self) -> RestResult<List<Product>> {
        self.get("/seller/products").await
    }

    /// A product that is on sale.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn product(&self, product: ProductId) -> RestResult<Product> {
        self.get(&format!("/products/{product}")).await
    }

    /// Changes a variant's price.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn change_price(&self, variant: VariantId, price_minor: i64) -> RestResult<serde_json::Value> {
        let body = json!({ "price_minor": price_minor });
        let path = format!("/seller/variants/{variant}");
        self.call(Method::PATCH, &path, None, Some(&body)).await
    }

    /// Adds units to a variant's stock, or takes some away.
    ///
    /// # Errors
    /// `insufficient_stock`, `not_found`.
    pub async fn adjust_stock(&self, variant: VariantId, delta: i32) -> RestResult<serde_json::Value> {
        self.adjust_stock_as(variant, delta, RequestId::new()).await
    }

    /// Adds units to a variant's stock, or takes some away, as the act `key`.
    ///
    /// # Errors
    /// `insufficient_stock`, `not_found`.
    pub async fn adjust_stock_as(
        &self,
        variant: VariantId,
        delta: i32,
        key: RequestId,
    ) -> RestResult<serde_json::Value> {
        let body = json!({ "delta": delta });
        let path = format!("/seller/variants/{variant}/stock");
        self.post_as(&path, key, Some(&body)).await
    }
}

/// Shows.
impl RestClient {
    /// Schedules or starts a show.
    ///
    /// # Errors
    /// `forbidden` without an approved shop.
    pub async fn create_stream(&self, stream: &NewStream) -> RestResult<Stream> {
        self.post("/streams", stream).await
    }

    /// Puts a show on air.
    ///
    /// # Errors
    /// `wrong_state`, `room_unavailable`.
    pub async fn start_stream(&self, stream: StreamId) -> RestResult<Stream> {
        self.start_stream_as(stream, RequestId::new()).await
    }

    /// Puts a show on air, as the act `key`.
    ///
    /// # Errors
    /// `wrong_state`, `room_unavailable`.
    pub async fn start_stream_as(&self, stream: StreamId, key: RequestId) -> RestResult<Stream> {
        self.post_as(&format!("/streams/{stream}/start"), key, NO_BODY).await
    }

    /// Ends a show.
    ///
    /// # Errors
    /// `wrong_state`, `room_unavailable`.
    pub async fn end_stream(&self, stream: StreamId) -> RestResult<Stream> {
        self.end_stream_as(stream, RequestId::new()).await
    }

    /// Ends a show, as the act `key`.
    ///
    /// # Errors
    /// `wrong_state`, `room_unavailable`.
    pub async fn end_stream_as(&self, stream: StreamId, key: RequestId) -> RestResult<Stream> {
        self.post_as(&format!("/streams/{stream}/end"), key, NO_BODY).await
    }

    /// A show.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn stream(&self, stream: StreamId) -> RestResult<Stream> {
        self.get(&format!("/streams/{stream}")).await
    }

    /// The shows that are on air.
    ///
    /// # Errors
    /// None of the contract's.
    pub async fn live_streams(&self) -> RestResult<List<Stream>> {
        self.get("/streams/live").await
    }

    /// The caller's own shows.
    ///
    /// # Errors
    /// `forbidden` without an approved shop.
    pub async fn my_streams(&self) -> RestResult<List<Stream>> {
        self.get("/seller/streams").await
    }

    /// A show's line-up.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn line_up(&self, stream: StreamId) -> RestResult<List<Product>> {
        self.get(&format!("/streams/{stream}/products")).await
    }

    /// Shows a product.
    ///
    /// # Errors
    /// `not_found`, `stream_not_live`.
    pub async fn feature(&self, stream: StreamId, feature: &Feature) -> RestResult<serde_json::Value> {
        self.feature_as(stream, feature, RequestId::new()).await
    }

    /// Shows a product, as the act `key`.
    ///
    /// # Errors
    /// `not_found`, `stream_not_live`.
    pub async fn feature_as(
        &self,
        stream: StreamId,
        feature: &Feature,
        key: RequestId,
    ) -> RestResult<serde_json::Value> {
        self.post_as(&format!("/streams/{stream}/feature"), key, Some(feature))
            .await
    }

    /// Shows no product any more, as the act `key`.
    ///
    /// # Errors
    /// `not_found`, `stream_not_live`.
    pub async fn unfeature_as(&self, stream: StreamId, key: RequestId) -> RestResult<serde_json::Value> {
        let path = format!("/streams/{stream}/feature");
        self.call(Method::DELETE, &path, Some(key), NO_BODY).await
    }

    /// Opens a flash sale.
    ///
    /// # Errors
    /// `insufficient_stock`, `stream_not_live`.
    pub async fn open_sale(&self, stream: StreamId, sale: &SaleOpen) -> RestResult<OpenedSale> {
        self.open_sale_as(stream, sale, RequestId::new()).await
    }

    /// Opens a flash sale, as the act `key`.
    ///
    /// # Errors
    /// `insufficient_stock`, `stream_not_live`.
    pub async fn open_sale_as(&self, stream: StreamId, sale: &SaleOpen, key: RequestId) -> RestResult<OpenedSale> {
        self.post_as(&format!("/streams/{stream}/sales"), key, Some(sale)).await
    }

    /// Closes a flash sale.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn close_sale(&self, stream: StreamId, sale: SaleId) -> RestResult<serde_json::Value> {
        self.close_sale_as(stream, sale, RequestId::new()).await
    }

    /// Closes a flash sale, as the act `key`.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn close_sale_as(&self, stream: StreamId, sale: SaleId, key: RequestId) -> RestResult<serde_json::Value> {
        let path = format!("/streams/{stream}/sales/{sale}/close");
        self.post_as(&path, key, NO_BODY).await
    }

    /// A way into a show's room, as a viewer.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn ticket(&self, stream: StreamId) -> RestResult<Ticket> {
        self.post(&format!("/streams/{stream}/ticket"), &json!({ "part": "viewer" }))
            .await
    }

    /// A way into a show's room, as its host.
    ///
    /// # Errors
    /// `not_found`, `forbidden`.
    pub async fn host_ticket(&self, stream: StreamId) -> RestResult<Ticket> {
        self.post(&format!("/streams/{stream}/ticket"), &json!({ "part": "host" }))
            .await
    }

    /// The committed messages of a show, newest first.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn chat_history(&self, stream: StreamId) -> RestResult<List<PastMessage>> {
        self.get(&format!("/streams/{stream}/chat?limit=100")).await
    }
}

/// Buying.
impl RestClient {
    /// Holds units of a flash sale.
    ///
    /// # Errors
    /// `sold_out`, `purchase_limit_reached`, `sale_closed`.
    pub async fn hold(&self, sale: SaleId, quantity: u32, key: RequestId) -> RestResult<Hold> {
        let path = format!("/flash-sales/{sale}/holds");
        self.post_as(&path, key, Some(&json!({ "quantity": quantity }))).await
    }

    /// Gives a hold up.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn release(&self, sale: SaleId, reservation: ReservationId) -> RestResult<()> {
        let path = format!("/flash-sales/{sale}/holds/{reservation}");
        self.call(Method::DELETE, &path, None, NO_BODY).await
    }

    /// Prices a purchase.
    ///
    /// # Errors
    /// `insufficient_stock`, `hold_expired`, `not_found`.
    pub async fn checkout(&self, checkout: &NewCheckout, key: RequestId) -> RestResult<Checkout> {
        self.post_as("/orders/checkout", key, Some(checkout)).await
    }

    /// Places an order.
    ///
    /// # Errors
    /// `checkout_expired`, `hold_expired`.
    pub async fn place_order(&self, checkout: CheckoutId, key: RequestId) -> RestResult<Order> {
        self.post_as("/orders", key, Some(&json!({ "checkout_id": checkout })))
            .await
    }

    /// Gives up what a checkout keeps from others.
    ///
    /// # Errors
    /// `wrong_state` when it was placed, `not_found`.
    pub async fn give_up_checkout(&self, checkout: CheckoutId) -> RestResult<()> {
        let path = format!("/orders/checkout/{checkout}");
        self.call(Method::DELETE, &path, None, NO_BODY).await
    }

    /// Gives up an order.
    ///
    /// # Errors
    /// `wrong_state` when it is too late for that, `not_found`.
    pub async fn cancel_order(&self, order: OrderId) -> RestResult<Order> {
        self.call(Method::POST, &format!("/orders/{order}/cancel"), None, NO_BODY)
            .await
    }

    /// Pays an order with a provider's token.
    ///
    /// # Errors
    /// `already_paid`, `order_expired`, `payment_in_progress`.
    pub async fn pay(&self, order: OrderId, token: &str, key: RequestId) -> RestResult<Payment> {
        let path = format!("/orders/{order}/payments");
        self.post_as(&path, key, Some(&json!({ "token": token }))).await
    }

    /// An order.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn order(&self, order: OrderId) -> RestResult<Order> {
        self.get(&format!("/orders/{order}")).await
    }

    /// A paid order's receipt, as it is answered.
    ///
    /// # Errors
    /// `not_found`, `wrong_state`.
    pub async fn receipt(&self, order: OrderId) -> RestResult<serde_json::Value> {
        self.get(&format!("/orders/{order}/receipt")).await
    }
}
