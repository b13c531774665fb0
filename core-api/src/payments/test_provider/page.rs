//! The page of a bank that does not exist, where a buyer takes the second step of a payment
//! with the test provider: it says how much, asks yes or no, and sends the buyer back to where
//! the app said. There only while the test provider takes payments; whoever knows the page's
//! address may answer, as with a real bank's, and it is told to nobody but the buyer.

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use shared::error::ErrorCode;
use shared::money::Money;
use uuid::Uuid;

use super::TestProvider;
use super::store::Step;
use crate::http::Result;
use crate::payments::provider::ProviderError;
use crate::payments::return_url::origin_of;
use crate::state::State;

/// Where the pages are, before the provider's name for the payment.
pub(super) const PATH: &str = "/test-provider/second-step";

/// The pages' routes; no part of the API.
pub fn pages(config: &mut web::ServiceConfig) {
    let path = format!("{PATH}/{{reference}}");
    config.service(web::resource(path).get(show).post(take));
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Choice {
    Approve,
    Refuse,
}

#[derive(Deserialize)]
struct Chosen {
    choice: Choice,
}

fn provider(state: &State) -> Result<&TestProvider> {
    Ok(state.till.built_in.as_ref().ok_or(ErrorCode::NotFound)?)
}

async fn step_of(state: &State, reference: &str) -> Result<Step> {
    let reference: Uuid = reference.parse().map_err(|_| ErrorCode::NotFound)?;
    let found = provider(state)?.second_step(reference).await.map_err(trouble)?;
    Ok(found.ok_or(ErrorCode::NotFound)?)
}

fn trouble(error: ProviderError) -> anyhow::Error {
    anyhow::Error::new(error).context("the test provider's books")
}

async fn show(state: web::Data<State>, reference: web::Path<String>) -> Result<HttpResponse> {
    let step = step_of(&state, &reference).await?;
    Ok(answer(HttpResponse::Ok(), &step))
}

/// Takes the step, unless it was taken or its time was over, and sends the buyer back. What
/// came of it is not said: the app asks.
async fn take(
    state: web::Data<State>,
    reference: web::Path<String>,
    chosen: web::Form<Chosen>,
) -> Result<HttpResponse> {
    let step = step_of(&state, &reference).await?;
    let approves = chosen.choice == Choice::Approve;
    provider(&state)?
        .take_second_step(step.payment, approves)
        .await
        .map_err(trouble)?;
    let mut response = HttpResponse::SeeOther();
    response.insert_header((header::LOCATION, step.return_url.as_str()));
    Ok(answer(response, &step))
}

fn answer(mut response: actix_web::HttpResponseBuilder, step: &Step) -> HttpResponse {
    // A browser holds a form's whole way against this, the way back included.
    let back = origin_of(&step.return_url).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self' {back}; base-uri 'none'; frame-ancestors 'none'"
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.insert_header((header::CONTENT_SECURITY_POLICY, policy));
    }
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .content_type("text/html; charset=utf-8")
        .body(html(step))
}

fn html(step: &Step) -> String {
    let asks = if step.is_owed {
        "<form method=\"post\">\
         <button name=\"choice\" value=\"approve\">Approve</button> \
         <button name=\"choice\" value=\"refuse\">Refuse</button></form>"
            .to_owned()
    } else {
        let back = escaped(&step.return_url);
        format!("<p>This payment waits for nothing any more. <a href=\"{back}\">Back to the shop</a></p>")
    };
    let amount = shown(step.amount);
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Test bank</title>\
         <style>body{{font:18px/1.5 system-ui,sans-serif;max-width:28rem;margin:4rem auto;padding:0 1rem}}\
         button{{font:inherit;padding:.6em 1.4em}}</style></head><body><h1>Test bank</h1>\
         <p>A shop asks for <strong>{amount}</strong>. No real money moves.</p>{asks}</body></html>"
    )
}

/// An amount as people read it: `EUR 19.99`.
fn shown(amount: Money) -> String {
    let digits = usize::from(amount.currency.exponent());
    let text = format!("{:0width$}", amount.minor, width = digits + 1);
    let (whole, part) = text.split_at(text.len() - digits);
    let point = if digits == 0 { "" } else { "." };
    format!("{} {whole}{point}{part}", amount.currency)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use shared::ids::PaymentId;
    use shared::money::Currency;

    use super::*;

    #[test]
    fn an_amount_is_shown_with_its_currencys_digits() {
        let of = |minor, code| shown(Money::new(minor, Currency::parse(code).expect("a currency")));
        assert_eq!(of(1_999, "EUR"), "EUR 19.99");
        assert_eq!(of(5, "EUR"), "EUR 0.05");
        assert_eq!(of(500, "JPY"), "JPY 500");
        assert_eq!(of(1_234, "KWD"), "KWD 1.234");
    }

    #[test]
    fn the_way_back_is_written_as_text() {
        let step = Step {
            payment: PaymentId::new(),
            amount: Money::new(1, Currency::parse("EUR").expect("a currency")),
            is_owed: false,
            return_url: "https://shop.example/?a=\"><script>&payment=1".to_owned(),
        };
        let page = html(&step);
        assert!(page.contains("?a=&quot;&gt;&lt;script&gt;&amp;payment=1"), "{page}");
    }
}
