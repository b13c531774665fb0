//! Categories, and how their rows become a tree.

use std::collections::HashMap;

use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::CategoryId;
use utoipa::ToSchema;

use crate::http::rules::{is_slug, shown};

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

/// A row.
pub(super) struct Node {
    pub id: CategoryId,
    pub parent_id: Option<CategoryId>,
    pub name: String,
    pub slug: String,
}

/// Nodes, in the order of siblings, as a tree.
pub(super) fn tree(nodes: Vec<Node>) -> Vec<Category> {
    let mut children: HashMap<Option<CategoryId>, Vec<Node>> = HashMap::new();
    for node in nodes {
        children.entry(node.parent_id).or_default().push(node);
    }
    branch(&mut children, None)
}

/// Each parent's list is taken out, so that this ends whatever the rows say.
fn branch(children: &mut HashMap<Option<CategoryId>, Vec<Node>>, parent: Option<CategoryId>) -> Vec<Category> {
    let nodes = children.remove(&parent).unwrap_or_default();
    nodes
        .into_iter()
        .map(|node| Category {
            children: branch(children, Some(node.id)),
            id: node.id,
            name: node.name,
            slug: node.slug,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_stand_under_their_parents_in_order() {
        let (home, kitchen, bath) = (CategoryId::new(), CategoryId::new(), CategoryId::new());
        let node = |id, parent_id, slug: &str| Node {
            id,
            parent_id,
            name: slug.to_owned(),
            slug: slug.to_owned(),
        };
        let tree = tree(vec![
            node(kitchen, Some(home), "kitchen"),
            node(home, None, "home"),
            node(bath, Some(home), "bath"),
        ]);
        assert_eq!(tree.len(), 1);
        let slugs: Vec<_> = tree[0].children.iter().map(|c| c.slug.as_str()).collect();
        assert_eq!(slugs, ["kitchen", "bath"]);
    }
}
