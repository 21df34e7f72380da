//! Roles of the database that can do no more than their work: one that only reads, for the service, and one that loads, for
//! the runs. The grant is the boundary; that a session is read-only is a setting which the session itself could change.

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::sql_types::{Bool, Text};
use diesel::{Connection, OptionalExtension, QueryResult, QueryableByName, RunQueryDsl, sql_query};

/// What a role is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Reading the tables.
    Read,
    /// Loading: adding rows and changing them. Of what was loaded it removes nothing, and it makes and changes no tables:
    /// partitions and their indexes come from functions that run with the rights of the owner.
    Load,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// The role can do its work, and has settings of its own: time limits for reading, the schema.
    WithSettings,
    /// The role can do its work. Who granted it may not set anything for the role, which needs a superuser or `createrole`.
    WithoutSettings,
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
    settings: String,
}

impl Purpose {
    /// Schema, role and database are `%1$I`, `%2$I` and `%3$I`. Of tables that are made later as well, and without what the
    /// role had for another purpose. What others may do is not touched, but that nobody makes tables among ours.
    const fn grants(self) -> &'static str {
        match self {
            Self::Read => {
                "revoke create on schema %1$I from public, %2$I;
                 revoke insert, update, delete, truncate, references, trigger on all tables in schema %1$I from %2$I;
                 grant usage on schema %1$I to %2$I;
                 grant select on all tables in schema %1$I to %2$I;
                 alter default privileges in schema %1$I grant select on tables to %2$I;
                 alter default privileges in schema %1$I revoke insert, update on tables from %2$I;
                 alter default privileges in schema %1$I revoke usage on sequences from %2$I;
                 revoke usage on all sequences in schema %1$I from %2$I;
                 revoke execute on function ensure_observation_partition(smallint, date, boolean),
                        build_observation_index(smallint, date, boolean), index_observation_partition(smallint, date),
                        count_observation_partition(smallint, date),
                        split_observation_partition(smallint, date, timestamptz) from %2$I"
            }
            Self::Load => {
                "revoke create on schema %1$I from public, %2$I;
                 revoke delete, truncate, references, trigger on all tables in schema %1$I from %2$I;
                 grant usage on schema %1$I to %2$I;
                 grant temporary on database %3$I to %2$I;
                 grant select, insert, update on all tables in schema %1$I to %2$I;
                 grant usage on all sequences in schema %1$I to %2$I;
                 alter default privileges in schema %1$I grant select, insert, update on tables to %2$I;
                 alter default privileges in schema %1$I grant usage on sequences to %2$I;
                 revoke insert, update on __diesel_schema_migrations from %2$I;
                 grant delete on rejects, asset_reviews to %2$I;
                 grant execute on function ensure_observation_partition(smallint, date, boolean),
                       build_observation_index(smallint, date, boolean), index_observation_partition(smallint, date),
                       count_observation_partition(smallint, date),
                       split_observation_partition(smallint, date, timestamptz) to %2$I"
            }
        }
    }

    const fn settings(self) -> &'static str {
        match self {
            Self::Read => {
                "alter role %2$I in database %3$I set statement_timeout = '5s';
                 alter role %2$I in database %3$I set lock_timeout = '1s';
                 alter role %2$I in database %3$I set idle_in_transaction_session_timeout = '10s';
                 alter role %2$I in database %3$I set default_transaction_read_only = on;
                 alter role %2$I in database %3$I set search_path = %1$I"
            }
            Self::Load => {
                "alter role %2$I in database %3$I reset statement_timeout;
                 alter role %2$I in database %3$I reset lock_timeout;
                 alter role %2$I in database %3$I reset idle_in_transaction_session_timeout;
                 alter role %2$I in database %3$I reset default_transaction_read_only;
                 alter role %2$I in database %3$I set search_path = %1$I"
            }
        }
    }
}

/// Statements that a run makes, on no row.
const LOADING: &str = "
insert into data_sources (name) select name from data_sources where false;
update data_sources set name = name where false;
insert into etl_runs (source) select source from etl_runs where false;
insert into etl_batches (source) select source from etl_batches where false;
insert into coins (crypto_id) select crypto_id from coins where false;
insert into observations (coin_id) select coin_id from observations where false;
update coin_latest set rank = rank where false";

/// Asks whether this session may load. Changes nothing.
///
/// # Errors
/// What the server says to the first statement that it refuses.
pub fn try_loading(connection: &mut PgConnection) -> QueryResult<()> {
    connection.batch_execute(LOADING)
}

const ROLE: &str = "
select pg_has_role(r.oid, t.relowner, 'member') as mighty,
       format($2, n.nspname, r.rolname, current_database()) as grants,
       format($3, n.nspname, r.rolname, current_database()) as settings
  from pg_roles r, pg_class t join pg_namespace n on n.oid = t.relnamespace
 where r.rolname = $1 and t.oid = 'etl_runs'::regclass";

/// Lets a role do its work with the tables, those of later migrations included, and takes from it what else it could do with
/// them. May be called again.
///
/// # Errors
/// What the database says, such as that the one who grants does not own the tables.
pub fn grant(connection: &mut PgConnection, role: &str, purpose: Purpose) -> QueryResult<Granted> {
    let found = sql_query(ROLE)
        .bind::<Text, _>(role)
        .bind::<Text, _>(purpose.grants())
        .bind::<Text, _>(purpose.settings())
        .get_result::<Role>(connection)
        .optional()?;
    let Some(role) = found else { return Ok(Granted::Unknown) };
    if role.mighty {
        return Ok(Granted::Mighty);
    }
    connection.transaction(|connection| connection.batch_execute(&role.grants))?;
    match connection.transaction(|connection| connection.batch_execute(&role.settings)) {
        Ok(()) => Ok(Granted::WithSettings),
        Err(_) => Ok(Granted::WithoutSettings),
    }
}
