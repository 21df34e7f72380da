-- The server cannot unpack: what an older program could not read is refused here.
do $$
begin
    if exists (select 1 from raw_api_data where encoding <> 'identity') or exists (select 1 from raw_csv_data where encoding <> 'identity') then
        raise exception 'raw bodies are packed, which the older program cannot read';
    end if;
end $$;
alter table raw_api_data drop column encoding, alter column body set storage extended;
alter table raw_csv_data drop column encoding, alter column body set storage extended;
comment on column raw_api_data.body is null;
comment on column raw_api_data.sha256 is null;
comment on column raw_csv_data.body is null;
comment on column raw_csv_data.sha256 is null;
comment on table raw_api_data is 'One row is one HTTP body, byte for byte as received (only the transport compression undone). The same bytes are kept once.';
comment on table raw_csv_data is 'One row is one chunk of a CSV file, byte for byte. The same bytes are kept once.';
