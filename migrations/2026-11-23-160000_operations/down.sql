drop function prune_observation_partition(date);
drop index etl_batches_raw_csv;
drop index etl_batches_raw_api;
-- Batches whose bytes were pruned cannot go back under the old rule, so it counts for new ones only.
alter table etl_batches
    drop constraint one_raw_origin,
    drop constraint etl_batches_raw_api_id_fkey,
    drop constraint etl_batches_raw_csv_id_fkey,
    add constraint one_raw_origin check (num_nonnulls(raw_api_id, raw_csv_id) = 1) not valid,
    add constraint etl_batches_raw_api_id_fkey foreign key (raw_api_id) references raw_api_data,
    add constraint etl_batches_raw_csv_id_fkey foreign key (raw_csv_id) references raw_csv_data;
comment on column etl_batches.raw_api_id is null;
comment on column etl_batches.raw_csv_id is null;
comment on column etl_batches.superseded is 'Rows of this batch that a later batch restated: rows in observations = loaded + restated - superseded.';
drop table schema_drift;
drop table source_calls;
