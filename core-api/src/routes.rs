//! Every route of the service, on one page. A path and its method stand at the handler;
//! here is the order in which they are tried: literal segments before `{id}`.

use utoipa_actix_web::service_config::ServiceConfig;

use crate::addresses::handlers as addresses;
use crate::audit::handlers as audit;
use crate::books::handlers as books;
use crate::cart::handlers as cart;
use crate::catalog::categories::handlers as categories;
use crate::catalog::files::handlers as files;
use crate::catalog::pages::handlers as pages;
use crate::catalog::products::{handlers as products, variant_handlers as variants};
use crate::catalog::reviews::handlers as reviews;
use crate::catalog::search::handlers as search;
use crate::catalog::shipping::handlers as shipping;
use crate::chat::handlers as chat;
use crate::checkout::handlers as checkout;
use crate::claims::handlers as claims;
use crate::commission::handlers as commission;
use crate::dead_letters::handlers as dead_letters;
use crate::discounts::handlers as discounts;
use crate::disputes::handlers as disputes;
use crate::earnings::handlers as earnings;
use crate::flash::handlers as flash;
use crate::fulfilment::handlers as fulfilment;
use crate::history::handlers as history;
use crate::http::operations;
use crate::identity::{
    account_handlers as account, admin_handlers as users, handlers as identity, session_handlers as sessions,
};
use crate::media::{handlers as media, upload_handlers as uploads};
use crate::moderation::{handlers as moderation, room_handlers as room_moderation};
use crate::notifications::handlers as notifications;
use crate::orders::{admin_handlers as all_orders, handlers as orders};
use crate::payments::handlers as payments;
use crate::payouts::{admin_handlers as all_payouts, handlers as payouts};
use crate::privacy::handlers as privacy;
use crate::refunds::handlers as refunds;
use crate::returns::handlers as returns;
use crate::seller_orders::handlers as seller_orders;
use crate::sellers::handlers as sellers;
use crate::streams::handlers as streams;
use crate::webhooks::handlers as webhooks;

/// Registers every route.
pub fn all(config: &mut ServiceConfig<'_>) {
    // Routes are tried in their order, and most of them by a regular expression: what a rush
    // asks for stands first.
    config
        .service(categories::tree) // GET /categories
        .service(search::list) // GET /products
        .service(pages::get) // GET /products/{id}
        .service(reviews::list) // GET /products/{id}/reviews
        .service(reviews::write) // POST /products/{id}/reviews
        .service(reviews::list_own) // GET /users/reviews
        .service(reviews::change) // PATCH /reviews/{id}
        .service(reviews::delete); // DELETE /reviews/{id}
    config
        .service(operations::healthz) // GET /healthz
        .service(operations::readyz) // GET /readyz
        .service(operations::openapi_json); // GET /openapi.json
    config
        .service(identity::register) // POST /auth/register
        .service(sessions::login) // POST /auth/login
        .service(sessions::refresh) // POST /auth/refresh
        .service(sessions::logout) // POST /auth/logout
        .service(sessions::logout_everywhere) // POST /auth/logout/everywhere
        .service(sessions::list) // GET /auth/sessions
        .service(sessions::end) // DELETE /auth/sessions/{id}
        .service(identity::me) // GET /auth/me
        .service(identity::change_profile) // PATCH /auth/profile
        .service(account::resend_verification) // POST /auth/email/verification
        .service(account::confirm_email) // POST /auth/email/confirm
        .service(account::change_email) // POST /auth/email
        .service(account::ask_to_reset) // POST /auth/password/reset
        .service(account::reset) // POST /auth/password/reset/confirm
        .service(account::change_password) // POST /auth/password
        .service(privacy::export) // GET /auth/export
        .service(privacy::leave) // POST /auth/leave
        .service(identity::public_profile); // GET /profiles/{handle}
    config
        .service(addresses::list) // GET /users/addresses
        .service(addresses::add) // POST /users/addresses
        .service(addresses::change) // PATCH /users/addresses/{id}
        .service(addresses::delete) // DELETE /users/addresses/{id}
        .service(addresses::make_default); // POST /users/addresses/{id}/default
    config
        .service(notifications::list) // GET /notifications
        .service(notifications::unread) // GET /notifications/unread
        .service(notifications::preferences) // GET /notifications/preferences
        .service(notifications::set_preferences) // PUT /notifications/preferences
        .service(notifications::mark_all) // POST /notifications/read
        .service(notifications::mark); // POST /notifications/{id}/read
    config
        .service(sellers::apply) // POST /sellers/apply
        .service(sellers::followed) // GET /users/follows
        .service(sellers::get_by_slug) // GET /sellers/by-slug/{slug}
        .service(sellers::get) // GET /sellers/{id}
        .service(sellers::follow) // POST /sellers/{id}/follow
        .service(sellers::unfollow) // DELETE /sellers/{id}/follow
        .service(search::list_of_seller); // GET /sellers/{id}/products
    config
        .service(products::list_own) // GET /seller/products
        .service(products::create) // POST /seller/products
        .service(files::import) // POST /seller/products/imports
        .service(files::list) // GET /seller/products/imports
        .service(files::get) // GET /seller/products/imports/{id}
        .service(files::report) // GET /seller/products/imports/{id}/lines
        .service(files::export) // GET /seller/products/export
        .service(products::get_own) // GET /seller/products/{id}
        .service(products::change) // PATCH /seller/products/{id}
        .service(uploads::add_product_picture) // POST /seller/products/{id}/images
        .service(uploads::order_product_pictures) // PUT /seller/products/{id}/images/order
        .service(uploads::delete_product_picture) // DELETE /seller/products/{id}/images/{image}
        .service(variants::set_axes) // PUT /seller/products/{id}/options
        .service(variants::add) // POST /seller/products/{id}/variants
        .service(variants::change) // PATCH /seller/variants/{id}
        .service(variants::adjust_stock) // POST /seller/variants/{id}/stock
        .service(variants::movements) // GET /seller/variants/{id}/movements
        .service(shipping::list) // GET /seller/shipping-profiles
        .service(shipping::create) // POST /seller/shipping-profiles
        .service(shipping::get) // GET /seller/shipping-profiles/{id}
        .service(shipping::change) // PATCH /seller/shipping-profiles/{id}
        .service(shipping::delete) // DELETE /seller/shipping-profiles/{id}
        .service(discounts::list) // GET /seller/discount-codes
        .service(discounts::create) // POST /seller/discount-codes
        .service(discounts::change) // PATCH /seller/discount-codes/{id}
        .service(reviews::list_of_shop) // GET /seller/reviews
        .service(reviews::answer) // PUT /seller/reviews/{id}/answer
        .service(reviews::take_answer_back); // DELETE /seller/reviews/{id}/answer
    config
        .service(streams::create) // POST /streams
        .service(streams::live) // GET /streams/live
        .service(streams::upcoming) // GET /streams/upcoming
        .service(streams::list_own) // GET /seller/streams
        .service(streams::get) // GET /streams/{id}
        .service(streams::line_up) // GET /streams/{id}/products
        .service(streams::set_line_up) // PUT /streams/{id}/products
        .service(streams::reorder) // PUT /streams/{id}/products/order
        .service(uploads::set_cover) // PUT /streams/{id}/cover
        .service(uploads::delete_cover) // DELETE /streams/{id}/cover
        .service(streams::start) // POST /streams/{id}/start
        .service(streams::end) // POST /streams/{id}/end
        .service(streams::cancel) // POST /streams/{id}/cancel
        .service(streams::feature) // POST /streams/{id}/feature
        .service(streams::unfeature) // DELETE /streams/{id}/feature
        .service(streams::open_sale) // POST /streams/{id}/sales
        .service(streams::close_sale) // POST /streams/{id}/sales/{sale}/close
        .service(streams::ticket) // POST /streams/{id}/ticket
        .service(streams::chat) // GET /streams/{id}/chat
        .service(history::events) // GET /streams/{id}/events
        .service(history::replay) // GET /streams/{id}/replay
        .service(history::public_summary) // GET /streams/{id}/summary
        .service(history::summary); // GET /seller/streams/{id}/summary
    config
        .service(media::get) // GET /media/{file}
        .service(uploads::set_avatar) // PUT /users/avatar
        .service(uploads::delete_avatar) // DELETE /users/avatar
        .service(uploads::set_shop_picture) // PUT /seller/picture
        .service(uploads::delete_shop_picture); // DELETE /seller/picture
    config
        .service(moderation::moderators) // GET /seller/moderators
        .service(moderation::appoint) // POST /seller/moderators
        .service(moderation::change) // PATCH /seller/moderators/{id}
        .service(moderation::dismiss) // DELETE /seller/moderators/{id}
        .service(moderation::moderators_of_show) // GET /streams/{id}/moderators
        .service(moderation::appoint_for_show) // POST /streams/{id}/moderators
        .service(moderation::banned) // GET /seller/bans
        .service(moderation::ban) // POST /seller/bans
        .service(moderation::lift_ban) // DELETE /seller/bans/{id}
        .service(room_moderation::mute) // POST /streams/{id}/mutes
        .service(room_moderation::timeout) // POST /streams/{id}/timeouts
        .service(room_moderation::unmute) // DELETE /streams/{id}/mutes/{user}
        .service(room_moderation::ban) // POST /streams/{id}/bans
        .service(room_moderation::unban) // DELETE /streams/{id}/bans/{user}
        .service(room_moderation::pin) // POST /streams/{id}/pin
        .service(room_moderation::unpin) // DELETE /streams/{id}/pin
        .service(room_moderation::announce); // POST /streams/{id}/announcements
    config
        .service(chat::words) // GET /seller/blocked-words
        .service(chat::block) // POST /seller/blocked-words
        .service(chat::change_word) // PATCH /seller/blocked-words/{id}
        .service(chat::allow) // DELETE /seller/blocked-words/{id}
        .service(chat::rules) // GET /streams/{id}/chat-rules
        .service(chat::change_rules) // PATCH /streams/{id}/chat-rules
        .service(chat::delete_message) // DELETE /streams/{id}/chat/{message}
        .service(chat::reviews) // GET /streams/{id}/reviews
        .service(chat::approve) // POST /streams/{id}/reviews/{message}/approve
        .service(chat::reject) // POST /streams/{id}/reviews/{message}/reject
        .service(chat::reports_of_show) // GET /streams/{id}/reports
        .service(chat::settle_of_show) // POST /streams/{id}/reports/{report}/settle
        .service(chat::reports) // GET /seller/reports
        .service(chat::settle) // POST /seller/reports/{id}/settle
        .service(chat::all_reports) // GET /admin/reports
        .service(chat::settle_any); // POST /admin/reports/{id}/settle
    config
        .service(flash::hold) // POST /flash-sales/{id}/holds
        .service(flash::release) // DELETE /flash-sales/{id}/holds/{reservation}
        .service(flash::place) // GET /flash-sales/{id}/place
        .service(flash::unwait); // DELETE /flash-sales/{id}/place
    config
        .service(cart::get) // GET /cart
        .service(cart::clear) // DELETE /cart
        .service(cart::merge) // POST /cart/merge
        .service(cart::put) // PUT /cart/items/{variant}
        .service(cart::remove) // DELETE /cart/items/{variant}
        .service(checkout::create) // POST /orders/checkout
        .service(checkout::get) // GET /orders/checkout/{id}
        .service(checkout::cancel) // DELETE /orders/checkout/{id}
        .service(orders::place) // POST /orders
        .service(orders::list) // GET /orders
        .service(orders::get) // GET /orders/{id}
        .service(orders::cancel) // POST /orders/{id}/cancel
        .service(refunds::cancel_item) // POST /orders/{id}/items/{item}/cancel
        .service(refunds::cancel_sold_item) // POST /seller/orders/{id}/items/{item}/cancel
        .service(claims::open) // POST /orders/{id}/claims
        .service(claims::list) // GET /orders/{id}/claims
        .service(claims::withdraw) // POST /orders/{id}/claims/{claim}/withdraw
        .service(claims::list_of_shop) // GET /seller/claims
        .service(claims::answer) // POST /seller/claims/{id}/answer
        .service(claims::list_of_all) // GET /admin/claims
        .service(claims::reject) // POST /admin/claims/{id}/reject
        .service(claims::uphold) // POST /admin/claims/{id}/uphold
        .service(returns::request) // POST /orders/{id}/returns
        .service(returns::list) // GET /orders/{id}/returns
        .service(returns::withdraw) // POST /orders/{id}/returns/{return}/withdraw
        .service(returns::send) // POST /orders/{id}/returns/{return}/sent
        .service(returns::list_of_shop) // GET /seller/returns
        .service(returns::approve) // POST /seller/returns/{id}/approve
        .service(returns::reject) // POST /seller/returns/{id}/reject
        .service(returns::receive) // POST /seller/returns/{id}/receive
        .service(orders::receipt) // GET /orders/{id}/receipt
        .service(payments::pay) // POST /orders/{id}/payments
        .service(payments::get) // GET /orders/{id}/payments/{payment}
        .service(payments::confirm) // POST /orders/{id}/payments/{payment}/confirm
        .service(payments::cancel); // POST /orders/{id}/payments/{payment}/cancel
    config
        .service(seller_orders::list) // GET /seller/orders
        .service(seller_orders::export) // GET /seller/orders/export
        .service(seller_orders::get) // GET /seller/orders/{id}
        .service(fulfilment::ship) // POST /seller/orders/{id}/shipments
        .service(fulfilment::list) // GET /seller/orders/{id}/shipments
        .service(fulfilment::change) // PATCH /seller/shipments/{id}
        .service(fulfilment::confirm) // POST /orders/{id}/confirm
        .service(fulfilment::confirm_shipment) // POST /orders/{id}/shipments/{shipment}/confirm
        .service(webhooks::carrier) // POST /webhooks/carrier
        .service(webhooks::payments); // POST /webhooks/{provider}
    config
        .service(earnings::balance) // GET /seller/balance
        .service(earnings::list) // GET /seller/earnings
        .service(payouts::accounts) // GET /seller/payout-accounts
        .service(payouts::add_account) // POST /seller/payout-accounts
        .service(payouts::change_account) // PATCH /seller/payout-accounts/{id}
        .service(payouts::disable_account) // DELETE /seller/payout-accounts/{id}
        .service(payouts::ask) // POST /seller/payouts
        .service(payouts::list) // GET /seller/payouts
        .service(payouts::get) // GET /seller/payouts/{id}
        .service(payouts::lines) // GET /seller/payouts/{id}/lines
        .service(payouts::cancel) // POST /seller/payouts/{id}/cancel
        .service(all_payouts::list) // GET /admin/payouts
        .service(all_payouts::get) // GET /admin/payouts/{id}
        .service(all_payouts::lines) // GET /admin/payouts/{id}/lines
        .service(all_payouts::retry) // POST /admin/payouts/{id}/retry
        .service(all_payouts::hold) // POST /admin/sellers/{id}/payout-hold
        .service(all_payouts::release) // DELETE /admin/sellers/{id}/payout-hold
        .service(all_payouts::write_off) // POST /admin/sellers/{id}/write-offs
        .service(commission::list) // GET /admin/commission-rules
        .service(commission::add) // POST /admin/commission-rules
        .service(books::accounts) // GET /admin/ledger/accounts
        .service(books::transactions) // GET /admin/ledger/transactions
        .service(all_orders::list) // GET /admin/orders
        .service(all_orders::get) // GET /admin/orders/{id}
        .service(audit::list) // GET /admin/audit
        .service(dead_letters::list) // GET /admin/dead-letters
        .service(dead_letters::retry) // POST /admin/dead-letters/{id}/retry
        .service(dead_letters::discard); // POST /admin/dead-letters/{id}/discard
    config
        .service(users::list) // GET /admin/users
        .service(users::get) // GET /admin/users/{id}
        .service(users::confirm_email) // POST /admin/users/{id}/confirm-email
        .service(users::suspend) // POST /admin/users/{id}/suspend
        .service(users::reinstate) // POST /admin/users/{id}/reinstate
        .service(sellers::list) // GET /admin/sellers
        .service(sellers::approve) // POST /admin/sellers/{id}/approve
        .service(sellers::reject) // POST /admin/sellers/{id}/reject
        .service(sellers::suspend) // POST /admin/sellers/{id}/suspend
        .service(sellers::reinstate) // POST /admin/sellers/{id}/reinstate
        .service(refunds::create) // POST /admin/orders/{id}/refunds
        .service(refunds::list) // GET /admin/refunds
        .service(refunds::get) // GET /admin/refunds/{id}
        .service(refunds::retry) // POST /admin/refunds/{id}/retry
        .service(refunds::settle_outside) // POST /admin/refunds/{id}/settle-outside
        .service(returns::list_all) // GET /admin/returns
        .service(returns::approve_any) // POST /admin/returns/{id}/approve
        .service(returns::reject_any) // POST /admin/returns/{id}/reject
        .service(returns::receive_any) // POST /admin/returns/{id}/receive
        .service(disputes::list) // GET /admin/disputes
        .service(disputes::get) // GET /admin/disputes/{id}
        .service(categories::list) // GET /admin/categories
        .service(categories::create) // POST /admin/categories
        .service(categories::change) // PATCH /admin/categories/{id}
        .service(categories::delete) // DELETE /admin/categories/{id}
        .service(discounts::list_platform) // GET /admin/discount-codes
        .service(discounts::create_platform) // POST /admin/discount-codes
        .service(discounts::change_platform) // PATCH /admin/discount-codes/{id}
        .service(reviews::list_all) // GET /admin/reviews
        .service(reviews::hide) // POST /admin/reviews/{id}/hide
        .service(reviews::show); // POST /admin/reviews/{id}/show
}
