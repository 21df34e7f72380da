-- What is under way is found without reading the record of every run there ever was.
create index etl_run_sources_running on etl_run_sources (run_id) where status = 'running';
