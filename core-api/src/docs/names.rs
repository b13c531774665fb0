//! What operations are called: clients that are made from the description name their
//! functions so. A name is the path's fixed parts and the handler's own name, so that no
//! two can meet by accident and none changes when another route comes.

use utoipa::openapi::path::Operation;

/// Names an operation of `path` after its handler, whose name it has so far.
pub(super) fn name(path: &str, operation: &mut Operation) {
    let handler = operation.operation_id.take().unwrap_or_default();
    operation.operation_id = Some(operation_id(path, &handler));
}

/// `/seller/products/imports` and `list` are `seller_products_imports_list`; what the
/// handler's name says again at the end of the path is said once.
fn operation_id(path: &str, handler: &str) -> String {
    let mut parts: Vec<String> = path
        .split('/')
        .filter(|part| !part.is_empty() && !part.starts_with('{'))
        .map(|part| part.replace(|c: char| !c.is_ascii_alphanumeric(), "_"))
        .collect();
    while let Some(last) = parts.last()
        && handler.contains(last.strip_suffix('s').unwrap_or(last))
    {
        parts.pop();
    }
    parts.push(handler.to_owned());
    parts.join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_where_and_what_and_nothing_twice() {
        assert_eq!(operation_id("/orders/{id}", "get"), "orders_get");
        assert_eq!(operation_id("/orders/{id}/cancel", "cancel"), "orders_cancel");
        assert_eq!(operation_id("/streams/{id}/mutes/{user}", "unmute"), "streams_unmute");
        assert_eq!(
            operation_id("/auth/logout/everywhere", "logout_everywhere"),
            "auth_logout_everywhere"
        );
        assert_eq!(
            operation_id("/seller/shipping-profiles", "list"),
            "seller_shipping_profiles_list"
        );
        assert_eq!(operation_id("/openapi.json", "openapi_json"), "openapi_json");
    }
}
