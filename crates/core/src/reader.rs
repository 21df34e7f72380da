//! A role of the database that can read the tables and nothing else: what the service should connect as. The grant is the
//! boundary; that a session is read-only is a setting which the session itself could change.

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::sql_types::{Bool, Text};
use diesel::{Connection, OptionalExtension, QueryResult, QueryableByName, RunQueryDsl, sql_query};

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// The role reads, and has time limits of its own.
    WithLimits,
    /// The role reads. Who granted it may not set anything for the role, which needs a superuser or `createrole`.
    WithoutLimits,
    /// There is no such role.
    Unknown,
    /// The role is the owner of the tables, a member of it, or a superuser: no grant limits it.
    Mighty,
}

#[derive(QueryableByName)]
struct Role {
    #[diesel(sql_type = Bool)]
    mighty: bool,
    #[diesel(sql_type = Text)]
    grants: String,
    #[diesel(sql_type = Text)]
    limits: String,
}

/// Of tables that are made later as well. What others may do is not touched, but that nobody makes tables among ours.
const ROLE: &str = "
select pg_has_role(r.oid, t.relowner, 'member') as mighty,
       format('revoke create on schema %1$I from public, %2$I;
               revoke insert, update, delete, truncate, references, trigger on all tables in schema %1$I from %2$I;
               grant usage on schema %1$I to %2$I;
               grant select on all tables in schema %1$I to %2$I;
               alter default privileges in schema %1$I grant select on tables to %2$I',
              t.relnamespace::regnamespace::text, r.rolname) as grants,
       format('alter role %1$I in database %2$I set statement_timeout = ''5s'';
               alter role %1$I in database %2$I set lock_timeout = ''1s'';
               alter role %1$I in database %2$I set idle_in_transaction_session_timeout = ''10s'';
               alter role %1$I in database %2$I set default_transaction_read_only = on;
               alter role %1$I in database %2$I set search_path = %3$I',
              r.rolname, current_database(), t.relnamespace::regnamespace::text) as limits
  from pg_roles r, pg_class t
 where r.rolname = $1 and t.oid = 'etl_runs'::regclass";

/// Lets a role read the tables, those of later migrations included, and takes from it what else it could do with them. May be
/// called again.
///
/// # Errors
/// What the database says, such as that the one who grants does not own the tables.
pub fn grant(connection: &mut PgConnection, role: &str) -> QueryResult<Granted> {
    let Some(role) = sql_query(ROLE).bind::<Text, _>(role).get_result::<Role>(connection).optional()? else {
        return Ok(Granted::Unknown);
    };
    if role.mighty {
        return Ok(Granted::Mighty);
    }
    connection.transaction(|connection| connection.batch_execute(&role.grants))?;
    match connection.transaction(|connection| connection.batch_execute(&role.limits)) {
        Ok(()) => Ok(Granted::WithLimits),
        Err(_) => Ok(Granted::WithoutLimits),
    }
}
