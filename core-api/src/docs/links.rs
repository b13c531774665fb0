//! Where one can go from a thing that was just made: from a creation to every operation on
//! what it created. Read off the paths, so that a new route is linked by being there.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::openapi::link::LinkBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{Components, OpenApi, RefOr};

/// A path and the operation there whose name is given.
type Target = (String, String);

/// Adds to each 201 a link to every operation that is about what was made.
pub(super) fn add(api: &mut OpenApi) {
    let targets: Vec<Target> = api
        .paths
        .paths
        .iter()
        .flat_map(|(path, item)| named(item).map(|name| (path.clone(), name)))
        .collect();
    let components = api.components.clone().unwrap_or_default();
    for (path, item) in &mut api.paths.paths {
        if let Some(creation) = &mut item.post {
            link(path, creation, &targets, &components);
        }
    }
}

fn named(item: &PathItem) -> impl Iterator<Item = String> {
    let all = [&item.get, &item.post, &item.put, &item.patch, &item.delete];
    let names: Vec<_> = { all }
        .into_iter()
        .filter_map(|operation| operation.as_ref()?.operation_id.clone())
        .collect();
    names.into_iter()
}

fn link(path: &str, creation: &mut Operation, targets: &[Target], components: &Components) {
    let Some(RefOr::T(created)) = creation.responses.responses.get_mut("201") else {
        return;
    };
    let Some(RefOr::T(made)) = created.content.get("application/json") else {
        return;
    };
    let Some(fields) = made.schema.as_ref().and_then(|schema| fields(schema, components)) else {
        return;
    };
    for (target, name) in targets {
        let Some(new) = target.strip_prefix(path).and_then(only_new) else {
            continue;
        };
        let source = [new, "id"]
            .into_iter()
            .find(|field| fields.iter().any(|known| known == field));
        let Some(source) = source else { continue };
        let mut parameters: BTreeMap<String, Value> = parameters(path)
            .map(|known| (known.to_owned(), format!("$request.path.{known}").into()))
            .collect();
        parameters.insert(new.to_owned(), format!("$response.body#/{source}").into());
        let there = parameters
            .into_iter()
            .fold(LinkBuilder::new(), |link, (name, value)| link.parameter(name, value));
        created
            .links
            .insert(name.clone(), RefOr::T(there.operation_id(name).build()));
    }
}

/// The names in braces of a path.
fn parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// The one parameter that the rest of a path begins with; `None` if another follows.
fn only_new(rest: &str) -> Option<&str> {
    let mut new = parameters(rest.strip_prefix('/').filter(|rest| rest.starts_with('{'))?);
    new.next().filter(|_| new.next().is_none())
}

/// The names of an object's fields, where the schema is one.
fn fields(schema: &RefOr<Schema>, components: &Components) -> Option<Vec<String>> {
    let schema = match schema {
        RefOr::T(schema) => schema,
        RefOr::Ref(to) => {
            let name = to.ref_location.rsplit('/').next()?;
            return fields(components.schemas.get(name)?, components);
        }
    };
    match schema {
        Schema::Object(object) => Some(object.properties.keys().cloned().collect()),
        Schema::AllOf(all) => Some(
            all.items
                .iter()
                .filter_map(|part| fields(part, components))
                .flatten()
                .collect(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_the_new_thing_is_linked() {
        assert_eq!(only_new("/{id}"), Some("id"));
        assert_eq!(only_new("/{id}/cancel"), Some("id"));
        assert_eq!(only_new("/{id}/payments/{payment}"), None);
        assert_eq!(only_new("/imports/{id}"), None);
        assert_eq!(only_new(""), None);
    }

    #[test]
    fn an_order_leads_to_its_payment() {
        let api = serde_json::to_value(super::super::openapi().expect("a description")).expect("JSON");
        let links = &api["paths"]["/orders"]["post"]["responses"]["201"]["links"];
        let pay = &links["orders_payments_pay"];
        assert_eq!(pay["parameters"]["id"], "$response.body#/id", "{links}");
        let paid = &api["paths"]["/orders/{id}/payments"]["post"]["responses"]["201"]["links"];
        let confirm = &paid["orders_payments_confirm"]["parameters"];
        assert_eq!(confirm["id"], "$request.path.id", "{paid}");
        assert_eq!(confirm["payment"], "$response.body#/id");
    }
}
