//! Names for viewers that nobody bears: a colour and an animal.

const COLOURS: [&str; 20] = [
    "amber", "azure", "coral", "copper", "cobalt", "crimson", "ebony", "golden", "indigo", "ivory", "jade", "lilac",
    "mint", "olive", "pearl", "ruby", "saffron", "silver", "teal", "violet",
];
const ANIMALS: [&str; 25] = [
    "badger", "beaver", "crane", "dolphin", "falcon", "ferret", "finch", "gecko", "heron", "ibis", "koala", "lemur",
    "lynx", "marten", "newt", "otter", "panda", "puffin", "quail", "raven", "robin", "seal", "stoat", "tern", "wombat",
];

/// The handle of the `index`-th viewer: distinct for the first 500, numbered after.
pub fn handle(index: usize) -> String {
    let colour = COLOURS[index % COLOURS.len()];
    // The animal moves on with each round of colours, and neighbours differ in both.
    let animal = ANIMALS[(index + index / COLOURS.len()) % ANIMALS.len()];
    match index / (COLOURS.len() * ANIMALS.len()) {
        0 => format!("{colour}-{animal}"),
        round => format!("{colour}-{animal}-{round}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn two_thousand_viewers_have_two_thousand_handles() {
        let handles: HashSet<String> = (0..2000).map(handle).collect();
        assert_eq!(handles.len(), 2000);
        assert!(handles.iter().all(|handle| handle.len() <= 40));
    }
}
