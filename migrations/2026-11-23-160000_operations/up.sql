-- What running the ETL for long needs: a ledger of calls, what sources have changed about their formats, and the
-- removal of what is old.

create table source_calls (
    source text collate "C" not null,
    host   text collate "C" not null,
    day    date not null,
    calls  bigint not null check (calls > 0),
    primary key (source, host, day)
);
comment on table source_calls is 'One row is the calls to one host for one source on one day (UTC). Counted before each call in a commit of its own, so that the calls of a batch that is rolled back, and of a dry run, count too: the vendor counts them.';
comment on column source_calls.source is 'Name of the source. No foreign key: the first call of a dry run comes before the source is registered.';
comment on column source_calls.host is 'Whom the quota belongs to.';
comment on column source_calls.calls is 'Calls, failed ones and attempts included.';

create table schema_drift (
    source        text collate "C" not null references data_sources (name),
    field         text collate "C" not null check (field <> ''),
    kind          text not null check (kind in ('unknown', 'missing', 'retyped')),
    required      boolean not null,
    evidence      text not null check (octet_length(evidence) <= 1024),
    suggestion    text,
    times         bigint not null default 1,
    first_seen_at timestamptz not null default clock_timestamp(),
    last_seen_at  timestamptz not null default clock_timestamp(),
    primary key (source, field, kind)
);
comment on table schema_drift is 'One row is one way in which a source has left its contract: seen once, kept once, with evidence.';
comment on column schema_drift.field is 'Path of the field in the source''s own record, such as quotes.USD.price.';
comment on column schema_drift.kind is 'unknown: a field that the contract does not have; missing: no record of a body has it; retyped: a value of another JSON type.';
comment on column schema_drift.required is 'The source is frozen while the field is missing.';
comment on column schema_drift.evidence is 'The beginning of a value or record that shows it, at most 1 kB.';
comment on column schema_drift.suggestion is 'What a missing field is probably called now, and why; null when nothing is like it.';
comment on column schema_drift.times is 'Number of bodies that showed it.';

-- Raw bytes may go while the record of what became of them stays.
alter table etl_batches
    drop constraint one_raw_origin,
    drop constraint etl_batches_raw_api_id_fkey,
    drop constraint etl_batches_raw_csv_id_fkey,
    add constraint one_raw_origin check (num_nonnulls(raw_api_id, raw_csv_id) <= 1),
    add constraint etl_batches_raw_api_id_fkey foreign key (raw_api_id) references raw_api_data on delete set null,
    add constraint etl_batches_raw_csv_id_fkey foreign key (raw_csv_id) references raw_csv_data on delete set null;
create index etl_batches_raw_api on etl_batches (raw_api_id) where raw_api_id is not null;
create index etl_batches_raw_csv on etl_batches (raw_csv_id) where raw_csv_id is not null;
comment on column etl_batches.raw_api_id is 'The body that it was made of; null when it was a chunk, or when the bytes were pruned.';
comment on column etl_batches.raw_csv_id is 'The chunk that it was made of; null when it was a body, or when the bytes were pruned.';
comment on column etl_batches.superseded is 'Rows of this batch that a later batch restated, or that were pruned: rows in observations = loaded + restated - superseded.';

-- Removes the observations of one month but for those that are the newest of their coin, and sets every counter right.
-- The caller holds the leases of all sources.
create function prune_observation_partition(wanted date) returns bigint
language plpgsql as $$
declare
    first_day date := date_trunc('month', wanted::timestamp)::date;
    part_name text := observation_partition_name(first_day);
    month_end timestamptz := (first_day + interval '1 month') at time zone 'UTC';
    removed   bigint;
    stay      bigint;
begin
    perform 1 from observation_partitions where month = first_day for update;
    if not found then
        return 0;
    end if;
    execute format('create temporary table pruned_rows on commit drop as
        select p.coin_id, p.source_id, p.batch_id, count(*) as n from %I p
         where not exists (select 1 from coin_latest l where l.coin_id = p.coin_id and l.observed_at = p.observed_at)
         group by p.coin_id, p.source_id, p.batch_id', part_name);
    select coalesce(sum(n), 0) into removed from pruned_rows;
    update coin_latest l set observations = l.observations - g.n
      from (select coin_id, sum(n) as n from pruned_rows group by coin_id) g where l.coin_id = g.coin_id;
    update etl_batches b set superseded = b.superseded + g.n
      from (select batch_id, sum(n) as n from pruned_rows group by batch_id) g where b.batch_id = g.batch_id;
    update data_sources s set observations = s.observations - g.n
      from (select source_id, sum(n) as n from pruned_rows group by source_id) g where s.source_id = g.source_id;
    execute format('create temporary table kept_rows on commit drop as
        select p.* from %I p join coin_latest l on l.coin_id = p.coin_id and l.observed_at = p.observed_at', part_name);
    select count(*) into stay from kept_rows;
    if stay = 0 then
        execute format('drop table %I', part_name);
        delete from observation_partitions where month = first_day;
    elsif removed > 0 then
        -- Room comes back at once, which it would not after a delete.
        execute format('truncate %I', part_name);
        execute format('insert into %I select * from kept_rows', part_name);
    end if;
    update coin_latest l
       set first_observed_at = (select min(o.observed_at) from observations o where o.coin_id = l.coin_id)
     where l.first_observed_at < month_end and l.coin_id in (select coin_id from pruned_rows);
    drop table pruned_rows, kept_rows;
    return removed;
end $$;
comment on function prune_observation_partition(date) is 'Removes the observations of the month of the given day but for the newest of each coin, and the partition when nothing is left. Returns how many. The caller holds the leases of all sources.';
