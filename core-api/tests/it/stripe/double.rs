//! A stand-in for Stripe that knows what localstripe does not: idempotency keys, transfers,
//! disputes, ways back, searching, and every way of not answering. What it answers is whole,
//! and all that is said to it and by it is kept, so that both can be held against Stripe's own
//! description.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use actix_web::dev::ServerHandle;
use actix_web::http::Method;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use reqwest::Url;
use serde_json::{Value, json};

/// The key of whoever may ask.
pub const KEY: &str = "sk_test_of_the_double";

/// What goes wrong with the next request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// It is carried out, and the answer is lost.
    AnswerLost,
    /// It is not carried out: too many requests.
    TooMany,
    /// It is not carried out: another one is under way under its key.
    KeyInUse,
    /// It is not carried out, and a server's error says so.
    Broken,
}

/// A request and what was answered.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub method: String,
    pub path: String,
    pub fields: Vec<(String, String)>,
    pub key: Option<String>,
    pub status: u16,
    pub answer: Value,
}

/// Stripe's books, as far as they go here.
#[derive(Default)]
pub struct Books {
    pub intents: Vec<Value>,
    pub refunds: Vec<Value>,
    pub transfers: Vec<Value>,
    pub disputes: Vec<Value>,
    /// What the account is held in, where that is not what buyers pay in.
    pub settles_in: Option<&'static str>,
    kept: BTreeMap<String, (String, u16, Value)>,
    pub exchanges: Vec<Exchange>,
    pub troubles: VecDeque<(&'static str, Trouble)>,
    made: u32,
}

/// A stand-in that answers.
#[derive(Clone)]
pub struct Double {
    pub books: Arc<Mutex<Books>>,
    pub api: Url,
    _server: Arc<Server>,
}

struct Server(ServerHandle);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.stop(false));
    }
}

type Fields = Vec<(String, String)>;

fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = fields.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}

fn metadata(fields: &[(String, String)]) -> Value {
    let inner = |name: &str| Some(name.strip_prefix("metadata[")?.strip_suffix(']')?.to_owned());
    let pairs = fields
        .iter()
        .filter_map(|(name, value)| Some((inner(name)?, json!(value))));
    Value::Object(pairs.collect())
}

fn refusal(status: u16, kind: &str, code: &str, param: Option<&str>) -> (u16, Value) {
    let mut error = json!({"type": kind, "code": code, "message": "no"});
    if let Some(param) = param {
        error["param"] = json!(param);
    }
    (status, json!({"error": error}))
}

fn missing(param: &str) -> (u16, Value) {
    refusal(404, "invalid_request_error", "resource_missing", Some(param))
}

fn list(url: &str, data: &[Value], has_more: bool) -> (u16, Value) {
    (
        200,
        json!({"object": "list", "url": url, "data": data, "has_more": has_more}),
    )
}

impl Books {
    fn id(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}{:08}", self.made)
    }

    /// Changes an intent behind everybody's back.
    pub fn intent(&mut self, id: &str) -> &mut Value {
        let found = self.intents.iter_mut().find(|intent| intent["id"] == id);
        found.expect("an intent")
    }

    fn create_intent(&mut self, fields: &[(String, String)]) -> (u16, Value) {
        let method = field(fields, "payment_method").unwrap_or_default();
        if method == "pm_missing" {
            return refusal(400, "invalid_request_error", "resource_missing", Some("payment_method"));
        }
        let id = self.id("pi_");
        let number = |name| field(fields, name).and_then(|text| text.parse::<i64>().ok());
        self.intents.push(json!({
            "id": id, "object": "payment_intent", "amount": number("amount"), "currency": field(fields, "currency"),
            "capture_method": field(fields, "capture_method"), "confirmation_method": "automatic",
            "created": 1_795_399_200, "livemode": false, "metadata": metadata(fields),
            "payment_method": method, "payment_method_types": ["card"], "status": "requires_confirmation",
            "client_secret": format!("{id}_secret_x"), "latest_charge": null, "last_payment_error": null,
            "next_action": null,
        }));
        (200, self.intents.last().cloned().expect("it was added"))
    }

    fn charge(&mut self, intent: &Value, outcome: &str) -> Value {
        let (charge, transaction) = (self.id("ch_"), self.id("txn_"));
        let (amount, currency) = (intent["amount"].clone(), intent["currency"].clone());
        let settled_in = self.settles_in.map_or_else(|| currency.clone(), |held| json!(held));
        let booked = json!({
            "id": transaction, "object": "balance_transaction", "amount": amount, "currency": settled_in,
            "available_on": 1_795_399_200, "created": 1_795_399_200, "fee": 59, "fee_details": [], "net": 1,
            "reporting_category": "charge", "status": "available", "type": "charge", "source": charge,
        });
        let billing = json!({"address": null, "email": null, "name": null, "phone": null});
        let is_paid = outcome == "succeeded";
        json!({
            "id": charge, "object": "charge", "amount": amount, "amount_captured": amount, "amount_refunded": 0,
            "balance_transaction": if is_paid { booked } else { Value::Null }, "billing_details": billing,
            "captured": is_paid, "created": 1_795_399_200, "currency": currency, "disputed": false,
            "livemode": false, "metadata": intent["metadata"], "paid": is_paid, "refunded": false, "status": outcome,
            "payment_intent": intent["id"],
        })
    }

    fn confirm(&mut self, id: &str, fields: &[(String, String)]) -> (u16, Value) {
        let Some(intent) = self.intents.iter().find(|intent| intent["id"] == id).cloned() else {
            return missing("intent");
        };
        if intent["status"] != "requires_confirmation" {
            return refusal(400, "invalid_request_error", "payment_intent_unexpected_state", None);
        }
        match intent["payment_method"].as_str().unwrap_or_default() {
            "pm_declined" => return self.decline(id, "card_declined", "insufficient_funds"),
            "pm_bad_return" => {
                return refusal(400, "invalid_request_error", "url_invalid", Some("return_url"));
            }
            "pm_second_step" => {
                let action = match field(fields, "return_url") {
                    Some(url) => json!({"type": "redirect_to_url", "redirect_to_url":
                        {"url": "https://hooks.stripe.example/authenticate", "return_url": url}}),
                    None => json!({"type": "use_stripe_sdk", "use_stripe_sdk": {}}),
                };
                let intent = self.intent(id);
                (intent["status"], intent["next_action"]) = (json!("requires_action"), action);
            }
            "pm_slow" => self.intent(id)["status"] = json!("processing"),
            _ => {
                self.succeed(id);
            }
        }
        (200, self.intent(id).clone())
    }

    fn decline(&mut self, id: &str, code: &str, decline_code: &str) -> (u16, Value) {
        let before = self.intent(id).clone();
        let charge = self.charge(&before, "failed");
        let error = json!({"type": "card_error", "code": code, "decline_code": decline_code, "message": "no"});
        let intent = self.intent(id);
        (intent["status"], intent["latest_charge"]) = (json!("requires_payment_method"), charge);
        (intent["last_payment_error"], intent["payment_method"]) = (error.clone(), Value::Null);
        intent["next_action"] = Value::Null;
        let mut error = error;
        error["payment_intent"] = intent.clone();
        (402, json!({"error": error}))
    }

    /// The bank has said no to a second step.
    pub fn refuse(&mut self, id: &str) {
        self.decline(id, "payment_intent_authentication_failure", "");
    }

    /// The money has moved.
    pub fn succeed(&mut self, id: &str) {
        let before = self.intent(id).clone();
        let charge = self.charge(&before, "succeeded");
        let intent = self.intent(id);
        (intent["status"], intent["latest_charge"]) = (json!("succeeded"), charge);
        intent["next_action"] = Value::Null;
    }

    fn cancel(&mut self, id: &str) -> (u16, Value) {
        if !self.intents.iter().any(|intent| intent["id"] == id) {
            return missing("intent");
        }
        let intent = self.intent(id);
        if !matches!(
            intent["status"].as_str(),
            Some("requires_confirmation" | "requires_action" | "requires_payment_method")
        ) {
            return refusal(400, "invalid_request_error", "payment_intent_unexpected_state", None);
        }
        intent["status"] = json!("canceled");
        intent["next_action"] = Value::Null;
        (200, intent.clone())
    }

    fn refund(&mut self, fields: &[(String, String)]) -> (u16, Value) {
        let id = field(fields, "payment_intent").unwrap_or_default().to_owned();
        let Some(intent) = self.intents.iter().find(|intent| intent["id"] == id).cloned() else {
            return missing("payment_intent");
        };
        let of = self.refunds.iter().filter(|refund| refund["payment_intent"] == id);
        let given: i64 = of.filter_map(|refund| refund["amount"].as_i64()).sum();
        let amount: i64 = field(fields, "amount")
            .and_then(|text| text.parse().ok())
            .unwrap_or_default();
        let paid = intent["amount"].as_i64().unwrap_or_default();
        if given == paid {
            return refusal(400, "invalid_request_error", "charge_already_refunded", None);
        }
        if given + amount > paid {
            let (status, mut body) = refusal(400, "invalid_request_error", "", Some("amount"));
            body["error"].as_object_mut().expect("an object").remove("code");
            return (status, body);
        }
        let refund = json!({
            "id": self.id("re_"), "object": "refund", "amount": amount, "currency": intent["currency"],
            "created": 1_795_399_200, "metadata": metadata(fields), "payment_intent": id,
            "charge": intent["latest_charge"]["id"], "status": "succeeded", "reason": null,
        });
        self.refunds.push(refund.clone());
        (200, refund)
    }

    fn transfer(&mut self, fields: &[(String, String)]) -> (u16, Value) {
        let destination = field(fields, "destination").unwrap_or_default();
        if destination == "acct_poor" {
            return refusal(400, "invalid_request_error", "balance_insufficient", None);
        }
        if destination == "acct_missing" {
            return refusal(400, "invalid_request_error", "resource_missing", Some("destination"));
        }
        let id = self.id("tr_");
        let url = format!("/v1/transfers/{id}/reversals");
        let amount: Option<i64> = field(fields, "amount").and_then(|text| text.parse().ok());
        let transfer = json!({
            "id": id, "object": "transfer", "amount": amount, "amount_reversed": 0, "created": 1_795_399_200,
            "currency": field(fields, "currency"), "destination": destination, "livemode": false,
            "metadata": metadata(fields), "reversed": false, "transfer_group": field(fields, "transfer_group"),
            "reversals": {"object": "list", "data": [], "has_more": false, "url": url},
        });
        self.transfers.push(transfer.clone());
        (200, transfer)
    }

    /// A page of those that a query asks for, the newest first.
    fn page(all: &[Value], by: &str, path: &str, fields: &[(String, String)]) -> (u16, Value) {
        let wanted = field(fields, by).unwrap_or_default();
        let of: Vec<Value> = all.iter().rev().filter(|one| one[by] == wanted).cloned().collect();
        let limit: usize = field(fields, "limit").and_then(|text| text.parse().ok()).unwrap_or(10);
        let from = match field(fields, "starting_after") {
            Some(id) => of.iter().position(|one| one["id"] == id).map_or(of.len(), |at| at + 1),
            None => 0,
        };
        let page: Vec<Value> = of.iter().skip(from).take(limit).cloned().collect();
        list(path, &page, of.len() > from + limit)
    }

    fn search(&self, fields: &[(String, String)]) -> (u16, Value) {
        let query = field(fields, "query").unwrap_or_default();
        let wanted = query
            .strip_prefix("metadata['hawker_payment']:'")
            .and_then(|rest| rest.strip_suffix('\''));
        let found = |intent: &&Value| intent["metadata"]["hawker_payment"].as_str() == wanted;
        let data: Vec<Value> = self.intents.iter().filter(found).cloned().collect();
        (
            200,
            json!({"object": "search_result", "url": "/v1/payment_intents/search", "data": data, "has_more": false}),
        )
    }

    fn dispute(&self, id: &str) -> (u16, Value) {
        let Some(mut dispute) = self.disputes.iter().find(|dispute| dispute["id"] == id).cloned() else {
            return missing("dispute");
        };
        let intent = self
            .intents
            .iter()
            .find(|intent| intent["id"] == dispute["payment_intent"]);
        dispute["payment_intent"] = intent.cloned().unwrap_or_default();
        (200, dispute)
    }

    /// The buyer's bank calls a capture into question.
    pub fn open_dispute(&mut self, intent: &str) -> String {
        let intent = self.intent(intent).clone();
        let id = self.id("dp_");
        let details = json!({"due_by": null, "has_evidence": false, "past_due": false, "submission_count": 0});
        self.disputes.push(json!({
            "id": id, "object": "dispute", "amount": intent["amount"], "currency": intent["currency"],
            "balance_transactions": [], "charge": intent["latest_charge"]["id"], "created": 1_795_399_200,
            "evidence": {}, "evidence_details": details, "is_charge_refundable": false, "livemode": false,
            "metadata": {}, "payment_intent": intent["id"], "reason": "fraudulent", "status": "needs_response",
        }));
        id
    }

    fn route(&mut self, method: &Method, path: &str, fields: &[(String, String)]) -> (u16, Value) {
        let parts: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
        match (method.as_str(), &parts[..]) {
            ("POST", ["payment_intents"]) => self.create_intent(fields),
            ("POST", ["payment_intents", id, "confirm"]) => self.confirm(id, fields),
            ("POST", ["payment_intents", id, "cancel"]) => self.cancel(id),
            ("GET", ["payment_intents", "search"]) => self.search(fields),
            ("GET", ["payment_intents", id]) => {
                let found = self.intents.iter().find(|intent| intent["id"] == *id);
                found.map_or_else(|| missing("intent"), |intent| (200, intent.clone()))
            }
            ("POST", ["refunds"]) => self.refund(fields),
            ("GET", ["refunds"]) => Self::page(&self.refunds, "payment_intent", path, fields),
            ("POST", ["transfers"]) => self.transfer(fields),
            ("GET", ["transfers"]) => Self::page(&self.transfers, "transfer_group", path, fields),
            ("GET", ["disputes", id]) => self.dispute(id),
            _ => refusal(404, "invalid_request_error", "url_unknown", None),
        }
    }

    /// Under a key everything is done once, and answered as it was.
    fn once(
        &mut self,
        method: &Method,
        path: &str,
        fields: &[(String, String)],
        key: Option<&str>,
    ) -> (u16, Value, bool) {
        let asked = format!("{method} {path} {fields:?}");
        if let Some((before, status, answer)) = key.and_then(|key| self.kept.get(key)) {
            if *before != asked {
                let (status, answer) = refusal(400, "idempotency_error", "idempotency_key_mismatch", None);
                return (status, answer, false);
            }
            return (*status, answer.clone(), true);
        }
        let (status, answer) = self.route(method, path, fields);
        // A request that was never begun is not kept.
        if let Some(key) = key
            && (status < 400 || status == 402)
        {
            self.kept.insert(key.to_owned(), (asked, status, answer.clone()));
        }
        (status, answer, false)
    }

    /// A day has passed: keys are forgotten.
    pub fn forget_keys(&mut self) {
        self.kept.clear();
    }

    fn trouble(&mut self, path: &str) -> Option<Trouble> {
        let (what, trouble) = *self.troubles.front()?;
        path.ends_with(what).then(|| {
            self.troubles.pop_front();
            trouble
        })
    }
}

fn answer(books: &Mutex<Books>, request: &HttpRequest, body: &[u8]) -> (u16, Value, bool) {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let text = if request.method() == Method::POST {
        body
    } else {
        request.query_string().as_bytes()
    };
    let fields: Fields = serde_urlencoded(text);
    let (path, key) = (request.path(), header("idempotency-key"));
    let mut books = books.lock().expect("sound");
    let trouble = books.trouble(path);
    let said = match trouble {
        _ if header("authorization") != Some(&format!("Bearer {KEY}")) => {
            let (status, body) = refusal(401, "invalid_request_error", "", None);
            (status, body, false)
        }
        Some(Trouble::TooMany) => {
            let (status, body) = refusal(429, "invalid_request_error", "rate_limit", None);
            (status, body, false)
        }
        Some(Trouble::KeyInUse) => {
            let (status, body) = refusal(409, "idempotency_error", "idempotency_key_in_use", None);
            (status, body, false)
        }
        Some(Trouble::Broken) => (500, Value::Null, false),
        Some(Trouble::AnswerLost) => {
            books.once(request.method(), path, &fields, key);
            (502, Value::Null, false)
        }
        None => books.once(request.method(), path, &fields, key),
    };
    books.exchanges.push(Exchange {
        method: request.method().to_string(),
        path: path.to_owned(),
        fields,
        key: key.map(str::to_owned),
        status: said.0,
        answer: said.1.clone(),
    });
    said
}

/// A form's fields, in order.
fn serde_urlencoded(text: &[u8]) -> Fields {
    let text = std::str::from_utf8(text).expect("text");
    let url = Url::parse(&format!("http://x/?{text}")).expect("fields");
    url.query_pairs().into_owned().collect()
}

async fn serve(request: HttpRequest, body: web::Bytes, books: web::Data<Mutex<Books>>) -> HttpResponse {
    let (status, body, is_replayed) = answer(&books, &request, &body);
    let status = actix_web::http::StatusCode::from_u16(status).expect("a status");
    let mut response = HttpResponse::build(status);
    if is_replayed {
        response.insert_header(("idempotent-replayed", "true"));
    }
    response.json(body)
}

impl Double {
    /// Starts on a port of its own.
    pub fn start() -> Self {
        let books = Arc::new(Mutex::new(Books::default()));
        let data = web::Data::from(books.clone());
        let server = HttpServer::new(move || App::new().app_data(data.clone()).default_service(web::to(serve)));
        let server = server.workers(1).disable_signals().shutdown_timeout(1);
        let server = server.bind("127.0.0.1:0").expect("a port");
        let api = format!("http://{}", server.addrs()[0]).parse().expect("an address");
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self {
            books,
            api,
            _server: Arc::new(Server(handle)),
        }
    }

    /// Goes wrong with the next request to a path that ends so.
    pub fn trouble(&self, path: &'static str, trouble: Trouble) {
        self.look(|books| books.troubles.push_back((path, trouble)));
    }

    /// Looks at its books, or changes them.
    pub fn look<T>(&self, look: impl FnOnce(&mut Books) -> T) -> T {
        look(&mut self.books.lock().expect("sound"))
    }

    /// Requests so far that went to a path that ends so.
    pub fn asked(&self, method: &str, path: &str) -> usize {
        self.look(|books| {
            let to = |exchange: &&Exchange| exchange.method == method && exchange.path.ends_with(path);
            books.exchanges.iter().filter(to).count()
        })
    }
}
