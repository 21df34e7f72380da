-- The loader builds two indexes at a time over two connections. Helpers of the server beside them cost a third more in
-- all: they hand their parts over in files.
alter function build_observation_index(smallint, date, boolean) set max_parallel_maintenance_workers = 0;
