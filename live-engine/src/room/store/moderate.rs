//! What moderation does to the rows, as steps of a command's transaction.

use shared::error::{ErrorCode, Refusal};
use shared::ids::{MessageId, StreamId, UserId};
use shared::live::RoomNotice;
use shared::protocol::{Author, Ban, HostCommand, MAX_CHAT_CHARS, Mute, Muted, Outcome, Person, RoomEvent};
use shared::rights::Rights;
use sqlx::PgConnection;
use uuid::Uuid;

use super::host::{Done, HostAct, Show};
use super::{load, people};
use crate::db::Error;
use crate::room::text;

/// A mute that was made, changed or lifted, and the outbox row that tells a room which did
/// not hear of it otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MuteChange {
    /// The row.
    pub row: Uuid,
    /// Whose.
    pub user: UserId,
    /// The mute as it is now; `None`: they may chat.
    pub mute: Option<Muted>,
}

fn done(events: Vec<RoomEvent>) -> Done {
    (Outcome::Done, events)
}

fn no_such_account() -> Error {
    Refusal::new(ErrorCode::NotFound, "there is no such account")
        .at("user")
        .into()
}

/// Mutes somebody in this show; with `timeout` what they have said is taken out of view.
pub(super) async fn mute(tx: &mut PgConnection, act: &HostAct, mute: &Mute, timeout: bool) -> Result<Done, Error> {
    let muted = sqlx::query!(
        "insert into muted_viewers (stream_id, user_id, until, reason, muted_by)
         select $1, u.id, clock_timestamp() + make_interval(secs => $3), $4, $5 from users u where u.id = $2
         on conflict (stream_id, user_id) do update
            set until = excluded.until, reason = excluded.reason, muted_by = excluded.muted_by",
        act.stream.0,
        mute.user.0,
        f64::from(mute.seconds),
        mute.reason.trim(),
        act.user.0
    )
    .execute(&mut *tx)
    .await?;
    if muted.rows_affected() == 0 {
        return Err(no_such_account());
    }
    if !timeout {
        return Ok(done(Vec::new()));
    }
    unpin_of(tx, act.stream, mute.user).await?;
    Ok(done(vec![RoomEvent::Moderation { user: mute.user }]))
}

/// Lets somebody chat again; who may already, may still.
pub(super) async fn unmute(tx: &mut PgConnection, act: &HostAct, user: UserId) -> Result<Done, Error> {
    sqlx::query!(
        "delete from muted_viewers where stream_id = $1 and user_id = $2",
        act.stream.0,
        user.0
    )
    .execute(tx)
    .await?;
    Ok(done(Vec::new()))
}

/// The mute that a command of the above has made or lifted, with its outbox row: the room
/// learns it from the answer, and from the row should it miss that.
pub(super) async fn mute_change(tx: &mut PgConnection, act: &HostAct) -> Result<Option<MuteChange>, Error> {
    let user = match &act.command {
        HostCommand::Mute(mute) | HostCommand::Timeout(mute) => mute.user,
        HostCommand::Unmute { user } => *user,
        _ => return Ok(None),
    };
    let row = shared::outbox::push(tx, act.stream, &RoomNotice::MuteChanged { user }).await?;
    let mute = people::mute(tx, act.stream, user).await?;
    Ok(Some(MuteChange { row, user, mute }))
}

/// Bans somebody from the shop's shows. Their sockets are closed through `revocations`.
pub(super) async fn ban(tx: &mut PgConnection, act: &HostAct, show: &Show, ban: &Ban) -> Result<Done, Error> {
    let outcome = sqlx::query_scalar!(
        r#"select ban_viewer($1, $2, $3, $4, $5, $6, $7, $8) as "outcome!""#,
        Uuid::now_v7(),
        show.seller.0,
        ban.who.user().map(|user| user.0),
        ban.who.guest().map(|guest| guest.0),
        ban.lasts().map(|seconds| i32::try_from(seconds).unwrap_or(i32::MAX)),
        ban.reason.trim(),
        act.user.0,
        act.stream.0
    )
    .fetch_one(tx)
    .await?;
    match (outcome.as_str(), ban.who) {
        ("banned", Person::User(user)) => Ok(done(vec![RoomEvent::Moderation { user }])),
        ("banned", Person::Guest(_)) => Ok(done(Vec::new())),
        ("not_found", _) => Err(no_such_account()),
        // Appointed a moment ago, perhaps: the room did not know it yet.
        _ => Err(Refusal::from(ErrorCode::Forbidden).at("user").into()),
    }
}

/// Lets somebody in again; who may come in already, may still.
pub(super) async fn unban(tx: &mut PgConnection, act: &HostAct, show: &Show, who: Person) -> Result<Done, Error> {
    let may = sqlx::query_scalar!(
        r#"select coalesce(bool_and(may_lift_ban($1, banned_by, $4)), true) as "may!" from banned_viewers
            where seller_id = $1 and (user_id = $2 or guest_id = $3)"#,
        show.seller.0,
        who.user().map(|user| user.0),
        who.guest().map(|guest| guest.0),
        act.user.0
    )
    .fetch_one(&mut *tx)
    .await?;
    if !may {
        return Err(Refusal::new(ErrorCode::Forbidden, "the shop's owner has banned them").into());
    }
    sqlx::query!(
        "delete from banned_viewers where seller_id = $1 and (user_id = $2 or guest_id = $3)",
        show.seller.0,
        who.user().map(|user| user.0),
        who.guest().map(|guest| guest.0)
    )
    .execute(tx)
    .await?;
    Ok(done(Vec::new()))
}

/// Pins a message of the show in the place of any other.
pub(super) async fn pin(tx: &mut PgConnection, show: &Show, message: MessageId) -> Result<Done, Error> {
    not_over(show)?;
    let pinned = sqlx::query!(
        "update streams s set pinned_message_id = m.id
           from stream_chat_messages m where s.id = $1 and m.id = $2 and m.stream_id = s.id and m.deleted_at is null",
        show.stream.0,
        message.0
    )
    .execute(&mut *tx)
    .await?;
    let card = match pinned.rows_affected() {
        0 => None,
        _ => load::pinned(tx, show.stream).await?,
    };
    let message = card.ok_or_else(|| Refusal::new(ErrorCode::NotFound, "no such message in the show").at("message"))?;
    Ok(done(vec![RoomEvent::Pinned { message }]))
}

/// Pins none any more.
pub(super) async fn unpin(tx: &mut PgConnection, show: &Show) -> Result<Done, Error> {
    let unpinned = sqlx::query!(
        "update streams set pinned_message_id = null where id = $1 and pinned_message_id is not null",
        show.stream.0
    )
    .execute(tx)
    .await?;
    Ok(done(match unpinned.rows_affected() {
        0 => Vec::new(),
        _ => vec![RoomEvent::Unpinned],
    }))
}

/// Tells everybody something.
pub(super) async fn announce(tx: &mut PgConnection, act: &HostAct, show: &Show, text: &str) -> Result<Done, Error> {
    not_over(show)?;
    let row = sqlx::query!(
        r#"select coalesce(p.display_name, '') as "name!", l.user_id = $2 as "host!", moderator_rights(s.id, $2) as "rights!"
             from streams s join sellers l on l.id = s.seller_id left join profiles p on p.user_id = $2
            where s.id = $1"#,
        act.stream.0,
        act.user.0
    )
    .fetch_one(tx)
    .await?;
    let author = Author {
        id: act.user,
        name: row.name,
        host: row.host,
        moderator: !row.host && !Rights::of_names(&row.rights).is_empty(),
    };
    let text = text::normalise(text, MAX_CHAT_CHARS)?;
    Ok(done(vec![RoomEvent::Notice { author, text }]))
}

fn not_over(show: &Show) -> Result<(), Error> {
    use shared::status::Machine as _;
    if show.status.is_final() {
        return Err(ErrorCode::WrongState.into());
    }
    Ok(())
}

/// A message of somebody whose messages are taken out of view is pinned no more.
async fn unpin_of(tx: &mut PgConnection, stream: StreamId, user: UserId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update streams s set pinned_message_id = null
           from stream_chat_messages m where s.id = $1 and m.id = s.pinned_message_id and m.user_id = $2",
        stream.0,
        user.0
    )
    .execute(tx)
    .await?;
    Ok(())
}
