//! The security checklist: what may go wrong with the service, and the tests that show that it does not.
//!
//! Rows about the ETL and its sources alone (2, which `loader` of the ETL's tests shows, 7 to 9), about pipelines (27 to 30, 34) and about `make` (36) are not here.

use std::fs;
use std::path::Path;

/// Number of the row, what it asks for, the tests that ask the service for it.
const MAP: &[(u8, &str, &[&str])] = &[
    (1, "the role only reads", &["the_service_needs_a_role_that_only_reads"]),
    (
        3,
        "no superuser, nothing made in the schema, a pinned search path",
        &["the_service_needs_a_role_that_only_reads", "a_role_that_cannot_be_a_reader_is_refused"],
    ),
    (
        4,
        "secrets from files",
        &[
            "settings_are_checked_before_anything_is_served",
            "a_secret_may_come_from_a_file",
            "p9_a_secret_file_that_is_none_is_refused_and_not_shown",
        ],
    ),
    (5, "no secret in any output", &["a_secret_that_is_said_fails_the_test", "a_wrong_address_is_not_shown"]),
    (6, "addresses are redacted", &["a_wrong_address_is_not_shown", "an_address_is_shown_without_secrets"]),
    (10, "no body is read", &["a_body_is_refused_rather_than_ignored"]),
    (
        11,
        "values are bound",
        &["what_looks_like_sql_is_a_value_like_any_other", "the_service_has_no_statement_of_its_own"],
    ),
    (12, "NUL and control characters", &["nul_and_control_characters_are_refused_by_name"]),
    (
        13,
        "other origins",
        &[
            "no_page_of_another_origin_reads_answers_by_default",
            "listed_origins_read_answers_and_others_do_not",
            "everybody_may_read_where_that_is_declared_but_never_with_credentials",
        ],
    ),
    (14, "headers of every answer", &["every_kind_of_answer_has_the_security_headers"]),
    (15, "/docs brings its own scripts", &["swagger_ui_comes_from_the_binary_alone"]),
    (16, "no Server header", &["every_kind_of_answer_has_the_security_headers"]),
    (17, "other methods", &["other_methods_are_not_allowed", "head_is_get_without_the_body"]),
    (
        18,
        "failures tell nothing of the inside (`support::assert_tells_nothing` looks at every answer)",
        &["a_broken_table_is_an_internal_failure_without_details"],
    ),
    (
        19,
        "request ids of clients",
        &[
            "the_client_may_choose_a_harmless_request_id",
            "a_line_of_the_log_is_one_object_whatever_a_client_sends",
        ],
    ),
    (
        20,
        "rates",
        &["a_client_has_so_many_requests_and_is_told", "an_address_is_believed_from_a_trusted_proxy_only"],
    ),
    (21, "bounds of everything", &["a_bad_parameter_is_named_with_what_is_allowed"]),
    (22, "time limits of the role", &["the_service_needs_a_role_that_only_reads"]),
    (
        23,
        "slow clients",
        &["slow_heads_bodies_and_idle_connections_are_cut", "a_client_that_takes_nothing_is_cut"],
    ),
    (24, "bounds of pool and connections", &["a_thousand_clients_wait_for_four_connections"]),
    (
        25,
        "metrics and documentation",
        &["metrics_are_not_on_the_public_port", "documentation_can_be_switched_off"],
    ),
    (26, "containers", &["containers_have_no_rights_and_no_default_password"]),
    (31, "no unsafe code", &["no_crate_allows_unsafe_code_or_silent_overflow"]),
    (32, "no silent overflow", &["no_crate_allows_unsafe_code_or_silent_overflow"]),
    (33, "any text as a cursor", &["whatever_is_sent_is_a_cursor_or_none"]),
    (35, "no published database", &["containers_have_no_rights_and_no_default_password"]),
];

#[test]
fn every_row_has_its_tests() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = String::new();
    for folder in ["api/tests", "api/src", "etl/tests", "etl/src", "testkit/src"] {
        read_all(&crates.join(folder), &mut sources);
    }
    assert!(MAP.is_sorted_by_key(|(row, ..)| row));
    for (row, what, tests) in MAP {
        for test in *tests {
            assert!(sources.contains(&format!("fn {test}(")), "{row}, {what}: there is no {test}");
        }
    }
}

/// Statements are made in `kasparro-core`, of texts that are there.
#[test]
fn the_service_has_no_statement_of_its_own() {
    let mut sources = String::new();
    read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources);
    for word in ["sql_query", "dsl::sql", "batch_execute(&", "batch_execute(format"] {
        assert!(!sources.contains(word), "{word}");
    }
}

fn read_all(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}
