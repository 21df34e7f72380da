drop function prune_observation_partition(smallint, date);
alter function prune_observation_rows(smallint, date) rename to prune_observation_partition;
comment on function prune_observation_partition(smallint, date) is 'Removes the observations of a source in the month of the given day but for the newest of each coin, and the partition when nothing is left. Returns how many. The caller holds the leases of all sources.';
create or replace function ensure_observation_partition(of_source smallint, wanted date, with_indexes boolean default true) returns boolean
language plpgsql as $$
declare
    first_day date := date_trunc('month', wanted::timestamp)::date;
    part_name text := observation_partition_name(of_source, first_day);
    from_time text := to_char(first_day, 'YYYY-MM-DD') || ' 00:00:00+00';
    to_time   text := to_char(first_day + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00';
begin
    insert into observation_partitions (source_id, month, indexed) values (of_source, first_day, false) on conflict do nothing;
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
comment on function ensure_observation_partition(smallint, date, boolean) is 'Makes the partition of observations for the month of the given day of a source, if there is none. Returns whether it did. Without indexes for a month that is about to be loaded in bulk: index_observation_partition builds them.';

drop function count_observation_partition(smallint, date);
alter table observation_partitions drop column counted;
drop function rebuild_coin_months(smallint, date);
drop function rounded(numeric);
drop table coin_months;
