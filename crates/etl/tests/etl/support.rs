//! What the tests share: a database, a simulator, and the program between them.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text};
use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::pooler;
use kasparro_testkit::process::{Output, Program};
use kasparro_testkit::simulator::{Simulator, Universe};
use sha2::{Digest, Sha256};

/// In the password and in the keys of every program that a test runs; in the output of none.
const CANARY: &str = "canary-of-the-tests";

/// The program under test, with nothing configured but the database.
pub(crate) fn etl(database_url: &str) -> Program {
    configured(Program::new(env!("CARGO_BIN_EXE_kasparro-etl")), database_url)
}

fn configured(program: Program, database_url: &str) -> Program {
    let (database_url, program) = match pooler::instead_of(database_url) {
        Some(url) => (url, program.variable("DB_STATEMENT_CACHE", "off")),
        None => (database_url.to_owned(), program),
    };
    let database_url = database_url.as_str();
    program
        .secret(CANARY)
        .variable("DATABASE_URL", with_password(database_url))
        // Their calls would be in the way of those that are counted.
        .variable("LISTINGS_EVERY", "off")
        .variable("ETL_RETRY_DELAY_SECONDS", "0.01")
        .variable("ETL_DATABASE_WAIT_SECONDS", "5")
}

/// The address with a password that the servers of the tests do not ask for.
fn with_password(url: &str) -> String {
    if !url.starts_with("postgresql://") || url.contains("password=") || url.contains(":canary") {
        return url.to_owned();
    }
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}password={CANARY}")
}

/// A database and both APIs.
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) simulator: Simulator,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Universe::new(7).coins(40))
    }

    pub(crate) fn with(universe: Universe) -> Self {
        Self::of(TestDatabase::new(), universe)
    }

    /// In another database than one of the shared server.
    pub(crate) fn on(database: TestDatabase) -> Self {
        Self::of(database, Universe::new(7).coins(40))
    }

    pub(crate) fn of(database: TestDatabase, universe: Universe) -> Self {
        watch_checkpoints(&mut database.connect());
        Self { database, simulator: Simulator::start(universe) }
    }

    /// The program, knowing both APIs.
    pub(crate) fn etl(&self) -> Program {
        self.etl_at(self.database.url())
    }

    /// As [`Self::etl`], over another way to the database.
    pub(crate) fn etl_at(&self, database_url: &str) -> Program {
        self.knowing_both(etl(database_url))
    }

    /// Another program with the same variables, which is to start the program under test.
    pub(crate) fn etl_as(&self, program: &str) -> Program {
        self.knowing_both(configured(Program::new(program), self.database.url()))
    }

    fn knowing_both(&self, program: Program) -> Program {
        program
            .variable("COINPAPRIKA_BASE_URL", self.simulator.coinpaprika_base_url())
            .variable("COINGECKO_BASE_URL", self.simulator.coingecko_base_url())
            .variable("COINPAPRIKA_API_KEY", CANARY)
            .variable("COINGECKO_API_KEY", CANARY)
    }

    /// Runs one source and expects it to succeed.
    pub(crate) fn run(&self, sources: &str) -> Output {
        let output = self.etl().arguments(["run", "--sources", sources]).run();
        assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
        output
    }

    pub(crate) fn tally(&self, source: &str) -> Tally {
        newest_tally(&mut self.database.connect(), source)
    }
}

/// A user of one database. Roles belong to the server, which all tests share.
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) url: String,
    admin: PgConnection,
}

impl Role {
    pub(crate) fn new(database: &TestDatabase, options: &str) -> Self {
        let name = format!("role_{}", database.name());
        let mut admin = database.connect();
        admin.batch_execute(&format!("create role {name} login {options}")).unwrap();
        let url = database.url().replace("user=postgres", &format!("user={name}"));
        Self { name, url, admin }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let Self { name, admin, .. } = self;
        let _ = admin.batch_execute(&format!("drop owned by {name}; drop role {name}"));
    }
}

/// The counters of the newest run of a source.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub(crate) struct Tally {
    #[diesel(sql_type = Text)]
    pub(crate) status: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) failure_kind: Option<String>,
    #[diesel(sql_type = BigInt)]
    pub(crate) extracted: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) loaded: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) restated: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) unchanged: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) duplicate: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) rejected: i64,
}

pub(crate) fn newest_tally(connection: &mut PgConnection, source: &str) -> Tally {
    sql_query(
        "select status, failure_kind, extracted, loaded, restated, unchanged, duplicate, rejected \
           from etl_run_sources where source = $1 order by run_id desc limit 1",
    )
    .bind::<Text, _>(source)
    .get_result(connection)
    .unwrap()
}

/// One number from the database.
pub(crate) fn number(connection: &mut PgConnection, sql: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    sql_query(format!("select ({sql})::bigint as n")).get_result::<Row>(connection).unwrap().n
}

/// One text a row.
pub(crate) fn texts(connection: &mut PgConnection, sql: &str) -> Vec<String> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        t: String,
    }
    let rows: Vec<Row> =
        sql_query(format!("select t::text as t from ({sql}) as q (t)")).load(connection).unwrap();
    rows.into_iter().map(|row| row.t).collect()
}

/// Makes the database refuse a checkpoint that goes back (I5).
pub(crate) fn watch_checkpoints(connection: &mut PgConnection) {
    let sql = "create function checkpoint_goes_on() returns trigger language plpgsql as $$ begin \
                 if new.last_processed_timestamp < old.last_processed_timestamp or new.batch_number < old.batch_number then \
                   raise exception 'the checkpoint of % went back', old.source; \
                 end if; \
                 return new; \
               end $$; \
               create trigger checkpoint_goes_on before update on etl_checkpoints \
                 for each row execute function checkpoint_goes_on()";
    connection.batch_execute(sql).unwrap();
}

/// Waits until no session of the program is left: one that was killed is found out about by the server soon (I10). A pooler
/// keeps its sessions; then none may be at work.
fn wait_for_sessions(connection: &mut PgConnection) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let left = "select count(*) from pg_stat_activity \
                 where datname = current_database() and application_name = 'kasparro-etl' and backend_type = 'client backend'";
    let pooled = std::env::var_os(pooler::POOLER_VARIABLE).map_or("", |_| " and state <> 'idle'");
    let left = format!("{left}{pooled}");
    while number(connection, &left) > 0 {
        assert!(Instant::now() < deadline, "a session of the program is left behind");
        connection.batch_execute("select pg_sleep(0.005)").unwrap();
    }
}

/// The invariants that hold after every run, however it ended (I3, the same tables as after a single clean run, is
/// [`contents`]; I9, what readers see meanwhile, is in `crash`).
pub(crate) fn check_invariants(connection: &mut PgConnection) {
    wait_for_sessions(connection);
    let must_be_zero = [
        (
            "the same observation twice (I2)",
            "select count(*) from (select from observations group by coin_id, observed_at having count(*) > 1) x",
        ),
        (
            "the same bytes twice (I2)",
            "select count(*) from (select from (select source, sha256 from raw_api_data union all select source, sha256 from raw_csv_data) r \
           group by source, sha256 having count(*) > 1) x",
        ),
        (
            "an observation that its bytes cannot hold (I4)",
            "select count(*) from observations o join etl_batches b using (batch_id) \
            left join raw_api_data a on a.raw_id = b.raw_api_id left join raw_csv_data c on c.raw_id = b.raw_csv_id \
           where coalesce(a.record_count, c.record_count) <= o.raw_position",
        ),
        (
            "a checkpoint beyond what was delivered (I5)",
            "select count(*) from etl_checkpoints c join data_sources s on s.name = c.source \
           where c.last_processed_timestamp > greatest((select max(observed_at) from observations o where o.source_id = s.source_id), \
                 (select max(created_at) from etl_batches b where b.source = c.source))",
        ),
        (
            "what nobody does any more is still running (I6)",
            "select count(*) from etl_run_sources s where status = 'running' \
             and not exists (select from etl_lease l where l.source = s.source and l.run_id = s.run_id and l.expires_at > clock_timestamp())",
        ),
        (
            "records are lost (I7)",
            "select count(*) from etl_run_sources where extracted <> loaded + restated + unchanged + duplicate + rejected",
        ),
        (
            "a secret is in the database",
            "select count(*) from (select error_message from etl_runs union all select error_message from etl_run_sources \
             union all select url from raw_api_data union all select origin from etl_batches union all select owner from etl_lease) t (said) \
           where said like '%canary%'",
        ),
        (
            "a batch and its rows disagree (I1)",
            "select count(*) from (select b.batch_id from etl_batches b left join observations o using (batch_id) \
           group by b.batch_id having count(o.coin_id) <> b.loaded + b.restated - b.superseded) x",
        ),
        (
            "an observation without a batch (I4)",
            "select count(*) from observations o left join etl_batches b using (batch_id) where b.batch_id is null",
        ),
        (
            "an observation without its coin or name",
            "select count(*) from observations o left join coins c on c.coin_id = o.coin_id and c.source_id = o.source_id \
            left join coin_labels l on l.label_id = o.label_id and l.coin_id = o.coin_id where c.coin_id is null or l.label_id is null",
        ),
        (
            "the latest state is not the newest observation (I8)",
            "select count(*) from (select distinct on (coin_id) * from observations order by coin_id, observed_at desc) o \
            full join coin_latest l using (coin_id) \
           where (o.observed_at, o.batch_id, o.label_id, o.raw_position) is distinct from (l.observed_at, l.batch_id, l.label_id, l.raw_position) \
              or (o.price_usd, o.market_cap_usd, o.volume_24h_usd, o.change_24h_percent, o.rank, o.circulating_supply, o.total_supply, o.max_supply) \
                 is distinct from (l.price_usd, l.market_cap_usd, l.volume_24h_usd, l.change_24h_percent, l.rank, l.circulating_supply, l.total_supply, l.max_supply)",
        ),
        (
            "a counter of a coin is wrong",
            "select count(*) from coin_latest l join (select coin_id, count(*) n, min(observed_at) first from observations group by coin_id) o using (coin_id) \
           where (l.observations, l.first_observed_at) <> (o.n, o.first)",
        ),
        (
            "a counter of a source is wrong",
            "select count(*) from data_sources s where observations <> (select count(*) from observations o where o.source_id = s.source_id) \
             or coins <> (select count(*) from coins c where c.source_id = s.source_id) \
             or kind = 'market' and batch_number <> (select count(*) from etl_batches b where b.source = s.name) \
             or raw_records <> (select coalesce(sum(record_count), 0) from raw_api_data r where r.source = s.name) \
                             + (select coalesce(sum(record_count), 0) from raw_csv_data r where r.source = s.name)",
        ),
        (
            "a run and its batches disagree",
            "select count(*) from etl_run_sources s where (batches, extracted, loaded) <> \
            (select count(*), coalesce(sum(b.extracted), 0), coalesce(sum(b.loaded), 0) from etl_batches b where b.run_id = s.run_id and b.source = s.source)",
        ),
        (
            "the checkpoint is not that of the newest batch",
            "select count(*) from etl_checkpoints c join data_sources s on s.name = c.source where c.batch_number <> s.batch_number",
        ),
        (
            "a month has not got its indexes or is not counted",
            "select (select count(*) from observation_partitions where not indexed or not counted) \
                  + (select count(*) from pg_inherits i where inhparent = 'observations'::regclass \
                        and 4 <> (select count(*) from pg_index x where x.indrelid = i.inhrelid)) \
                  + (select abs(coalesce(sum(closed + 1), 0) - (select count(*) from pg_inherits where inhparent = 'observations'::regclass)) \
                       from observation_partitions)::bigint",
        ),
        (
            "the month of a coin is not what its observations lie between",
            "select count(*) from coin_months m full join ( \
                select source_id, date_trunc('month', observed_at at time zone 'UTC')::date as month, coin_id, count(*) as n, \
                       min(observed_at) as first, max(observed_at) as last, \
                       rounded(min(price_usd)) as a, rounded(max(price_usd)) as b, bool_or(price_usd is null) as c, \
                       rounded(min(market_cap_usd)) as d, rounded(max(market_cap_usd)) as e, bool_or(market_cap_usd is null) as f, \
                       rounded(min(volume_24h_usd)) as g, rounded(max(volume_24h_usd)) as h, bool_or(volume_24h_usd is null) as i \
                  from observations group by 1, 2, 3) o using (source_id, month, coin_id) \
              where m.observations is distinct from o.n or m.first_observed_at > o.first or m.last_observed_at < o.last \
                 or m.min_price_usd > o.a or m.max_price_usd < o.b or c and not unknown_price \
                 or m.min_market_cap_usd > o.d or m.max_market_cap_usd < o.e or f and not unknown_market_cap \
                 or m.min_volume_24h_usd > o.g or m.max_volume_24h_usd < o.h or i and not unknown_volume \
                 or (m.min_price_usd is null) <> (o.a is null) and not unknown_price",
        ),
        (
            "a coin does not belong to exactly one asset",
            "select case when exists (select 1 from asset_links) then (select count(*) from coins c where 1 <> (select count(*) from asset_links l \
              join assets a using (asset_id) where l.coin_id = c.coin_id and l.ended_at is null and a.state = 'active')) else 0 end",
        ),
        (
            "a link or a state of a coin or asset that does not exist",
            "select (select count(*) from asset_links l left join coins c using (coin_id) left join assets a using (asset_id) \
                      where c.coin_id is null or a.asset_id is null) \
                  + (select count(*) from coin_states s left join coins c using (coin_id) where c.coin_id is null)",
        ),
        ("a lease is held (I6)", "select count(*) from etl_lease where expires_at > clock_timestamp()"),
        (
            "a refused record leads nowhere",
            "select count(*) from rejects r left join etl_batches b using (batch_id) where b.batch_id is null",
        ),
    ];
    for (what, sql) in must_be_zero {
        assert_eq!(number(connection, sql), 0, "{what}");
    }
    for (raw_id, sha256, bytes) in raw_bytes(connection) {
        assert_eq!(
            sha256,
            format!("{:x}", Sha256::digest(bytes)),
            "raw bytes {raw_id} and their hash disagree"
        );
    }
}

/// Key, hash and exact bytes of every body, then of every chunk of a file in its order.
pub(crate) fn raw_bytes(connection: &mut PgConnection) -> Vec<(i64, String, Vec<u8>)> {
    use kasparro_core::store::kept;
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        raw_id: i64,
        #[diesel(sql_type = Text)]
        sha256: String,
    }
    let mut all = Vec::new();
    for (table, order) in [("raw_api_data", "raw_id"), ("raw_csv_data", "file_id, first_byte")] {
        let rows: Vec<Row> = sql_query(format!(
            "select raw_id, encode(sha256, 'hex') as sha256 from {table} order by {order}"
        ))
        .load(connection)
        .unwrap();
        for Row { raw_id, sha256 } in rows {
            let bytes = match table {
                "raw_api_data" => kept::body(connection, raw_id).unwrap().1,
                _ => kept::chunk(connection, raw_id).unwrap().1,
            };
            all.push((raw_id, sha256, bytes));
        }
    }
    all
}

/// All that a load leaves behind, but for keys and for times that depend on when it ran.
pub(crate) fn contents(connection: &mut PgConnection) -> Vec<String> {
    let mut all = records(connection);
    for sql in [
        "select concat_ws('|', a.slug, a.name, a.symbol, a.state, c.crypto_id, l.method, l.evidence, l.ended_reason) from asset_links l join assets a using (asset_id) join coins c using (coin_id) order by 1",
        "select concat_ws('|', c.crypto_id, s.state, s.until is null) from coin_states s join coins c using (coin_id) order by 1",
    ] {
        all.extend(texts(connection, sql));
    }
    all
}

/// The same without what was decided about which coins are one.
pub(crate) fn records(connection: &mut PgConnection) -> Vec<String> {
    // A record without a time of its own carries that of the load; the simulator's universe is of the past.
    let time = "case when observed_at > now() - interval '1 hour' then 'now' else observed_at::text end";
    let mut all = texts(
        connection,
        &format!(
            "select concat_ws('|', data_source, crypto_id, crypto_name, symbol, price_usd, market_cap_usd, volume_24h_usd, \
                    change_24h_percent, rank, circulating_supply, total_supply, max_supply, {time}, raw_position) \
               from cleaned_data order by 1"
        ),
    );
    for sql in [
        "select concat_ws('|', name, coins, observations, raw_records, batch_number) from data_sources where batch_number > 0 and kind = 'market' order by 1",
        "select concat_ws('|', source, encode(sha256, 'hex'), record_count) from raw_api_data order by 1",
        "select concat_ws('|', source, encode(sha256, 'hex'), record_count, first_line, last_line, first_byte, end_byte) from raw_csv_data order by 1",
        "select concat_ws('|', path, generation, size_bytes, read_bytes, read_lines, encode(prefix_hash, 'hex')) from csv_files order by 1",
        "select concat_ws('|', source, code, field, excerpt) from rejects order by 1",
        "select concat_ws('|', c.source, last_processed_id, cursor) from etl_checkpoints c join data_sources s on s.name = c.source where s.kind = 'market' order by 1",
    ] {
        all.extend(texts(connection, sql));
    }
    all
}

/// Which coins are one, whatever that is called: the first source to be resolved names it.
pub(crate) fn groups(connection: &mut PgConnection) -> Vec<String> {
    texts(
        connection,
        "select string_agg(crypto_id, '|' order by crypto_id) from asset_links join coins using (coin_id) \
          where ended_at is null group by asset_id order by 1",
    )
}
