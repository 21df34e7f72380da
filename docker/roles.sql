-- The roles that load and that read, made when they are missing. They get the passwords of docker/secrets each time, and
-- what they may do with the tables from `kasparro-etl migrate`.
\set ON_ERROR_STOP on
\set QUIET on
\set loader_password `cat /run/secrets/loader_password`
\set reader_password `cat /run/secrets/reader_password`

select format('create role %I login', name)
  from unnest(array['kasparro_loader', 'kasparro_reader']) as name
 where not exists (select from pg_roles where rolname = name) \gexec

alter role kasparro_loader password :'loader_password';
alter role kasparro_reader password :'reader_password';
