alter table data_sources drop column pruned_before;
drop function raw_publication(text, bigint, bigint);
alter table etl_runs drop column is_reprocess;
