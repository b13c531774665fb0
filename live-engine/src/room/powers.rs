//! Who may run a show and who may not chat in it, as its room knows it: the host,
//! moderators with their rights, and mutes.
//!
//! Read when the room opens and again whenever something of it has changed. It spares the
//! database what cannot succeed; a command's own transaction decides. Shards have copies,
//! to tell who joins what they may do; the room alone goes by its own.

use std::collections::HashMap;

use shared::error::{ErrorCode, Refusal};
use shared::ids::UserId;
use shared::protocol::{HostCommand, Millis, Muted, Standing};
use shared::rights::{Right, Rights};

/// People muted at a time in one show at most.
const MAX_MUTED: usize = 10_000;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Powers {
    host: UserId,
    moderators: HashMap<UserId, Rights>,
    mutes: HashMap<UserId, Muted>,
}

impl Powers {
    /// The host's, those of moderators, and who may not chat.
    #[must_use]
    pub fn new(host: UserId, moderators: Vec<(UserId, Rights)>, mutes: Vec<(UserId, Muted)>) -> Self {
        Self {
            host,
            moderators: moderators.into_iter().collect(),
            mutes: mutes.into_iter().collect(),
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

    /// What this person is told of themselves.
    #[must_use]
    pub fn standing(&self, user: UserId, now: Millis) -> Standing {
        Standing {
            rights: self.rights(user),
            muted: self.muted(user, now).cloned(),
        }
    }

    /// The mute of somebody who may not chat now.
    #[must_use]
    pub fn muted(&self, user: UserId, now: Millis) -> Option<&Muted> {
        self.mutes.get(&user).filter(|muted| muted.until > now)
    }

    /// Whether this person may chat.
    ///
    /// # Errors
    /// `Muted`, with why and for how long.
    pub fn hear(&self, user: UserId, now: Millis) -> Result<(), Refusal> {
        let Some(muted) = self.muted(user, now) else {
            return Ok(());
        };
        let refusal = match muted.reason.as_str() {
            "" => ErrorCode::Muted.into(),
            reason => Refusal::new(ErrorCode::Muted, reason.to_owned()),
        };
        Err(refusal.retry_after_ms(u64::try_from(muted.until - now).unwrap_or(0).max(1)))
    }

    /// Whether a command is open to this person, and who it is about open to it.
    ///
    /// # Errors
    /// `Forbidden`; `Conflict` when too many are muted.
    pub fn permit(&self, user: UserId, command: &HostCommand, now: Millis) -> Result<(), Refusal> {
        let is_host = user == self.host;
        if !is_host
            && !command.is_open_to_authors()
            && command.right().is_none_or(|right| !self.rights(user).has(right))
        {
            return Err(lacking(command.right()));
        }
        let Some(about) = sanctioned(command) else {
            return Ok(());
        };
        let forbid = |detail| Err(Refusal::new(ErrorCode::Forbidden, detail).at("user"));
        if about == user {
            return forbid("nobody does this to themselves");
        }
        if about == self.host {
            return forbid("nobody does this to the host");
        }
        if !is_host && self.is_moderator(about) {
            return forbid("only the host does this to a moderator");
        }
        let mutes = matches!(command, HostCommand::Mute(_) | HostCommand::Timeout(_));
        let count = || self.mutes.values().filter(|muted| muted.until > now).count();
        if mutes && !self.mutes.contains_key(&about) && self.mutes.len() >= MAX_MUTED && count() >= MAX_MUTED {
            return Err(Refusal::new(
                ErrorCode::Conflict,
                "too many people are muted in this show",
            ));
        }
        Ok(())
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

    /// Mutes somebody, or with nothing lets them chat again.
    pub fn mute(&mut self, user: UserId, mute: Option<Muted>, now: Millis) {
        match mute {
            Some(mute) => {
                self.mutes.insert(user, mute);
            }
            None => {
                self.mutes.remove(&user);
            }
        }
        if self.mutes.len() >= MAX_MUTED {
            self.mutes.retain(|_, muted| muted.until > now);
        }
    }
}

/// Whom a command puts out or keeps quiet.
const fn sanctioned(command: &HostCommand) -> Option<UserId> {
    match command {
        HostCommand::Mute(mute) | HostCommand::Timeout(mute) => Some(mute.user),
        HostCommand::Ban(ban) => ban.who.user(),
        _ => None,
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

/// Whether a suspended shop may still do this: stop what it has begun, and keep order
/// until then.
#[must_use]
pub const fn stops(command: &HostCommand) -> bool {
    match command {
        HostCommand::End
        | HostCommand::Unfeature
        | HostCommand::SaleClose { .. }
        | HostCommand::Mute(_)
        | HostCommand::Timeout(_)
        | HostCommand::Unmute { .. }
        | HostCommand::Ban(_)
        | HostCommand::Unban(_)
        | HostCommand::UnpinMessage
        | HostCommand::DeleteMessage { .. }
        | HostCommand::ChatRules(_)
        | HostCommand::Review { .. } => true,
        HostCommand::Start
        | HostCommand::Feature(_)
        | HostCommand::Reorder(_)
        | HostCommand::SaleOpen(_)
        | HostCommand::PinMessage { .. }
        | HostCommand::Announce { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use shared::protocol::{Ban, Mute, Person};

    use super::*;

    const NOW: Millis = 1_000_000;

    fn rights(rights: &[Right]) -> Rights {
        rights.iter().copied().collect()
    }

    fn mute(user: UserId) -> HostCommand {
        HostCommand::Mute(Mute {
            user,
            seconds: 60,
            reason: String::new(),
        })
    }

    fn ban(user: UserId) -> HostCommand {
        HostCommand::Ban(Ban {
            who: Person::User(user),
            seconds: None,
            reason: String::new(),
        })
    }

    fn muted(until: Millis) -> Muted {
        Muted {
            until,
            reason: "spam".into(),
        }
    }

    #[test]
    fn the_hosts_own_commands_are_open_to_nobody_else() {
        let [host, moderator] = std::array::from_fn(|_| UserId::new());
        let powers = Powers::new(host, vec![(moderator, Rights::ALL)], vec![]);
        assert_eq!(powers.permit(host, &HostCommand::Start, NOW), Ok(()));
        let refusal = powers
            .permit(moderator, &HostCommand::Start, NOW)
            .expect_err("the host's");
        assert_eq!(refusal.code, ErrorCode::Forbidden);
    }

    #[test]
    fn a_moderator_does_what_was_listed_to_viewers_alone() {
        let [host, muter, other, viewer] = std::array::from_fn(|_| UserId::new());
        let moderators = vec![(muter, rights(&[Right::Mute])), (other, rights(&[Right::Pin]))];
        let powers = Powers::new(host, moderators, vec![]);
        let permits = |user, command: &HostCommand| powers.permit(user, command, NOW).is_ok();
        assert!(permits(muter, &mute(viewer)) && permits(host, &mute(viewer)));
        assert!(!permits(other, &mute(viewer)) && !permits(viewer, &mute(UserId::new())));
        assert!(!permits(muter, &ban(viewer)), "another right");
        assert!(permits(host, &mute(muter)), "the host stands above moderators");
        for about in [muter, other, host] {
            assert!(!permits(muter, &mute(about)));
        }
        assert!(!permits(host, &ban(host)), "not even the host bans the host");
    }

    #[test]
    fn whoever_is_muted_is_told_why_and_for_how_long_until_it_is_over() {
        let [host, viewer] = std::array::from_fn(|_| UserId::new());
        let mut powers = Powers::new(host, vec![], vec![(viewer, muted(NOW + 500))]);
        let refusal = powers.hear(viewer, NOW).expect_err("muted");
        assert_eq!((refusal.code, refusal.retry_after_ms), (ErrorCode::Muted, Some(500)));
        assert_eq!(refusal.detail, "spam");
        assert_eq!(powers.standing(viewer, NOW).muted, Some(muted(NOW + 500)));
        assert_eq!(powers.hear(viewer, NOW + 500), Ok(()));
        assert_eq!(powers.standing(viewer, NOW + 500), Standing::default());
        powers.mute(viewer, Some(muted(NOW + 900)), NOW);
        powers.mute(viewer, None, NOW);
        assert_eq!(powers.hear(viewer, NOW), Ok(()));
    }

    #[test]
    fn mutes_are_bounded_and_those_that_are_over_make_room() {
        let [host, one_more] = std::array::from_fn(|_| UserId::new());
        let full = |until| (0..MAX_MUTED).map(|_| (UserId::new(), muted(until))).collect();
        let powers = Powers::new(host, vec![], full(NOW + 1));
        let refusal = powers.permit(host, &mute(one_more), NOW).expect_err("full");
        assert_eq!(refusal.code, ErrorCode::Conflict);
        let mut powers = Powers::new(host, vec![], full(NOW));
        assert_eq!(powers.permit(host, &mute(one_more), NOW), Ok(()));
        powers.mute(one_more, Some(muted(NOW + 1)), NOW);
        assert_eq!(powers.mutes.len(), 1);
    }

    #[test]
    fn whose_rights_have_changed_is_told_and_nobody_else() {
        let [host, stays, goes, comes, changes] = std::array::from_fn(|_| UserId::new());
        let (ban, pin) = (rights(&[Right::Ban]), rights(&[Right::Pin]));
        let mut powers = Powers::new(host, vec![(stays, ban), (goes, ban), (changes, ban)], vec![]);
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
