drop index etl_run_sources_source;
drop index etl_runs_status;
drop index etl_batches_run;
create index etl_batches_run on etl_batches (run_id);
drop table record_layouts;
alter table etl_batches drop column coin_ids;
drop table observation_revisions;
