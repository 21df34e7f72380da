-- Reading kept bytes again must never win over what newer bytes have said since. So it is known which launches did that, and
-- when each of the bytes was published last by one that did not.
alter table etl_runs add column is_reprocess boolean not null default false;
comment on column etl_runs.is_reprocess is 'Whether the launch read bytes again that were kept, instead of the sources.';

create function raw_publication(of_source text, api_id bigint, csv_id bigint) returns bigint
language sql stable as $$
    select coalesce(
        (select max(b.batch_id) from etl_batches b join etl_runs r using (run_id)
          where b.raw_api_id = api_id and not r.is_reprocess),
        (select max(b.batch_id) from etl_batches b join etl_runs r using (run_id)
          where b.raw_csv_id = csv_id and not r.is_reprocess),
        (select b.batch_id from etl_batches b join etl_runs r using (run_id)
          where b.source = of_source and not r.is_reprocess and b.loaded + b.restated > 0
            and b.created_at < coalesce((select fetched_at from raw_api_data where raw_id = api_id),
                                        (select fetched_at from raw_csv_data where raw_id = csv_id))
          order by b.created_at desc, b.batch_id desc limit 1),
        0)
$$;
comment on function raw_publication(text, bigint, bigint) is 'The newest batch that published these kept bytes of a source when they had just come; of bytes that were refused as a whole the batch before them. Greater is newer.';

alter table data_sources add column pruned_before timestamptz;
comment on column data_sources.pruned_before is 'Observations before this time were removed because of their age, but for the newest of each coin; null when none ever were.';
