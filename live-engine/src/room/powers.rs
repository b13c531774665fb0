//! Who may run a show, as its room knows it: the host, and moderators with their rights.
//!
//! Read when the room opens and again whenever an appointment has changed. It spares the
//! database what cannot succeed; the command's own transaction decides.

use std::collections::HashMap;

use shared::error::{ErrorCode, Refusal};
use shared::ids::UserId;
use shared::protocol::HostCommand;
use shared::rights::{Right, Rights};

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Powers {
    host: UserId,
    moderators: HashMap<UserId, Rights>,
}

impl Powers {
    /// The host's, and those of moderators.
    #[must_use]
    pub fn new(host: UserId, moderators: Vec<(UserId, Rights)>) -> Self {
        Self {
            host,
            moderators: moderators.into_iter().collect(),
        }
    }

    /// What this person may do as a moderator; the host may do everything.
    #[must_use]
    pub fn rights(&self, user: UserId) -> Rights {
        if user == self.host {
            return Rights::ALL;
        }
        self.moderators.get(&user).copied().unwrap_or_default()
    }

    /// Whether it is one of the moderators.
    #[must_use]
    pub fn is_moderator(&self, user: UserId) -> bool {
        self.moderators.contains_key(&user)
    }

    /// Whether it is the host or one of the moderators.
    #[must_use]
    pub fn runs_the_show(&self, user: UserId) -> bool {
        user == self.host || self.is_moderator(user)
    }

    /// The host, and the moderators who have one of these rights.
    #[must_use]
    pub fn with_any(&self, rights: &[Right]) -> Vec<UserId> {
        let has = |own: &Rights| rights.iter().any(|right| own.has(*right));
        let moderators = self.moderators.iter().filter(|(_, own)| has(own));
        let mut users: Vec<_> = moderators.map(|(user, _)| *user).collect();
        users.push(self.host);
        users.sort_unstable();
        users.dedup();
        users
    }

    /// Whether a command is open to this person.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn permit(&self, user: UserId, command: &HostCommand) -> Result<(), Refusal> {
        match command.right() {
            _ if user == self.host || command.is_open_to_authors() => Ok(()),
            Some(right) if self.rights(user).has(right) => Ok(()),
            needed => Err(lacking(needed)),
        }
    }

    /// Takes appointments as they are now; whose rights have changed.
    pub fn appoint(&mut self, moderators: Vec<(UserId, Rights)>) -> Vec<UserId> {
        let former = std::mem::replace(&mut self.moderators, moderators.into_iter().collect());
        let people = former.keys().chain(self.moderators.keys()).copied();
        let mut changed: Vec<_> = people
            .filter(|user| former.get(user) != self.moderators.get(user))
            .collect();
        changed.sort_unstable();
        changed.dedup();
        changed
    }
}

/// The refusal of somebody who lacks a right; `None`: it is the host's alone.
#[must_use]
pub fn lacking(right: Option<Right>) -> Refusal {
    match right {
        Some(right) => Refusal::new(ErrorCode::Forbidden, format!("the right {} is needed", right.as_str())),
        None => Refusal::new(ErrorCode::Forbidden, "only the show's host may do this"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_commands_are_open_to_nobody_else() {
        let [host, moderator] = std::array::from_fn(|_| UserId::new());
        let powers = Powers::new(host, vec![(moderator, Rights::ALL)]);
        assert_eq!(powers.permit(host, &HostCommand::Start), Ok(()));
        let refusal = powers.permit(moderator, &HostCommand::Start).expect_err("the host's");
        assert_eq!(refusal.code, ErrorCode::Forbidden);
    }

    #[test]
    fn whose_rights_have_changed_is_told_and_nobody_else() {
        let [host, stays, goes, comes, changes] = std::array::from_fn(|_| UserId::new());
        let rights = |right: Right| [right].into_iter().collect::<Rights>();
        let (ban, pin) = (rights(Right::Ban), rights(Right::Pin));
        let mut powers = Powers::new(host, vec![(stays, ban), (goes, ban), (changes, ban)]);
        let changed = powers.appoint(vec![(stays, ban), (comes, ban), (changes, pin)]);
        let mut expected = vec![goes, comes, changes];
        expected.sort_unstable();
        assert_eq!(changed, expected);
        assert_eq!(powers.rights(changes), pin);
        assert_eq!(powers.rights(goes), Rights::NONE);
        assert_eq!(powers.rights(host), Rights::ALL);
        assert!(powers.is_moderator(comes) && !powers.is_moderator(goes) && !powers.is_moderator(host));
    }
}
