drop view cleaned_data;
drop function prune_observation_partition(smallint, date);
drop function ensure_observation_partition(smallint, date, boolean);
drop function index_observation_partition(smallint, date);
drop function build_observation_index(smallint, date, boolean);
drop function observation_indexes(text);
drop function observation_partition_name(smallint, date);
drop table observation_partitions;
alter table observations rename to observations_by_source;

create table observations (
    like observations_by_source including defaults including constraints including comments
) partition by range (observed_at);
comment on table observations is 'One row is what one source said of one coin at one time; (coin_id, observed_at) is the key. Partitioned by month of observed_at (UTC); the partitions are made as needed and have their indexes, the key among them, of their own: those of a month that is loaded in bulk are built once behind the rows. No foreign keys: they would cost a look-up per row of a load, and the only writer has looked the keys up.';

create table observation_partitions (
    month      date primary key check (extract(day from month) = 1),
    indexed    boolean not null,
    created_at timestamptz not null default clock_timestamp()
);
comment on table observation_partitions is 'One row is one month for which observations has a partition. Inserting the row is what makes two loaders wait for each other.';
comment on column observation_partitions.indexed is 'False while the month is loaded in bulk; whoever finds it so after the end of that run builds the indexes.';

-- Name of the partition of a month.
create function observation_partition_name(wanted date) returns text
language sql immutable as $$
    select 'observations_' || to_char(wanted, 'YYYY_MM')
$$;
comment on function observation_partition_name(date) is 'Name of the partition of observations for the month of the given day.';

-- Builds the indexes of one month, unless it has them. Readers go on meanwhile, writers of the month wait.
create function index_observation_partition(wanted date) returns boolean
language plpgsql set maintenance_work_mem = '256MB' as $$
declare
    first_day date := date_trunc('month', wanted::timestamp)::date;
    part_name text := observation_partition_name(first_day);
begin
    perform 1 from observation_partitions where month = first_day and not indexed for update;
    if not found then
        return false;
    end if;
    execute format('create unique index %I on %I (coin_id, observed_at)', part_name || '_key', part_name);
    execute format('create index %I on %I (batch_id, coin_id, observed_at)', part_name || '_batch', part_name);
    execute format('create index %I on %I (source_id, price_usd desc nulls last, coin_id desc, observed_at desc)', part_name || '_price', part_name);
    execute format('create index %I on %I (source_id, market_cap_usd desc nulls last, coin_id desc, observed_at desc)', part_name || '_market_cap', part_name);
    update observation_partitions set indexed = true where month = first_day;
    return true;
end $$;
comment on function index_observation_partition(date) is 'Builds the indexes of the partition of observations for the month of the given day, if it has none. Returns whether it did.';

-- Makes the partition of one month. The table is built first and attached afterwards: readers and writers of
-- other months are not held up.
create function ensure_observation_partition(wanted date, with_indexes boolean default true) returns boolean
language plpgsql as $$
declare
    first_day date := date_trunc('month', wanted::timestamp)::date;
    part_name text := observation_partition_name(first_day);
    from_time text := to_char(first_day, 'YYYY-MM-DD') || ' 00:00:00+00';
    to_time   text := to_char(first_day + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00';
begin
    insert into observation_partitions (month, indexed) values (first_day, false) on conflict do nothing;
    if not found then
        return false;
    end if;
    execute format('create table %I (like observations including defaults including constraints)', part_name);
    if with_indexes then
        perform index_observation_partition(first_day);
    end if;
    execute format('alter table observations attach partition %I for values from (%L) to (%L)', part_name, from_time, to_time);
    return true;
end $$;
comment on function ensure_observation_partition(date, boolean) is 'Makes the partition of observations for the month of the given day, if there is none. Returns whether it did. Without indexes for a month that is about to be loaded in bulk: index_observation_partition builds them.';

do $$
declare
    part record;
begin
    for part in
        select distinct date_trunc('month', observed_at at time zone 'UTC')::date as month from observations_by_source order by 1
    loop
        perform ensure_observation_partition(part.month, false);
        execute format('insert into %I select * from observations_by_source where observed_at >= $1 and observed_at < $2',
                       observation_partition_name(part.month))
          using part.month::timestamp at time zone 'UTC', (part.month + interval '1 month') at time zone 'UTC';
        perform index_observation_partition(part.month);
    end loop;
end $$;
drop table observations_by_source;

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

create view cleaned_data as
select o.coin_id || '-' || (extract(epoch from o.observed_at) * 1000000)::bigint as id,
       s.name as data_source,
       c.crypto_id,
       l.crypto_name,
       l.symbol,
       o.price_usd,
       o.market_cap_usd,
       o.volume_24h_usd,
       o.change_24h_percent,
       o.rank,
       o.circulating_supply,
       o.total_supply,
       o.max_supply,
       o.observed_at,
       b.created_at,
       b.run_id,
       o.batch_id,
       b.raw_api_id,
       b.raw_csv_id,
       o.raw_position
  from observations o
  join data_sources s using (source_id)
  join coins c using (coin_id)
  join coin_labels l using (label_id)
  join etl_batches b using (batch_id);
comment on view cleaned_data is 'One row is one observation of one coin by one source, with its names and where it came from.';
comment on column cleaned_data.id is 'Opaque; the same observation keeps it.';
comment on column cleaned_data.created_at is 'When the values were written, by the clock of the database.';
