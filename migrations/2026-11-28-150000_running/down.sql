drop index etl_run_sources_running;
