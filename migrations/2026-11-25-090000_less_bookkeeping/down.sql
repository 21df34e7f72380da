alter table asset_links
    add constraint asset_links_asset_id_fkey foreign key (asset_id) references assets (asset_id),
    add constraint asset_links_coin_id_fkey foreign key (coin_id) references coins (coin_id);
alter table coin_states add constraint coin_states_coin_id_fkey foreign key (coin_id) references coins (coin_id);
alter table csv_files rename column prefix_hash to prefix_sha256;
comment on column csv_files.prefix_sha256 is 'SHA-256 of the first read_bytes bytes.';
alter function build_observation_index(smallint, date, boolean) reset max_parallel_maintenance_workers;
