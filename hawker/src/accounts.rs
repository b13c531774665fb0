//! Accounts that are made from the command line: the first administrator, and the demo
//! shop's, which get a new password at each start.

mod prompt;
mod store;

use std::io::BufRead;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use core_api::identity::email::Email;
use rand::Rng;
use rand::distr::{Alphanumeric, SampleString};
use shared::ids::UserId;
use sqlx::PgPool;

use crate::cli::AdminArgs;
use crate::seed;

/// How many characters a password has for REST, too.
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 8..=128;

/// What became of an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Admin {
    /// New, with this password unless it was given.
    Created {
        /// To be shown once.
        password: Option<String>,
    },
    /// It was there and is an administrator now.
    Raised,
}

/// Makes an administrator, or makes one of an existing account.
///
/// # Errors
/// When the address or the password cannot be one, the account that is there cannot be
/// trusted with it, or the database fails.
pub async fn create_admin(db: &PgPool, args: &AdminArgs) -> Result<Admin> {
    let email = Email::parse(&args.email)
        .map_err(|problem| anyhow::anyhow!("{:?}: {problem}", args.email))?
        .into_string();
    if raise(db, &email, args).await? {
        return Ok(Admin::Raised);
    }
    // No transaction waits for somebody who types.
    let given = match (args.password_stdin, args.password_prompt) {
        (true, _) => Some(read_password(&mut std::io::stdin().lock())?),
        (false, true) => Some(prompt::password()?),
        (false, false) => None,
    };
    let password = given.clone().unwrap_or_else(random_password);
    let hash = hash(password.clone()).await?;
    let id = UserId::new();
    let mut tx = db.begin().await?;
    store::insert(&mut tx, id, &email, args.name.trim(), &hash).await?;
    store::record(&mut tx, id, "admin.created").await?;
    tx.commit().await?;
    let password = given.is_none().then_some(password);
    Ok(Admin::Created { password })
}

/// Makes an administrator of the account that is there, if one is. Whoever opened it keeps
/// its password, so it must be known to be theirs: anybody may open an account under an
/// address, and only who reads its mail can confirm it.
async fn raise(db: &PgPool, email: &str, args: &AdminArgs) -> Result<bool> {
    let mut tx = db.begin().await?;
    let Some(account) = store::find(&mut tx, email).await? else {
        return Ok(false);
    };
    if account.is_suspended {
        bail!("{email} is suspended: reinstate the account first");
    }
    if !account.is_confirmed {
        bail!("somebody has opened an account as {email} and not confirmed the address: it may be anybody's");
    }
    if args.password_stdin || args.password_prompt {
        bail!("{email} has an account, whose password stays what it is: leave the password's option out");
    }
    store::raise(&mut tx, account.id).await?;
    store::record(&mut tx, account.id, "admin.raised").await?;
    tx.commit().await?;
    Ok(true)
}

/// One line, which must do as a password.
fn read_password(from: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    from.read_line(&mut line).context("cannot read the password")?;
    let password = line.trim_end_matches(['\r', '\n']).to_owned();
    if !PASSWORD_CHARS.contains(&password.chars().count()) {
        let (min, max) = (PASSWORD_CHARS.start(), PASSWORD_CHARS.end());
        bail!("a password has {min} to {max} characters");
    }
    Ok(password)
}

/// A password for one run's demo accounts, and its hash.
pub struct DemoPassword {
    password: String,
    hash: String,
}

impl DemoPassword {
    /// A new random one. It takes a moment and needs no database.
    ///
    /// # Errors
    /// When it is not hashed.
    pub async fn new() -> Result<Self> {
        let password = easy_password();
        let hash = hash(password.clone()).await?;
        Ok(Self { password, hash })
    }

    /// Gives it to the demo accounts; `None` where there are none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set(self, db: &PgPool) -> Result<Option<String>> {
        let set = seed::set_demo_password(db, &self.hash).await?;
        Ok(set.then_some(self.password))
    }
}

/// As REST hashes them.
async fn hash(password: String) -> Result<String> {
    let passwords = core_api::identity::Passwords::new(1, 1, Duration::from_secs(60));
    passwords
        .hash(password)
        .await
        .map_err(|error| anyhow::anyhow!("the password was not hashed: {error}"))
}

/// 190 bits.
fn random_password() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), 32)
}

/// For typing off a screen: 80 bits in four groups, without characters that look alike.
fn easy_password() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789x";
    let mut rng = rand::rng();
    let mut group = || {
        (0..4)
            .map(|_| char::from(LETTERS[rng.random_range(0..31)]))
            .collect::<String>()
    };
    [group(), group(), group(), group()].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demo_passwords_are_easy_to_type_and_never_the_same() {
        let (a, b) = (easy_password(), easy_password());
        assert_ne!(a, b);
        assert_eq!(a.len(), 19);
        assert!(
            a.chars()
                .all(|c| c == '-' || (c.is_ascii_alphanumeric() && !"0o1li".contains(c))),
            "{a}"
        );
    }
}
