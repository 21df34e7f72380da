//! Start, stop, and what stands in the way.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;

use kasparro_localpg::{Session, find, start};

use crate::{Scratch, run_sql, set_mode};

#[test]
fn a_second_start_joins_the_first_and_a_restart_continues_with_the_data() {
    let scratch = Scratch::new();
    let cluster = start(&scratch.settings()).unwrap();
    assert!(cluster.started_now);
    cluster.create_database_if_missing("kasparro").unwrap();
    cluster.create_database_if_missing("kasparro").unwrap();
    run_sql(&cluster.url("kasparro"), "create table kept (id int); insert into kept values (1)");

    assert!(!start(&scratch.settings()).unwrap().started_now);
    cluster.stop().unwrap();
    assert!(find(&scratch.directory).unwrap().is_none());
    cluster.stop().unwrap();

    let again = start(&scratch.settings()).unwrap();
    assert!(again.started_now);
    run_sql(&again.url("kasparro"), "do $$ begin assert (select count(*) = 1 from kept); end $$");
}

#[test]
fn starts_at_once_make_one_server() {
    let scratch = Scratch::new();
    let settings = scratch.settings();
    let started = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| start(&settings).unwrap().started_now)).collect();
        starts.into_iter().map(|start| start.join().unwrap()).filter(|started| *started).count()
    });
    assert_eq!(started, 1);
}

#[test]
fn a_path_longer_than_a_socket_may_have_does_not_matter() {
    let scratch = Scratch::below(&"a_long_name_of_a_folder/".repeat(8));
    let cluster = start(&scratch.settings()).unwrap();
    run_sql(&cluster.url("postgres"), "select 1");
}

#[test]
fn the_socket_is_closed_to_other_users_and_there_is_no_port() {
    let scratch = Scratch::new();
    let cluster = start(&scratch.settings()).unwrap();
    let url = cluster.url("postgres");
    let folder = url.split_once("host=").unwrap().1.split('&').next().unwrap();
    assert_eq!(fs::metadata(folder).unwrap().mode() & 0o777, 0o700);
    run_sql(&url, "do $$ begin assert current_setting('listen_addresses') = ''; end $$");
}

#[test]
fn a_durable_cluster_waits_for_the_disk_and_one_for_tests_does_not() {
    let scratch = Scratch::new();
    for (durable, fsync) in [(true, "on"), (false, "off")] {
        let cluster = start(&kasparro_localpg::Settings { durable, ..scratch.settings() }).unwrap();
        run_sql(
            &cluster.url("postgres"),
            &format!("do $$ begin assert current_setting('fsync') = '{fsync}'; end $$"),
        );
        cluster.stop().unwrap();
    }
}

#[test]
fn the_number_of_a_dead_server_taken_over_by_another_program_does_not_stop_a_start() {
    let scratch = Scratch::new();
    start(&scratch.settings()).unwrap().stop().unwrap();
    fs::write(scratch.directory.join("data/postmaster.pid"), format!("{}\n", std::process::id())).unwrap();
    assert!(start(&scratch.settings()).unwrap().started_now);
}

#[test]
fn a_server_that_lost_its_socket_is_started_again() {
    let scratch = Scratch::new();
    let cluster = start(&scratch.settings()).unwrap();
    let url = cluster.url("postgres");
    let folder = url.split_once("host=").unwrap().1.split('&').next().unwrap();
    fs::remove_dir_all(folder).unwrap();
    assert!(start(&scratch.settings()).unwrap().started_now);
    run_sql(&url, "select 1");
}

#[test]
fn data_of_another_major_version_is_left_alone_and_the_message_says_what_to_do() {
    let scratch = Scratch::new();
    start(&scratch.settings()).unwrap().stop().unwrap();
    let version = scratch.directory.join("data/PG_VERSION");
    fs::write(&version, "9\n").unwrap();
    let message = format!("{:#}", start(&scratch.settings()).unwrap_err());
    assert!(message.contains("was made by Postgres 9"), "{message}");
    assert!(message.contains("nothing was deleted"), "{message}");
    assert!(version.exists());
}

#[test]
fn a_folder_that_the_servers_user_cannot_enter_gets_its_data_elsewhere() {
    let scratch = Scratch::below("home/checkout");
    fs::create_dir_all(scratch.directory.parent().unwrap()).unwrap();
    set_mode(&scratch.folder.path().join("home"), 0o700);
    let cluster = start(&scratch.settings()).unwrap();
    if fs::metadata(scratch.folder.path()).unwrap().uid() != 0 {
        let _ = writeln!(std::io::stderr(), "skipped: only root starts the server as another user");
        return;
    }
    let data = cluster.data();
    assert!(!data.starts_with(scratch.folder.path()), "{}", data.display());
    cluster.create_database_if_missing("kept").unwrap();
    cluster.stop().unwrap();

    let again = start(&scratch.settings()).unwrap();
    assert_eq!(again.data(), data);
    run_sql(&again.url("kept"), "select 1");
    again.stop().unwrap();
    fs::remove_dir_all(data.parent().unwrap()).unwrap();
}

#[test]
fn the_last_session_stops_what_the_first_one_started() {
    let scratch = Scratch::new();
    let first = Session::open(&scratch.settings()).unwrap();
    let second = Session::open(&scratch.settings()).unwrap();
    assert!(!first.close().unwrap());
    assert!(find(&scratch.directory).unwrap().is_some());
    assert!(second.close().unwrap());
    assert!(find(&scratch.directory).unwrap().is_none());
}

#[test]
fn a_session_leaves_a_server_that_was_started_by_name() {
    let scratch = Scratch::new();
    start(&scratch.settings()).unwrap();
    assert!(!Session::open(&scratch.settings()).unwrap().close().unwrap());
    assert!(find(&scratch.directory).unwrap().is_some());
}

#[test]
fn a_scratch_cluster_survives_a_crash_of_its_server_and_goes_with_its_owner() {
    let scratch = kasparro_localpg::Scratch::start().unwrap();
    let url = scratch.cluster().url("postgres");
    run_sql(&url, "create table kept (id int)");
    scratch.cluster().crash().unwrap();
    assert!(find(scratch.directory()).unwrap().is_none());
    scratch.start_again().unwrap();
    run_sql(&url, "select * from kept");

    let (directory, data) = (scratch.directory().to_owned(), scratch.cluster().data());
    drop(scratch);
    assert!(!directory.exists());
    assert!(!data.exists());
}
