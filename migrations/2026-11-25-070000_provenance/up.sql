-- What reading back needs: values that were corrected later, which coins each batch was about, and how the records
-- of a source are to be read.

create table observation_revisions (
    coin_id            integer not null,
    observed_at        timestamptz not null,
    batch_id           bigint not null,
    superseded_by      bigint not null,
    label_id           integer not null,
    raw_position       integer not null,
    source_id          smallint not null,
    rank               integer,
    price_usd          numeric,
    market_cap_usd     numeric,
    volume_24h_usd     numeric,
    change_24h_percent numeric,
    circulating_supply numeric,
    total_supply       numeric,
    max_supply         numeric,
    primary key (coin_id, observed_at, batch_id)
);
comment on table observation_revisions is 'One row is what an observation said before its source (or a better reading of its bytes) corrected it: what was known then. Written by the statement that restates the observation.';
comment on column observation_revisions.batch_id is 'The batch that wrote these values; its created_at is when they became known.';
comment on column observation_revisions.superseded_by is 'The batch that replaced them; its created_at is when they ended.';
comment on column observation_revisions.raw_position is 'Number of the record in the raw body or chunk of batch_id, from 0.';
comment on column observation_revisions.price_usd is 'US dollars per coin.';
comment on column observation_revisions.market_cap_usd is 'US dollars.';
comment on column observation_revisions.volume_24h_usd is 'US dollars traded in 24 hours.';
comment on column observation_revisions.change_24h_percent is 'Percent: 1.5 is 1.5 %.';
comment on column observation_revisions.circulating_supply is 'Coins.';
comment on column observation_revisions.total_supply is 'Coins.';
comment on column observation_revisions.max_supply is 'Coins.';
create index observation_revisions_batch on observation_revisions (batch_id);

alter table etl_batches add column coin_ids integer[];
comment on column etl_batches.coin_ids is 'Keys of the coins that its accepted records are about, sorted, each once, whether they brought something new or not; null for batches of versions that did not note them.';

create table record_layouts (
    layout_id   bigint generated always as identity primary key,
    source      text collate "C" not null references data_sources (name),
    file_id     bigint references csv_files,
    generation  integer,
    layout      jsonb not null,
    declared_at timestamptz not null default clock_timestamp(),
    check ((file_id is null) = (generation is null))
);
comment on table record_layouts is 'One row is how the raw records of a source are read: which field of the unified record comes from where, and what a zero means there. For files one row each generation.';
comment on column record_layouts.file_id is 'The file; null for a source that is asked over HTTP.';
comment on column record_layouts.layout is '{"format": "json" or "csv", "delimiter": one character or null, "fields": [{"field", "origin": path in the record or name of the column, "column": number from 0 or null, "zero_is_unknown"}]}';
comment on column record_layouts.declared_at is 'When it last changed.';
create unique index record_layouts_key on record_layouts (source, coalesce(file_id, 0), coalesce(generation, 0));

drop index etl_batches_run;
create index etl_batches_run on etl_batches (run_id, batch_id);
create index etl_runs_status on etl_runs (status, run_id);
create index etl_run_sources_source on etl_run_sources (source, run_id);
