-- What the observations of a coin in a month lie between. How many observations lie within bounds is then mostly told
-- by a row a coin and month; only those of coins that lie partly within are counted one by one.

create table coin_months (
    source_id          smallint not null,
    month              date not null check (extract(day from month) = 1),
    coin_id            integer not null,
    observations       integer not null check (observations >= 0),
    first_observed_at  timestamptz not null,
    last_observed_at   timestamptz not null,
    min_price_usd      double precision,
    max_price_usd      double precision,
    min_market_cap_usd double precision,
    max_market_cap_usd double precision,
    min_volume_24h_usd double precision,
    max_volume_24h_usd double precision,
    unknown_price      boolean not null,
    unknown_market_cap boolean not null,
    unknown_volume     boolean not null,
    primary key (source_id, month, coin_id)
) with (fillfactor = 80);
comment on table coin_months is 'One row is what the observations of one coin of one source in one month (UTC) lie between, written with each batch. No foreign keys, as for observations.';
comment on column coin_months.month is 'Its first day, UTC.';
comment on column coin_months.observations is 'Number of observations of the coin in the month; exact.';
comment on column coin_months.min_price_usd is 'The lowest price, rounded to the nearest float; after a correction it may be lower than any. Rounding keeps the order, so that a float above it is above the price as well. Null when every price is unknown. The other bounds alike.';
comment on column coin_months.unknown_price is 'Whether a price is, or before a correction was, unknown. The others alike.';

-- An amount as a float; a number that is too large for one is infinite, and one too small is 0.
create function rounded(amount numeric) returns double precision
language sql immutable as $$
    select case when amount > 1.7976931348623157e308 then 'infinity' when amount < 5e-324 then 0 else amount::double precision end
$$;
comment on function rounded(numeric) is 'An amount as a float; a number that is too large for one is infinite, and one that is too small is 0.';

-- Counts a month of a source anew.
create function rebuild_coin_months(of_source smallint, wanted date) returns void
language plpgsql as $$
declare
    first_day date := date_trunc('month', wanted::timestamp)::date;
begin
    delete from coin_months where source_id = of_source and month = first_day;
    insert into coin_months
    select of_source, first_day, coin_id, count(*), min(observed_at), max(observed_at),
           rounded(min(price_usd)), rounded(max(price_usd)), rounded(min(market_cap_usd)), rounded(max(market_cap_usd)),
           rounded(min(volume_24h_usd)), rounded(max(volume_24h_usd)),
           bool_or(price_usd is null), bool_or(market_cap_usd is null), bool_or(volume_24h_usd is null)
      from observations
     where source_id = of_source
       and observed_at >= first_day::timestamp at time zone 'UTC'
       and observed_at < (first_day + interval '1 month') at time zone 'UTC'
     group by coin_id;
end $$;
comment on function rebuild_coin_months(smallint, date) is 'Counts the month of the given day of a source anew. The caller holds the lease of the source.';

-- The months of coins are kept up with each batch, except while a month is loaded in bulk: then they are counted once,
-- behind the rows, as its indexes are built.
alter table observation_partitions add column counted boolean not null default false;
comment on column observation_partitions.counted is 'False while the month is loaded in bulk: coin_months has nothing of it.';

create function count_observation_partition(of_source smallint, wanted date) returns boolean
language plpgsql as $$
declare
    first_day date := date_trunc('month', wanted::timestamp)::date;
begin
    perform 1 from observation_partitions
      where source_id = of_source and month = first_day and not counted for update;
    if not found then
        return false;
    end if;
    perform rebuild_coin_months(of_source, first_day);
    update observation_partitions set counted = true where source_id = of_source and month = first_day;
    return true;
end $$;
comment on function count_observation_partition(smallint, date) is 'Counts the month of the given day of a source, if that was put off. Returns whether it was. The caller holds the lease of the source.';

select count_observation_partition(source_id, month) from observation_partitions;

-- As before; a month that is not loaded in bulk is counted from its first batch on.
create or replace function ensure_observation_partition(of_source smallint, wanted date, with_indexes boolean default true) returns boolean
language plpgsql as $$
declare
    first_day date := date_trunc('month', wanted::timestamp)::date;
    part_name text := observation_partition_name(of_source, first_day);
    from_time text := to_char(first_day, 'YYYY-MM-DD') || ' 00:00:00+00';
    to_time   text := to_char(first_day + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00';
begin
    insert into observation_partitions (source_id, month, indexed, counted)
    values (of_source, first_day, false, with_indexes) on conflict do nothing;
    if not found then
        return false;
    end if;
    execute format('create table %I (like observations including defaults including constraints)', part_name);
    if with_indexes then
        perform index_observation_partition(of_source, first_day);
    end if;
    execute format('alter table observations attach partition %I for values from (%s, %L) to (%s, %L)',
                   part_name, of_source, from_time, of_source, to_time);
    return true;
end $$;
comment on function ensure_observation_partition(smallint, date, boolean) is 'Makes the partition of observations for the month of the given day of a source, if there is none. Returns whether it did. Without indexes and uncounted for a month that is about to be loaded in bulk: index_observation_partition and count_observation_partition do that.';

-- As before, and the months of the coins with it.
alter function prune_observation_partition(smallint, date) rename to prune_observation_rows;
create function prune_observation_partition(of_source smallint, wanted date) returns bigint
language plpgsql as $$
declare
    first_day date := date_trunc('month', wanted::timestamp)::date;
    removed   bigint := prune_observation_rows(of_source, wanted);
begin
    if not exists (select 1 from observation_partitions
                    where source_id = of_source and month = first_day and not counted) then
        perform rebuild_coin_months(of_source, first_day);
    end if;
    return removed;
end $$;
comment on function prune_observation_rows(smallint, date) is 'The part of prune_observation_partition that is about observations and their counters.';
comment on function prune_observation_partition(smallint, date) is 'Removes the observations of a source in the month of the given day but for the newest of each coin, and the partition when nothing is left. Returns how many. The caller holds the leases of all sources.';
