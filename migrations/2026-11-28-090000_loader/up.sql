-- What makes partitions, their indexes and their counts works with the rights of the owner of the tables. So the role that
-- loads needs none to make or to change tables. Only whom the owner lets may call it: see `kasparro-etl migrate --loader`.
do $$
declare
    owned regprocedure;
begin
    foreach owned in array array[
        'ensure_observation_partition(smallint, date, boolean)', 'build_observation_index(smallint, date, boolean)',
        'index_observation_partition(smallint, date)', 'count_observation_partition(smallint, date)'
    ]::regprocedure[] loop
        execute format('alter function %s security definer set search_path = %I, pg_temp', owned, current_schema());
        execute format('revoke execute on function %s from public', owned);
    end loop;
end $$;
