-- Raw bytes are packed by the loader: a fifth of the size, and the server need not try to compress them again. Rows that
-- are there stay as they are.
alter table raw_api_data
    add column encoding text collate "C" not null default 'identity' check (encoding in ('identity', 'zstd')),
    alter column body set storage external;
comment on column raw_api_data.encoding is 'How body holds the bytes: identity (as they are) or zstd.';
comment on column raw_api_data.body is 'The bytes, in the given encoding.';
comment on column raw_api_data.sha256 is 'Of the bytes as they came, whatever the encoding.';
comment on table raw_api_data is 'One row is one HTTP body, byte for byte as received (only the transport compression undone), packed. The same bytes are kept once.';
alter table raw_csv_data
    add column encoding text collate "C" not null default 'identity' check (encoding in ('identity', 'zstd')),
    alter column body set storage external;
comment on column raw_csv_data.encoding is 'How body holds the bytes: identity (as they are) or zstd.';
comment on column raw_csv_data.body is 'The bytes, in the given encoding.';
comment on column raw_csv_data.sha256 is 'Of the bytes as they were read, whatever the encoding.';
comment on table raw_csv_data is 'One row is one chunk of a CSV file, byte for byte, packed. The same bytes are kept once.';
