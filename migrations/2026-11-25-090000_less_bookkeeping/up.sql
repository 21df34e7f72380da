-- The first resolution of two universes writes 20,000 links and as many states at once; looking up and locking the coin
-- and the asset of each cost a third of it. Coins and assets are never deleted and their keys never used again, so that
-- a key that was valid once stays valid; the other tables that are filled by the thousand refer to coins in the same way.

alter table asset_links
    drop constraint asset_links_asset_id_fkey,
    drop constraint asset_links_coin_id_fkey;
alter table coin_states drop constraint coin_states_coin_id_fkey;

-- A file that grew is hashed up to where it was read before; BLAKE3 costs a quarter of SHA-256. What was hashed with that
-- does not match any more: such a file is read once more from its beginning, and nothing in it is new.
alter table csv_files rename column prefix_sha256 to prefix_hash;
comment on column csv_files.prefix_hash is 'BLAKE3 of the first read_bytes bytes.';

-- Two sessions of the loader build two indexes at the same time already; helpers of their own would take processors from
-- whoever reads, and on two processors cost more than they bring.
alter function build_observation_index(smallint, date, boolean) set max_parallel_maintenance_workers = 0;
