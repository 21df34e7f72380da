do $$
declare
    owned regprocedure;
begin
    foreach owned in array array[
        'ensure_observation_partition(smallint, date, boolean)', 'build_observation_index(smallint, date, boolean)',
        'index_observation_partition(smallint, date)', 'count_observation_partition(smallint, date)'
    ]::regprocedure[] loop
        execute format('alter function %s security invoker reset search_path', owned);
        execute format('grant execute on function %s to public', owned);
    end loop;
end $$;
