drop trigger etl_run_sources_ended on etl_run_sources;
drop trigger etl_run_sources_ended_at_once on etl_run_sources;
drop function count_run();
drop table etl_run_counts;
