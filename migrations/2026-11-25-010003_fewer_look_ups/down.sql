alter table coins add constraint coins_source_id_fkey foreign key (source_id) references data_sources;
alter table coin_labels add constraint coin_labels_coin_id_fkey foreign key (coin_id) references coins;
alter table coin_latest
    add constraint coin_latest_coin_id_fkey foreign key (coin_id) references coins,
    add constraint coin_latest_source_id_fkey foreign key (source_id) references data_sources,
    add constraint coin_latest_label_id_fkey foreign key (label_id) references coin_labels;
comment on column coins.source_id is null;
