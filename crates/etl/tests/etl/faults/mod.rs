//! What goes wrong, what is to happen then, and the tests that show it.
//!
//! [`MAP`] has a row for each fault of a source (S), of the database (D), of the process (P) and of a file (F). Every fault
//! test asks for the exit code, a sentence that names the cause, the record of the run, and the invariants I1 to I10
//! (`support::check_invariants`); that no secret is in any output is checked for every program that a test runs
//! (`Program::secret`). Tests that are ignored take minutes and run with `make test-chaos`.

mod database;
mod file;
mod limits;
mod pooler;
mod process;
mod source;
mod standby;
mod tls;

/// The faults: row, what happens, the tests that ask for what is to happen.
const MAP: &[(&str, &str, &[&str])] = &[
    (
        "S1",
        "unknown host, silent name server",
        &[
            "s1_a_host_without_an_address_is_tried_again_and_does_not_stop_the_others",
            "s1_a_name_server_that_says_nothing_is_ended_by_the_clock",
        ],
    ),
    ("S2", "connection refused", &["one_dead_source_does_not_stop_the_others"]),
    (
        "S3",
        "silence, dropped packets",
        &[
            "s3_silence_at_any_point_is_ended_by_the_clock",
            "s3_a_host_that_drops_every_packet_is_ended_by_the_clock",
        ],
    ),
    (
        "S4",
        "bad certificate, no TLS",
        &["s4_a_certificate_is_good_or_nothing_is_asked", "s4_neither_side_goes_on_without_tls"],
    ),
    ("S5", "429 with seconds", &["the_wait_that_the_source_asks_for_is_kept"]),
    (
        "S6",
        "429 with a date, garbage, an age",
        &[
            "s6_every_form_of_retry_after_is_understood",
            "s6_a_wait_beyond_the_run_is_kept_for_the_next_one",
            "every_form_that_was_seen",
        ],
    ),
    (
        "S7",
        "server errors, for a while and for ever",
        &[
            "what_passes_is_tried_again",
            "s7_an_error_that_does_not_pass_is_asked_five_times_and_no_longer_than_the_deadline",
        ],
    ),
    ("S8", "refusals", &["what_does_not_pass_is_asked_once", "s8_a_refusal_is_asked_once"]),
    (
        "S9",
        "a body that breaks off",
        &["s9_a_body_that_breaks_off_is_never_taken_for_a_whole_one", "s9_a_body_is_cut_at_every_byte"],
    ),
    (
        "S10",
        "captive portal, empty body, 204",
        &["what_passes_is_tried_again", "what_does_not_pass_is_asked_once", "s8_a_refusal_is_asked_once"],
    ),
    (
        "S11",
        "bombs, huge bodies, lying lengths",
        &[
            "a_huge_body_is_cut_off_and_little_memory_is_used",
            "s11_a_length_that_is_not_true_is_never_believed",
        ],
    ),
    (
        "S12",
        "text that cannot be stored",
        &["one_bad_record_costs_one_record", "s12_s13_s26_a_value_that_cannot_be_stored_costs_its_record"],
    ),
    (
        "S13",
        "numbers that are none",
        &[
            "one_bad_record_costs_one_record",
            "s12_s13_s26_a_value_that_cannot_be_stored_costs_its_record",
            "decimals_are_read_as_they_are_spelt",
        ],
    ),
    (
        "S14",
        "one coin twice",
        &[
            "numbers_as_texts_are_numbers_and_doubled_records_count_once",
            "s14_of_two_values_for_one_coin_and_time_the_last_one_counts",
        ],
    ),
    (
        "S15",
        "an empty list",
        &[
            "an_empty_list_is_suspicious_and_harms_nothing",
            "s15_an_empty_list_is_suspicious_however_it_is_written",
        ],
    ),
    ("S16", "far fewer records", &["s16_far_fewer_records_than_last_time_are_loaded_with_a_warning"]),
    (
        "S17",
        "a required field is lost",
        &[
            "a_lost_field_freezes_the_source_and_keeps_the_bytes",
            "a_lost_required_field_freezes_the_source_and_its_new_name_is_suggested",
        ],
    ),
    ("S18", "a field is added", &["a_new_field_is_on_record_once_with_evidence_and_costs_nothing"]),
    (
        "S19",
        "a field changes its type",
        &[
            "a_number_that_became_a_text_is_loaded_and_told",
            "s19_a_number_inside_an_object_costs_every_record_and_nothing_that_is_stored",
        ],
    ),
    ("S20", "an error inside a 200", &["s20_an_error_inside_a_200_is_an_error_for_both_sources"]),
    (
        "S21",
        "a slow drip",
        &[
            "a_slow_drip_is_cut_by_the_clock",
            "s21_no_call_goes_on_behind_the_deadline_of_its_request_or_source",
        ],
    ),
    (
        "S22",
        "redirects",
        &[
            "what_does_not_pass_is_asked_once",
            "a_redirect_within_the_host_is_followed",
            "a_redirect_stays_with_its_host",
        ],
    ),
    (
        "S23",
        "a reset in the middle",
        &["what_passes_is_tried_again", "s23_a_connection_that_breaks_anywhere_is_made_again"],
    ),
    ("S24", "jitter, narrow, sliced", &["s24_a_slow_and_choppy_line_only_takes_longer"]),
    (
        "S25",
        "stale data",
        &[
            "a_second_run_on_unchanged_input_writes_no_observation_and_says_so",
            "an_older_snapshot_after_a_newer_one_does_not_become_the_latest",
        ],
    ),
    (
        "S26",
        "times that cannot be",
        &["one_bad_record_costs_one_record", "s12_s13_s26_a_value_that_cannot_be_stored_costs_its_record"],
    ),
    (
        "S27",
        "pages that fail, repeat, never end",
        &["a_page_that_fails_for_good_leaves_the_pages_before_it", "a_listing_that_never_ends_does_end"],
    ),
    (
        "D1",
        "away at start",
        &["a_database_that_is_away_costs_no_call", "d1_d2_a_database_that_comes_up_late_is_waited_for"],
    ),
    (
        "D2",
        "starting up",
        &[
            "d1_d2_a_database_that_comes_up_late_is_waited_for",
            "d2_a_server_that_takes_nobody_yet_is_waited_for",
        ],
    ),
    (
        "D3",
        "a session is ended, the server crashes",
        &[
            "d3_a_session_that_is_ended_in_the_middle_of_a_batch_writes_it_again",
            "d3_a_server_that_crashes_in_the_middle_of_a_batch_is_waited_for",
            "d3_sessions_that_are_ended_behind_the_load_cost_neither_listings_nor_assets",
        ],
    ),
    (
        "D4",
        "a confirmation is lost",
        &[
            "d4_a_confirmation_that_is_lost_is_found_out_about",
            "d4_a_lost_confirmation_of_a_statement_loads_nothing_twice",
            "d4_a_lost_confirmation_of_any_statement_loads_nothing_twice",
            "d4_the_stream_of_the_server_is_cut_at_some_bytes",
            "d4_the_stream_of_the_server_is_cut_all_along",
        ],
    ),
    ("D5", "the disk is full", &["d5_a_full_disk_is_told_once_and_harms_nothing"]),
    ("D6", "deadlock", &["d6_the_victim_of_a_deadlock_writes_its_batch_again"]),
    ("D7", "serialisation", &["d7_a_transaction_that_cannot_be_serialised_is_tried_again"]),
    (
        "D8",
        "read-only, standby, failover",
        &[
            "d8_a_database_that_may_only_be_read_is_said_to_be_one",
            "d8_a_primary_that_is_demoted_in_the_middle_is_left_and_the_new_one_found",
            "d8_a_standby_that_takes_over_in_the_middle_of_a_run",
        ],
    ),
    ("D9", "no connection left", &["d9_a_limit_of_connections_is_waited_for_and_then_told"]),
    ("D10", "a lock that is kept", &["d10_a_lock_that_somebody_keeps_is_waited_for_and_then_told"]),
    (
        "D11",
        "statement_timeout",
        &["d11_a_statement_that_takes_too_long_for_the_server_is_told_with_the_way_out"],
    ),
    ("D12", "many migrators", &["eight_migrators_at_once_all_end_well_and_one_works"]),
    (
        "D13",
        "a migration is killed",
        &[
            "d13_a_migration_that_is_killed_is_finished_by_the_next_one",
            "d13_a_migration_that_is_killed_anywhere_is_finished_by_the_next_one",
        ],
    ),
    (
        "D14",
        "tables of another version",
        &[
            "tables_of_another_version_are_refused_with_the_way_out",
            "a_database_without_tables_is_said_to_be_one",
        ],
    ),
    (
        "D15",
        "wrong password, no grant, no database",
        &["d15_a_refusal_of_the_server_is_a_wrong_setting_and_is_not_tried_again"],
    ),
    (
        "D16",
        "a pooler of transactions",
        &[
            "d16_through_a_pooler_the_same_tables_come_out",
            "d16_migrations_go_through_a_pooler",
            "d16_of_twenty_runs_through_a_pooler_none_is_lost",
            "d16_a_pooler_that_changes_servers_does_not_give_a_lease_away",
        ],
    ),
    ("D17", "no partition", &["d17_months_that_have_no_partition_get_one_in_the_same_run"]),
    ("D18", "clocks differ", &["p6_d18_the_clock_of_the_program_decides_nothing"]),
    (
        "P1",
        "signals",
        &[
            "a_signal_ends_a_run_in_order",
            "p1_a_signal_while_the_database_is_waited_for",
            "p1_a_signal_in_the_middle_of_a_transaction",
            "p1_a_signal_between_two_attempts",
            "p1_a_signal_while_the_call_rate_is_kept",
            "p1_a_signal_while_the_database_says_nothing_at_all",
            "p1_a_second_signal_ends_at_once",
        ],
    ),
    (
        "P2",
        "killed anywhere",
        &[
            "p2_coinpaprika_killed_between_statements",
            "p2_coingecko_killed_between_statements",
            "p2_csv_killed_between_statements",
            "p2_every_source_killed_between_any_two_statements",
            "p2_a_larger_run_killed_between_statements",
            "p2_killed_at_random_moments",
            "p2_whoever_reads_meanwhile_sees_whole_batches",
            "p2_whoever_reads_meanwhile_sees_whole_batches_at_every_statement",
            "a_bulk_load_that_was_killed_is_finished_by_the_next_run",
        ],
    ),
    ("P3", "no memory", &["p3_a_process_that_gets_no_memory_is_as_good_as_killed"]),
    (
        "P4",
        "many at once",
        &[
            "of_two_runs_at_once_one_works_and_the_other_says_so",
            "of_twenty_runs_at_once_every_one_ends_well_and_nothing_is_loaded_twice",
        ],
    ),
    ("P5", "stopped for long", &["a_run_that_was_overtaken_while_it_stood_still_writes_nothing"]),
    ("P6", "clocks that jump", &["p6_d18_the_clock_of_the_program_decides_nothing"]),
    (
        "P7",
        "nobody reads",
        &["nobody_reading_the_output_changes_nothing", "p7_nobody_who_reads_changes_nothing"],
    ),
    (
        "P8",
        "no descriptors, no home, nowhere to write",
        &[
            "p8_sixteen_descriptors_are_enough",
            "p8_too_few_descriptors_are_told",
            "p8_no_home_no_environment_and_nowhere_to_write",
        ],
    ),
    (
        "P9",
        "wrong settings",
        &[
            "a_wrong_setting_is_named_with_all_others",
            "p9_every_variable_may_be_empty_and_no_garbage_is_swallowed",
            "p9_all_problems_are_listed_at_once_contradictions_too",
            "p9_a_secret_file_that_is_none_is_refused_and_not_shown",
        ],
    ),
    (
        "F1",
        "no file",
        &["what_is_no_file_is_refused_fast", "what_is_no_file_is_said_to_be_none_and_the_rest_is_loaded"],
    ),
    (
        "F2",
        "changes while it is read",
        &[
            "a_writer_at_work_loses_nothing",
            "a_file_that_is_cut_while_it_is_read_is_an_error_and_read_anew",
            "a_replaced_or_shrunk_file_is_read_from_its_beginning",
        ],
    ),
    (
        "F3",
        "encodings and line ends",
        &[
            "refused_files_say_why",
            "the_same_layout_holds_for_every_line_end",
            "utf_16_says_so_itself_and_other_encodings_are_declared",
            "the_bytes_that_are_kept_are_the_bytes_of_the_file",
            "any_bytes_can_be_read_as_a_file",
        ],
    ),
    (
        "F4",
        "ragged rows, quotes, huge fields",
        &[
            "an_unclosed_quote_names_its_line_and_keeps_what_came_before",
            "a_quote_that_swallows_hundreds_of_megabytes_is_found_at_once",
        ],
    ),
    (
        "F5",
        "headers",
        &["every_recorded_file_is_loaded_whole_or_refused_with_a_reason", "refused_files_say_why"],
    ),
    ("F6", "very long", &["f6_the_memory_of_a_load_does_not_grow_with_the_file"]),
    (
        "F7",
        "compressed",
        &[
            "a_packed_file_is_read_as_its_text",
            "a_packed_file_that_grows_gives_only_what_is_new",
            "a_packed_file_that_is_cut_anywhere_gives_nothing",
        ],
    ),
    (
        "F8",
        "again, grown, shrunk",
        &[
            "a_grown_file_is_read_from_where_it_ended_and_a_replaced_one_from_the_start",
            "a_file_that_grows_is_read_to_the_last_digit",
        ],
    ),
];

/// The rows of each letter.
const ROWS: [(&str, usize); 4] = [("S", 27), ("D", 18), ("P", 9), ("F", 8)];

#[test]
fn every_fault_has_a_test_and_every_test_is_there() {
    let wanted: Vec<String> =
        ROWS.iter().flat_map(|(letter, last)| (1..=*last).map(move |n| format!("{letter}{n}"))).collect();
    let rows: Vec<&str> = MAP.iter().map(|(row, ..)| *row).collect();
    assert_eq!(rows, wanted);
    let mut sources = String::new();
    for folder in ["tests", "src"] {
        read_all(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut sources);
    }
    for (row, what, tests) in MAP {
        assert!(!tests.is_empty(), "{row}: {what}");
        for test in *tests {
            assert!(sources.contains(&format!("fn {test}(")), "{row}: there is no {test}");
        }
    }
}

fn read_all(folder: &std::path::Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, text);
        } else {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
