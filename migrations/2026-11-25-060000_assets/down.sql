drop table coin_states;
drop table listed_coins;
drop table coin_contracts;
drop table asset_rulings;
drop table asset_reviews;
drop table asset_links;
drop table assets;
-- Listings and the resolver have no place among the sources that deliver observations.
delete from etl_run_sources where source in (select name from data_sources where kind <> 'market');
delete from etl_checkpoints where source in (select name from data_sources where kind <> 'market');
delete from etl_lease where source in (select name from data_sources where kind <> 'market');
delete from raw_api_data where source in (select name from data_sources where kind <> 'market');
delete from schema_drift where source in (select name from data_sources where kind <> 'market');
delete from data_sources where kind <> 'market';
alter table data_sources drop column kind;
