//! Who may do what: one line an operation, written by hand and never derived from the code.
//!
//! A line is a method, a path, the status for each of [`super::world::ACTORS`], and a
//! body. `$name` stands for a row that the world makes for the line. All of them act on the
//! seller's rows; the suspended seller acts on the same rows of their own shop. Rows of a
//! buyer are the first buyer's. The body `PNG` is a picture. An operation may have several lines, of different bodies.
//!
//! Lists that let several in `show` a row: `own` is a 200 that has it, and a 200 has it not.

pub const TABLE: &str = r#"
# method path                                   nobody buyer other seller stranger suspended admin   body
# The service
GET    /healthz                                 200 200 200 200 200 200 200
GET    /readyz                                  200 200 200 200 200 200 200
GET    /openapi.json                            200 200 200 200 200 200 200

# Accounts and sessions
POST   /auth/register                           201 201 201 201 201 201 201  {"email": "$new_email", "password": "correct horse", "display_name": "Somebody"}
POST   /auth/login                              200 200 200 200 200 200 200  {"email": "$email", "password": "correct horse"}
POST   /auth/refresh                            200 200 200 200 200 200 200  {"refresh_token": "$refresh"}
POST   /auth/logout                             204 204 204 204 204 204 204  {"refresh_token": "$refresh"}
POST   /auth/logout/everywhere                  401 204 204 204 204 204 204
GET    /auth/sessions                           401 own 200 200 200 200 200  shows $session
DELETE /auth/sessions/$session                  401 204 404 404 404 404 404
GET    /auth/me                                 401 own 200 200 200 200 200  shows $email
PATCH  /auth/profile                            401 200 200 200 200 200 200  {"bio": "Here for the bowls"}
GET    /profiles/$handle                        200 200 200 200 200 200 200
POST   /auth/email                              401 202 202 202 202 202 202  {"email": "$new_email", "password": "correct horse"}
POST   /auth/email/confirm                      401 204 403 403 403 403 403  {"token": "$email_link"}
POST   /auth/email/confirm                      204 204 204 204 204 204 204  {"token": "$email_link", "password": "correct horse"}
POST   /auth/email/verification                 401 202 202 202 202 202 202  $unconfirmed
POST   /auth/password                           401 204 204 204 204 204 204  {"current_password": "correct horse", "password": "battery staple"}
POST   /auth/password/reset                     202 202 202 202 202 202 202  {"email": "$email"}
POST   /auth/password/reset/confirm             204 204 204 204 204 204 204  {"token": "$password_link", "password": "battery staple"}
GET    /auth/export                             401 own 200 200 200 200 200  shows $address
POST   /auth/leave                              401 204 204 409 409 409 204  {"password": "correct horse"}
GET    /users/addresses                         401 own 200 200 200 200 200  shows $address
POST   /users/addresses                         401 201 201 201 201 201 201  {"recipient": "Test Buyer", "line1": "1 Quay Street", "city": "Hamburg", "postal_code": "20457", "country": "DE"}
PATCH  /users/addresses/$address                401 200 404 404 404 404 404  {"city": "Bremen"}
DELETE /users/addresses/$address                401 204 404 404 404 404 404
POST   /users/addresses/$address/default        401 200 404 404 404 404 404  {"kind": "shipping"}
PUT    /users/avatar                            401 200 200 200 200 200 200  PNG
DELETE /users/avatar                            401 204 204 204 204 204 204
GET    /media/$media                            200 200 200 200 200 200 200
GET    /users/reviews                           401 own 200 200 200 200 200  shows $review

# What one is told of
GET    /notifications                           401 own 200 200 200 200 200  shows $notification
GET    /notifications/unread                    401 200 200 200 200 200 200
GET    /notifications/preferences               401 200 200 200 200 200 200
PUT    /notifications/preferences               401 200 200 200 200 200 200  {"preferences": [{"kind": "show_started", "in_app": false, "email": true}]}
POST   /notifications/read                      401 200 200 200 200 200 200  {}
POST   /notifications/$notification/read        401 204 404 404 404 404 404

# What admins do to accounts
GET    /admin/users                             401 403 403 403 403 403 200
GET    /admin/users/$user                       401 403 403 403 403 403 200
POST   /admin/users/$user/suspend               401 403 403 403 403 403 200  {}
POST   /admin/users/$shut_out/reinstate         401 403 403 403 403 403 200  {}
POST   /admin/users/$unproven/confirm-email     401 403 403 403 403 403 200  {}

# Shops
POST   /sellers/apply                           401 201 201 409 409 409 201  {"shop_name": "New Shop", "country": "DE", "currency": "EUR"}
GET    /users/follows                           401 200 200 200 200 200 200
GET    /sellers/by-slug/$shop_slug              200 200 200 200 200 404 200
GET    /sellers/$shop                           200 200 200 200 200 404 200
GET    /sellers/$shop/products                  200 200 200 200 200 404 200
POST   /sellers/$shop/follow                    401 204 204 204 204 404 204
DELETE /sellers/$shop/follow                    401 204 204 204 204 204 204
GET    /admin/sellers                           401 403 403 403 403 403 200
POST   /admin/sellers/$applicant/approve        401 403 403 403 403 403 200  {}
POST   /admin/sellers/$applicant/reject         401 403 403 403 403 403 200  {"reason": "no pictures"}
POST   /admin/sellers/$shop/suspend             401 403 403 403 403 403 200  {}
POST   /admin/sellers/$suspended/reinstate      401 403 403 403 403 403 200  {}

# Categories
GET    /categories                              200 200 200 200 200 200 200
GET    /admin/categories                        401 403 403 403 403 403 200
POST   /admin/categories                        401 403 403 403 403 403 201  {"name": "Bowls", "slug": "$slug"}
PATCH  /admin/categories/$category              401 403 403 403 403 403 200  {"name": "Dishes"}
DELETE /admin/categories/$category              401 403 403 403 403 403 204

# Products, as everybody sees them
GET    /products                                200 200 200 200 200 200 200
GET    /products/$product                       200 200 200 200 200 404 200
GET    /products/$product/reviews               200 200 200 200 200 404 200

# Products of a shop
GET    /seller/products                         401 403 403 own 200 403 403  shows $product
POST   /seller/products                         401 403 403 201 201 403 403  {"title": "Mug", "variants": [{"sku": "MUG", "price_minor": 1999, "on_hand": 1}]}
GET    /seller/products/$product                401 403 403 200 404 403 403
PATCH  /seller/products/$product                401 403 403 200 404 403 403  {"title": "Cup"}
PUT    /seller/products/$product/options        401 403 403 200 404 403 403  {"option_axes": ["Size"], "variants": [{"id": "$variant", "options": {"Size": "S"}}]}
POST   /seller/products/$product/images         401 403 403 201 404 403 403  PNG
PUT    /seller/products/$product/images/order   401 403 403 200 404 403 403  {"images": ["$image"]}
DELETE /seller/products/$product/images/$image  401 403 403 204 404 403 403
PUT    /seller/picture                          401 403 403 200 200 403 403  PNG
DELETE /seller/picture                          401 403 403 204 204 403 403
POST   /seller/products/$sized/variants         401 403 403 201 404 403 403  {"sku": "MUG-2", "options": {"Size": "M"}, "price_minor": 1999, "on_hand": 1}
PATCH  /seller/variants/$variant                401 403 403 200 404 403 403  {"price_minor": 1899}
POST   /seller/variants/$variant/stock          401 403 403 200 404 403 403  {"delta": 1}
GET    /seller/variants/$variant/movements      401 403 403 200 404 403 403
GET    /seller/products/export                  401 403 403 own 200 403 403  shows $external_key
GET    /seller/products/imports                 401 403 403 own 200 403 403  shows $import
POST   /seller/products/imports                 401 403 403 202 202 403 403  product_key,title,sku,price,on_hand\nMUG,Mug,MUG-1,19.99,5\n
GET    /seller/products/imports/$import         401 403 403 200 404 403 403
GET    /seller/products/imports/$import/lines   401 403 403 200 404 403 403
GET    /seller/shipping-profiles                401 403 403 own 200 403 403  shows $profile
POST   /seller/shipping-profiles                401 403 403 201 201 403 403  {"name": "Parcel", "base_minor": 499}
GET    /seller/shipping-profiles/$profile       401 403 403 200 404 403 403
PATCH  /seller/shipping-profiles/$profile       401 403 403 200 404 403 403  {"base_minor": 599}
DELETE /seller/shipping-profiles/$profile       401 403 403 204 404 403 403

# Discount codes: each shop's own, and the platform's
GET    /seller/discount-codes                   401 403 403 own 200 403 403  shows $code
POST   /seller/discount-codes                   401 403 403 201 201 403 403  {"code": "$new_code", "percent_bps": 1000}
PATCH  /seller/discount-codes/$code             401 403 403 200 404 403 403  {"disabled": true}
GET    /admin/discount-codes                    401 403 403 403 403 403 200
POST   /admin/discount-codes                    401 403 403 403 403 403 201  {"code": "$new_code", "percent_bps": 1000}
PATCH  /admin/discount-codes/$platform_code     401 403 403 403 403 403 200  {"disabled": true}

# Reviews of products
POST   /products/$product/reviews               401 201 404 404 404 404 404  {"order_item_id": "$item", "rating": 5}
PATCH  /reviews/$review                         401 200 404 404 404 404 404  {"rating": 4}
DELETE /reviews/$review                         401 204 404 404 404 404 404
GET    /seller/reviews                          401 403 403 own 200 403 403  shows $review
PUT    /seller/reviews/$review/answer           401 403 403 200 404 403 403  {"text": "Thank you."}
DELETE /seller/reviews/$review/answer           401 403 403 200 404 403 403
GET    /admin/reviews                           401 403 403 403 403 403 200
POST   /admin/reviews/$review/hide              401 403 403 403 403 403 200
POST   /admin/reviews/$hidden/show              401 403 403 403 403 403 200

# Everybody's own cart
GET    /cart                                    401 own 200 200 200 200 200  shows $in_cart
PUT    /cart/items/$variant                     401 200 200 403 200 403 200  {"quantity": 2}
DELETE /cart/items/$in_cart                     401 204 204 204 204 204 204
DELETE /cart                                    401 204 204 204 204 204 204
POST   /cart/merge                              401 200 200 200 200 200 200  {"items": [{"variant_id": "$variant", "quantity": 1}]}

# Buying. A shop's owner buys nothing of it, and of one that is suspended nobody does.
POST   /flash-sales/$sale/holds                 401 201 201 403 201 409 201  {"quantity": 1}
DELETE /flash-sales/$sale/holds/$hold           401 204 404 404 404 404 404
GET    /flash-sales/$line/place                 401 200 404 404 404 404 404
DELETE /flash-sales/$line/place                 401 204 404 404 404 404 404
POST   /orders/checkout                         401 201 404 403 404 403 404  {"address_id": "$address", "items": [{"variant_id": "$variant", "quantity": 1}]}
POST   /orders/checkout                         401 201 201 403 201 403 201  {"address": {"recipient": "Test Buyer", "line1": "1 Quay Street", "city": "Hamburg", "postal_code": "20457", "country": "DE"}, "items": [{"variant_id": "$variant", "quantity": 1}]}
GET    /orders/checkout/$checkout               401 200 404 404 404 404 404
DELETE /orders/checkout/$checkout               401 204 404 404 404 404 404
POST   /orders                                  401 201 404 404 404 404 404  {"checkout_id": "$checkout"}
GET    /orders                                  401 own 200 200 200 200 200  shows $order
GET    /orders/$order                           401 200 404 404 404 404 404
POST   /orders/$order/cancel                    401 200 404 404 404 404 404
POST   /orders/$arrived/returns                 401 201 404 404 404 404 404  {"order_item_id": "$arrived_item", "quantity": 1, "reason": "Too small"}
GET    /orders/$arrived/returns                 401 200 404 404 404 404 404
POST   /orders/$arrived/returns/$return/withdraw 401 200 404 404 404 404 404
POST   /orders/$arrived/returns/$approved/sent  401 200 404 404 404 404 404  {"carrier": "DHL", "tracking": "JD014600005SE"}
GET    /seller/returns                          401 403 403 own 200 own 403  shows $return
POST   /seller/returns/$return/approve          401 403 403 200 404 200 403  {"answer": "Please send it to 1 Quay Street, Hamburg"}
POST   /seller/returns/$return/reject           401 403 403 200 404 200 403  {"answer": "Made to order"}
POST   /seller/returns/$approved/receive        401 403 403 200 404 200 403  {"restocked": 1}
GET    /admin/returns                           401 403 403 403 403 403 own  shows $return
POST   /admin/returns/$return/approve           401 403 403 403 403 403 200  {"answer": "Please send it to 1 Quay Street, Hamburg"}
POST   /admin/returns/$return/reject            401 403 403 403 403 403 200  {"answer": "Made to order"}
POST   /admin/returns/$approved/receive         401 403 403 403 403 403 200  {"restocked": 0}
POST   /orders/$sent/claims                     401 201 404 404 404 404 404  {"order_item_id": "$sent_item", "quantity": 1, "reason": "Nothing came in three weeks"}
GET    /orders/$sent/claims                     401 200 404 404 404 404 404
POST   /orders/$sent/claims/$claim/withdraw     401 200 404 404 404 404 404
GET    /seller/claims                           401 403 403 own 200 own 403  shows $claim
POST   /seller/claims/$claim/answer             401 403 403 200 404 200 403  {"answer": "DHL, JD014600006SE: signed for"}
GET    /admin/claims                            401 403 403 403 403 403 200
POST   /admin/claims/$claim/reject              401 403 403 403 403 403 200  {"answer": "It was signed for"}
POST   /admin/claims/$claim/uphold              401 403 403 403 403 403 200  {"answer": "The carrier knows of no such parcel"}
POST   /orders/$paid/cancel                     401 200 404 404 404 404 404
POST   /orders/$paid/items/$paid_item/cancel    401 200 404 404 404 404 404  {"quantity": 1, "reason": "Ordered twice"}
POST   /seller/orders/$paid/items/$paid_item/cancel 401 403 403 200 404 200 403  {"quantity": 1, "reason": "Broken on its way out of the kiln"}
POST   /admin/orders/$paid/refunds              401 403 403 403 403 403 201  {"items": [{"order_item_id": "$paid_item", "quantity": 1}], "reason": "Arrived with a crack"}
GET    /admin/refunds                           401 403 403 403 403 403 200
GET    /admin/refunds/$refund                   401 403 403 403 403 403 200
POST   /admin/refunds/$refund/retry             401 403 403 403 403 403 201
POST   /admin/refunds/$refund/settle-outside    401 403 403 403 403 403 201  {"reason": "Bank transfer, the card is closed"}
GET    /admin/disputes                          401 403 403 403 403 403 200
GET    /admin/disputes/$dispute                 401 403 403 403 403 403 200
GET    /orders/$delivered/receipt               401 200 404 404 404 404 404
POST   /orders/$order/payments                  401 201 404 404 404 404 404  {"token": "test_success"}
GET    /orders/$order/payments/$payment         401 200 404 404 404 404 404
POST   /orders/$order/payments/$payment/confirm 401 200 404 404 404 404 404
POST   /orders/$order/payments/$payment/cancel  401 200 404 404 404 404 404

# What was bought goes to its buyer. A shop sees what is its own, once it is paid, and one that
# is suspended still owes it.
GET    /seller/orders                           401 403 403 own 200 own 403  shows $paid
GET    /seller/orders/export                    401 403 403 own 200 own 403  shows $paid
GET    /seller/orders/$paid                     401 403 403 200 404 200 403
POST   /seller/orders/$paid/shipments           401 403 403 201 404 201 403  {"carrier": "dhl", "tracking": "$parcel_number"}
GET    /seller/orders/$sent/shipments           401 403 403 200 404 200 403
PATCH  /seller/shipments/$parcel                401 403 403 200 404 200 403  {"tracking": "$parcel_number"}
POST   /orders/$sent/confirm                    401 200 404 404 404 404 404
POST   /orders/$sent/shipments/$parcel/confirm  401 200 404 404 404 404 404

# What providers tell, believed by its signature
POST   /webhooks/carrier                        200 200 200 200 200 200 200  {"id": "evt_1", "type": "delivered", "carrier": "dhl", "tracking": "JD014600003SE"}
POST   /webhooks/$provider                      200 200 200 200 200 200 200  {"id": "evt_1", "type": "payment.succeeded", "subject": "0191e2a4-0006-7000-8000-000000000006"}

# What shops earn. One that is suspended may still look.
GET    /seller/balance                          401 403 403 200 200 200 403
GET    /seller/earnings                         401 403 403 own 200 own 403  shows $earning
GET    /seller/payout-accounts                  401 403 403 own 200 own 403  shows $bank
POST   /seller/payout-accounts                  401 403 403 201 201 403 403  {"destination": "test_bank"}
PATCH  /seller/payout-accounts/$bank            401 403 403 200 404 403 403  {"schedule": "weekly"}
DELETE /seller/payout-accounts/$bank            401 403 403 204 404 403 403
POST   /seller/payouts                          401 403 403 201 409 403 403  {"currency": "$payable"}
GET    /seller/payouts                          401 403 403 own 200 own 403  shows $payout
GET    /seller/payouts/$payout                  401 403 403 200 404 200 403
GET    /seller/payouts/$payout/lines            401 403 403 200 404 200 403
POST   /seller/payouts/$claimed/cancel          401 403 403 200 404 403 403
GET    /admin/payouts                           401 403 403 403 403 403 200
GET    /admin/payouts/$payout                   401 403 403 403 403 403 200
GET    /admin/payouts/$payout/lines             401 403 403 403 403 403 200
POST   /admin/payouts/$refused/retry            401 403 403 403 403 403 201
POST   /admin/sellers/$shop/payout-hold         401 403 403 403 403 403 201  {"reason": "many returns are open"}
DELETE /admin/sellers/$onhold/payout-hold       401 403 403 403 403 403 204
GET    /admin/commission-rules                  401 403 403 403 403 403 200
POST   /admin/commission-rules                  401 403 403 403 403 403 201  {"seller_id": "$shop", "rate_bps": 800}
GET    /admin/ledger/accounts                   401 403 403 403 403 403 200
GET    /admin/ledger/transactions               401 403 403 403 403 403 200
GET    /admin/orders                            401 403 403 403 403 403 own  shows $order
GET    /admin/orders/$order                     401 403 403 403 403 403 200
GET    /admin/audit                             401 403 403 403 403 403 200
GET    /admin/dead-letters                      401 403 403 403 403 403 own  shows $dead
POST   /admin/dead-letters/$dead/retry          401 403 403 403 403 403 200
POST   /admin/dead-letters/$dead/discard        401 403 403 403 403 403 200  {"reason": "the account is gone"}
POST   /admin/sellers/$indebted/write-offs      401 403 403 403 403 403 201  {"currency": "EUR", "reason": "closed for good"}

# Shows, as everybody sees them
GET    /streams/live                            200 200 200 200 200 200 200
GET    /streams/upcoming                        200 200 200 200 200 200 200
GET    /streams/$stream                         200 200 200 200 200 200 200
GET    /streams/$stream/products                200 200 200 200 200 200 200
GET    /streams/$stream/chat                    200 200 200 200 200 200 200
GET    /streams/$stream/chat-rules              200 200 200 200 200 200 200
GET    /streams/$stream/events                  200 200 200 200 200 200 200
GET    /streams/$stream/replay                  200 200 200 200 200 200 200
GET    /streams/$ended/summary                  200 200 200 200 200 200 200
POST   /streams/$stream/ticket                  200 200 200 200 200 200 200  {}
POST   /streams/$stream/ticket                  401 403 403 200 403 403 403  {"part": "host"}

# Shows of a shop. One that is suspended may still stop what it has begun.
GET    /seller/streams                          401 403 403 own 200 403 403  shows $scheduled
GET    /seller/streams/$ended/summary           401 403 403 200 404 403 403
POST   /streams                                 401 403 403 201 201 403 403  {"title": "Bowls"}
POST   /streams/$scheduled/cancel               401 403 403 200 404 403 403
PUT    /streams/$stream/products                401 403 403 200 404 403 403  {"product_ids": ["$product"]}
PUT    /streams/$stream/products/order          401 403 403 200 404 403 403  {"products": ["$product"]}
PUT    /streams/$stream/cover                   401 403 403 200 404 403 403  PNG
DELETE /streams/$stream/cover                   401 403 403 204 404 403 403
POST   /streams/$stream/start                   401 403 403 200 404 403 403
POST   /streams/$stream/end                     401 403 403 200 404 200 403
POST   /streams/$stream/feature                 401 403 403 200 404 403 403  {"product": "$product"}
DELETE /streams/$stream/feature                 401 403 403 204 404 204 403
POST   /streams/$stream/sales                   401 403 403 201 404 403 403  {"variant": "$variant", "quantity": 1, "price_minor": 1, "per_buyer": 1, "hold_seconds": 60, "ends_in_seconds": 60}
POST   /streams/$stream/sales/$sale/close       401 403 403 200 404 200 403

# Order in a show: its host's, suspended or not, and its moderators'
POST   /streams/$stream/mutes                   401 403 403 200 403 200 403  {"user": "$user", "seconds": 60}
DELETE /streams/$stream/mutes/$user             401 403 403 204 403 204 403
POST   /streams/$stream/timeouts                401 403 403 200 403 200 403  {"user": "$user", "seconds": 60}
POST   /streams/$stream/bans                    401 403 403 200 403 200 403  {"user": "$user"}
DELETE /streams/$stream/bans/$user              401 403 403 204 403 204 403
POST   /streams/$stream/pin                     401 403 403 200 403 200 403  {"message": "$message"}
DELETE /streams/$stream/pin                     401 403 403 204 403 204 403
POST   /streams/$stream/announcements           401 403 403 200 403 200 403  {"text": "Welcome"}
PATCH  /streams/$stream/chat-rules              401 403 403 200 403 200 403  {"slow_seconds": 10}
DELETE /streams/$stream/chat/$message           401 204 403 204 403 204 403
GET    /streams/$stream/reviews                 401 404 404 200 404 200 404
POST   /streams/$stream/reviews/$held/approve   401 403 403 200 403 200 403
POST   /streams/$stream/reviews/$held/reject    401 403 403 200 403 200 403
GET    /streams/$stream/reports                 401 404 404 200 404 200 404
POST   /streams/$stream/reports/$report/settle  401 404 404 200 404 200 404

# Order in all shows of a shop
GET    /seller/moderators                       401 403 403 own 200 403 403  shows $moderator
POST   /seller/moderators                       401 403 403 201 201 403 403  {"user_id": "$user", "rights": ["mute"]}
PATCH  /seller/moderators/$moderator            401 403 403 200 404 403 403  {"rights": ["pin"]}
DELETE /seller/moderators/$moderator            401 403 403 204 404 403 403
GET    /streams/$stream/moderators              401 403 403 200 404 403 403
POST   /streams/$stream/moderators              401 403 403 201 404 403 403  {"user_id": "$user", "rights": ["mute"]}
GET    /seller/bans                             401 403 403 own 200 own 403  shows $ban
POST   /seller/bans                             401 403 403 201 201 201 403  {"user": "$user"}
DELETE /seller/bans/$ban                        401 403 403 204 404 204 403
GET    /seller/blocked-words                    401 403 403 own 200 403 403  shows $word
POST   /seller/blocked-words                    401 403 403 201 201 403 403  {"word": "counterfeit", "action": "hold"}
PATCH  /seller/blocked-words/$word              401 403 403 200 404 403 403  {"action": "refuse"}
DELETE /seller/blocked-words/$word              401 403 403 204 404 403 403
GET    /seller/reports                          401 403 403 own 200 403 403  shows $report
POST   /seller/reports/$report/settle           401 403 403 200 404 403 403
GET    /admin/reports                           401 403 403 403 403 403 200
POST   /admin/reports/$report/settle            401 403 403 403 403 403 200
"#;
