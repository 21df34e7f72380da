alter function build_observation_index(smallint, date, boolean) reset max_parallel_maintenance_workers;
