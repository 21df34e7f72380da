alter table coin_states drop column migrated_by;
