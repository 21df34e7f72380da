-- Foreign keys cost a look-up per row, which was half of what the first load of a listing cost. The only writer of a
-- source has looked these keys up or made them in the same transaction, as with observations.
alter table coins drop constraint coins_source_id_fkey;
alter table coin_labels drop constraint coin_labels_coin_id_fkey;
alter table coin_latest
    drop constraint coin_latest_coin_id_fkey,
    drop constraint coin_latest_source_id_fkey,
    drop constraint coin_latest_label_id_fkey;
comment on column coins.source_id is 'Of data_sources. No foreign keys here, in coin_labels and in coin_latest: they would cost a look-up per row of a load, and the only writer of a source has looked the keys up.';
