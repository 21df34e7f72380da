-- One partition a month again.
do $$
declare
    month record;
    name  text;
begin
    for month in select * from observation_partitions where closed > 0 loop
        name := observation_partition_name(month.source_id, month.month);
        create temporary table all_rows on commit drop as
            select * from observations
             where source_id = month.source_id and observed_at >= month.month::timestamp at time zone 'UTC'
               and observed_at < (month.month + interval '1 month') at time zone 'UTC';
        for number in 1 .. month.closed loop
            execute format('drop table %I', name || '_' || number);
        end loop;
        execute format('drop table %I', name);
        delete from observation_partitions where source_id = month.source_id and observation_partitions.month = month.month;
        perform ensure_observation_partition(month.source_id, month.month, false);
        insert into observations select * from all_rows;
        perform index_observation_partition(month.source_id, month.month);
        perform count_observation_partition(month.source_id, month.month);
        drop table all_rows;
    end loop;
end $$;
drop function split_observation_partition(smallint, date, timestamptz);
create or replace function prune_observation_rows(of_source smallint, wanted date) returns bigint
language plpgsql as $$
declare
    first_day date := date_trunc('month', wanted::timestamp)::date;
    part_name text := observation_partition_name(of_source, first_day);
    month_end timestamptz := (first_day + interval '1 month') at time zone 'UTC';
    removed   bigint;
    stay      bigint;
begin
    perform 1 from observation_partitions where source_id = of_source and month = first_day for update;
    if not found then
        return 0;
    end if;
    execute format('create temporary table pruned_rows on commit drop as
        select p.coin_id, p.batch_id, count(*) as n from %I p
         where not exists (select 1 from coin_latest l where l.coin_id = p.coin_id and l.observed_at = p.observed_at)
         group by p.coin_id, p.batch_id', part_name);
    select coalesce(sum(n), 0) into removed from pruned_rows;
    update coin_latest l set observations = l.observations - g.n
      from (select coin_id, sum(n) as n from pruned_rows group by coin_id) g where l.coin_id = g.coin_id;
    update etl_batches b set superseded = b.superseded + g.n
      from (select batch_id, sum(n) as n from pruned_rows group by batch_id) g where b.batch_id = g.batch_id;
    update data_sources s set observations = s.observations - removed where s.source_id = of_source;
    execute format('create temporary table kept_rows on commit drop as
        select p.* from %I p join coin_latest l on l.coin_id = p.coin_id and l.observed_at = p.observed_at', part_name);
    select count(*) into stay from kept_rows;
    if stay = 0 then
        execute format('drop table %I', part_name);
        delete from observation_partitions where source_id = of_source and month = first_day;
    elsif removed > 0 then
        execute format('truncate %I', part_name);
        execute format('insert into %I select * from kept_rows', part_name);
    end if;
    update coin_latest l
       set first_observed_at = (select min(o.observed_at) from observations o where o.source_id = of_source and o.coin_id = l.coin_id)
     where l.first_observed_at < month_end and l.coin_id in (select coin_id from pruned_rows);
    drop table pruned_rows, kept_rows;
    return removed;
end $$;
alter table observation_partitions drop column open_from, drop column closed;
