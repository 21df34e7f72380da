-- A source often goes on with a coin under another id. What a person declares was kept already; now it is also noticed, and
-- how it is known is kept with it.
alter table coin_states add column migrated_by text collate "C" check (migrated_by in ('declared', 'contract', 'name'));
update coin_states set migrated_by = 'declared' where state = 'migrated';
alter table coin_states add check ((state = 'migrated') = (migrated_by is not null));
comment on column coin_states.migrated_by is 'How it is known: declared by a person; contract: the new id has the contract of the old one; name: it has the symbol and the name, came when the old one went, and had its price. Null unless migrated.';
