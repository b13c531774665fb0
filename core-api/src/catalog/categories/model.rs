//! Categories, and how their rows become a tree.

use std::collections::HashMap;

use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::CategoryId;
use utoipa::ToSchema;

use crate::http::rules::{is_slug, nullable, shown};

/// A node of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Category {
    /// Its id.
    pub id: CategoryId,
    /// Its name.
    pub name: String,
    /// Its name in addresses of pages.
    pub slug: String,
    /// What it divides into, in order.
    #[schema(no_recursion)]
    pub children: Vec<Category>,
}

/// A category to add.
#[derive(Deserialize, Validate, ToSchema)]
pub struct NewCategory {
    /// Its name.
    #[garde(custom(shown(1, 60)))]
    pub name: String,
    /// Its name in addresses of pages.
    #[garde(custom(is_slug))]
    #[schema(pattern = "^[a-z0-9]+(-[a-z0-9]+)*$")]
    pub slug: String,
    /// What it is a part of; absent: the top.
    #[garde(skip)]
    #[serde(default)]
    pub parent_id: Option<CategoryId>,
    /// Its place among its siblings, smallest first.
    #[garde(range(min = 0, max = 1_000_000))]
    #[serde(default)]
    pub position: i32,
}

/// A change of a category; what is absent stays.
#[derive(Serialize, Deserialize, Validate, ToSchema)]
pub struct CategoryChange {
    /// Its name.
    #[garde(inner(custom(shown(1, 60))))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its name in addresses of pages.
    #[garde(inner(custom(is_slug)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[a-z0-9]+(-[a-z0-9]+)*$")]
    pub slug: Option<String>,
    /// What it is a part of; null: the top. It moves with all that stands below it.
    #[garde(skip)]
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CategoryId>)]
    pub parent_id: Option<Option<CategoryId>>,
    /// Its place among its siblings, smallest first.
    #[garde(inner(range(min = 0, max = 1_000_000)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<i32>,
    /// `true` retires it and all that stands below it: no more products, not in the public
    /// tree. `false` takes it back, alone.
    #[garde(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<bool>,
}

/// A category as an admin sees it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CategoryRow {
    /// Its id.
    pub id: CategoryId,
    /// What it is a part of; null: the top.
    pub parent_id: Option<CategoryId>,
    /// Its name.
    pub name: String,
    /// Its name in addresses of pages.
    pub slug: String,
    /// Its place among its siblings, smallest first.
    pub position: i32,
    /// Whether it takes no more products and is not in the public tree.
    pub retired: bool,
}

/// Rows, in the order of siblings, as a tree of those that are not retired.
pub(super) fn tree(rows: Vec<CategoryRow>) -> Vec<Category> {
    let mut children: HashMap<Option<CategoryId>, Vec<CategoryRow>> = HashMap::new();
    for row in rows.into_iter().filter(|row| !row.retired) {
        children.entry(row.parent_id).or_default().push(row);
    }
    branch(&mut children, None)
}

/// Each parent's list is taken out, so that this ends whatever the rows say.
fn branch(children: &mut HashMap<Option<CategoryId>, Vec<CategoryRow>>, parent: Option<CategoryId>) -> Vec<Category> {
    let rows = children.remove(&parent).unwrap_or_default();
    rows.into_iter()
        .map(|row| Category {
            children: branch(children, Some(row.id)),
            id: row.id,
            name: row.name,
            slug: row.slug,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_stand_under_their_parents_in_order() {
        let (home, kitchen, bath, attic) = (
            CategoryId::new(),
            CategoryId::new(),
            CategoryId::new(),
            CategoryId::new(),
        );
        let node = |id, parent_id, slug: &str, retired| CategoryRow {
            id,
            parent_id,
            name: slug.to_owned(),
            slug: slug.to_owned(),
            position: 0,
            retired,
        };
        let tree = tree(vec![
            node(kitchen, Some(home), "kitchen", false),
            node(home, None, "home", false),
            node(bath, Some(home), "bath", false),
            node(attic, Some(home), "attic", true),
        ]);
        assert_eq!(tree.len(), 1);
        let slugs: Vec<_> = tree[0].children.iter().map(|c| c.slug.as_str()).collect();
        assert_eq!(slugs, ["kitchen", "bath"]);
    }
}
