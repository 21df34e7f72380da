-- How many runs of each source ended how: a counter of its own, since the record of launches may be thinned out one day
-- and a counter that goes down is read as a restart.

create table etl_run_counts (
    source text collate "C" not null,
    status text collate "C" not null,
    runs   bigint not null check (runs > 0),
    primary key (source, status)
);
comment on table etl_run_counts is 'One row counts the runs of one source that ended with one status. Grows only.';
comment on column etl_run_counts.status is 'succeeded, failed, skipped, cancelled or abandoned.';
comment on column etl_run_counts.runs is 'Number of runs. One that was taken for dead and ended after all counts as both.';

create function count_run() returns trigger
language plpgsql as $$
begin
    insert into etl_run_counts as c (source, status, runs) values (new.source, new.status, 1)
        on conflict (source, status) do update set runs = c.runs + 1;
    return null;
end $$;
comment on function count_run() is 'Counts a run of a source that has just ended.';

create trigger etl_run_sources_ended_at_once after insert on etl_run_sources
    for each row when (new.status <> 'running') execute function count_run();
create trigger etl_run_sources_ended after update of status on etl_run_sources
    for each row when (new.status <> 'running' and new.status is distinct from old.status) execute function count_run();

insert into etl_run_counts (source, status, runs)
    select source, status, count(*) from etl_run_sources where status <> 'running' group by source, status;
