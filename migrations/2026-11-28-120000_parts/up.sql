-- A month that has its indexes and gets very many newer rows is continued in a partition of its own, whose indexes are built
-- behind these rows. Keeping the indexes of the whole month up with each row cost five times as much.

alter table observation_partitions
    add column closed integer not null default 0 check (closed >= 0),
    add column open_from timestamptz;
comment on table observation_partitions is 'One row is one month of one source, for which observations has a partition: the open one, and those that were closed when many newer rows came. Inserting the row is what makes two loaders wait for each other.';
comment on column observation_partitions.closed is 'Number of closed partitions; they are named like the open one, with _1 and so on behind.';
comment on column observation_partitions.open_from is 'The time at which the open partition begins, UTC; null when that is the beginning of the month.';
comment on column observation_partitions.indexed is 'False while the month is loaded in bulk: the open partition lacks indexes. Whoever loads the source next after that run died builds them.';

create function split_observation_partition(of_source smallint, wanted date, from_time timestamptz) returns boolean
language plpgsql set lock_timeout = '1s' as $$
declare
    first_day   date := date_trunc('month', wanted::timestamp)::date;
    month_end   timestamptz := (first_day + interval '1 month') at time zone 'UTC';
    part_name   text := observation_partition_name(of_source, first_day);
    closed_name text;
    was_from    timestamptz;
    number      integer;
    part_index  record;
begin
    select coalesce(p.open_from, first_day::timestamp at time zone 'UTC'), p.closed + 1 into was_from, number
      from observation_partitions p where p.source_id = of_source and p.month = first_day and p.indexed and p.counted for update;
    if not found or from_time <= was_from or from_time >= month_end then
        return false;
    end if;
    closed_name := part_name || '_' || number;
    execute format('alter table observations detach partition %I', part_name);
    execute format('alter table %I rename to %I', part_name, closed_name);
    for part_index in
        select old.index_name as old_name, new.index_name as new_name
          from observation_indexes(part_name) with ordinality old
          join observation_indexes(closed_name) with ordinality new using (ordinality)
    loop
        execute format('alter index %I rename to %I', part_index.old_name, part_index.new_name);
    end loop;
    execute format('alter table observations attach partition %I for values from (%s, %L) to (%s, %L)',
                   closed_name, of_source, was_from, of_source, from_time);
    execute format('create table %I (like observations including defaults including constraints)', part_name);
    execute format('alter table observations attach partition %I for values from (%s, %L) to (%s, %L)',
                   part_name, of_source, from_time, of_source, month_end);
    update observation_partitions set indexed = false, closed = number, open_from = from_time
     where source_id = of_source and month = first_day;
    return true;
exception when lock_not_available or check_violation then
    -- Somebody reads for long, or there is something newer: then the indexes are kept up.
    return false;
end $$;
comment on function split_observation_partition(smallint, date, timestamptz) is 'Closes the partition of observations for the month of the given day of a source and goes on in a new one without indexes, which begins at a time after all of its rows. Returns whether it did. The caller holds the lease of the source; readers wait while the rows are looked through.';

-- Whoever may make partitions may split them.
do $$
declare
    loader regrole;
begin
    execute format('alter function split_observation_partition(smallint, date, timestamptz) security definer set search_path = %I, pg_temp', current_schema());
    revoke execute on function split_observation_partition(smallint, date, timestamptz) from public;
    for loader in
        select grantee::regrole from pg_proc, aclexplode(proacl)
         where oid = 'ensure_observation_partition(smallint, date, boolean)'::regprocedure and grantee <> proowner
    loop
        execute format('grant execute on function split_observation_partition(smallint, date, timestamptz) to %s', loader);
    end loop;
end $$;

-- As before, of all partitions of the month.
create or replace function prune_observation_rows(of_source smallint, wanted date) returns bigint
language plpgsql as $$
declare
    first_day  date := date_trunc('month', wanted::timestamp)::date;
    part_name  text := observation_partition_name(of_source, first_day);
    month_from timestamptz := first_day::timestamp at time zone 'UTC';
    month_end  timestamptz := (first_day + interval '1 month') at time zone 'UTC';
    parts      text[];
    part       text;
    removed    bigint;
    stay       bigint;
begin
    select array_agg(part_name || case when number = 0 then '' else '_' || number end) into parts
      from observation_partitions p cross join generate_series(0, p.closed) as number
     where p.source_id = of_source and p.month = first_day;
    if parts is null then
        return 0;
    end if;
    perform 1 from observation_partitions where source_id = of_source and month = first_day for update;
    create temporary table pruned_rows on commit drop as
        select p.coin_id, p.batch_id, count(*) as n from observations p
         where p.source_id = of_source and p.observed_at >= month_from and p.observed_at < month_end
           and not exists (select 1 from coin_latest l where l.coin_id = p.coin_id and l.observed_at = p.observed_at)
         group by p.coin_id, p.batch_id;
    select coalesce(sum(n), 0) into removed from pruned_rows;
    update coin_latest l set observations = l.observations - g.n
      from (select coin_id, sum(n) as n from pruned_rows group by coin_id) g where l.coin_id = g.coin_id;
    update etl_batches b set superseded = b.superseded + g.n
      from (select batch_id, sum(n) as n from pruned_rows group by batch_id) g where b.batch_id = g.batch_id;
    update data_sources s set observations = s.observations - removed where s.source_id = of_source;
    create temporary table kept_rows on commit drop as
        select p.* from observations p join coin_latest l on l.coin_id = p.coin_id and l.observed_at = p.observed_at
         where p.source_id = of_source and p.observed_at >= month_from and p.observed_at < month_end;
    select count(*) into stay from kept_rows;
    if stay = 0 then
        foreach part in array parts loop
            execute format('drop table %I', part);
        end loop;
        delete from observation_partitions where source_id = of_source and month = first_day;
    elsif removed > 0 then
        -- Room comes back at once, which it would not after a delete.
        foreach part in array parts loop
            execute format('truncate %I', part);
        end loop;
        insert into observations select * from kept_rows;
    end if;
    update coin_latest l
       set first_observed_at = (select min(o.observed_at) from observations o where o.source_id = of_source and o.coin_id = l.coin_id)
     where l.first_observed_at < month_end and l.coin_id in (select coin_id from pruned_rows);
    drop table pruned_rows, kept_rows;
    return removed;
end $$;
