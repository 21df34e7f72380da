//! The database is away, hangs, returns, or has no tables.

use kasparro_localpg::Scratch;
use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::proxy::PostgresProxy;

use crate::support::{SOURCES, Service, run};

const DATA_ROUTES: [&str; 4] = ["/data", "/data/x", "/stats", "/stats/summary"];

#[track_caller]
fn assert_down(service: &Service) {
    assert_eq!(service.get("/livez").status, 200);
    let ready = service.get("/readyz");
    assert_eq!((ready.status, &ready.problem()["code"]), (503, &"database_unavailable".into()));
    for path in DATA_ROUTES {
        let answer = service.get(path);
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{path}");
        assert_eq!(answer.problem()["code"], "database_unavailable");
    }
    let health = service.get("/health");
    assert_eq!((health.status, health.header("content-type")), (503, Some("application/json")));
    let body = health.json();
    assert_eq!([&body["status"], &body["database"]], ["unhealthy", "disconnected"]);
    assert!(service.metrics().contains("kasparro_db_up 0\n"));
}

#[track_caller]
fn assert_up(service: &Service) {
    for path in ["/livez", "/readyz", "/health", "/data", "/stats", "/stats/summary"] {
        let answer = service.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
}

/// Asks until the service is ready again.
#[track_caller]
fn assert_heals(service: &Service) {
    service.when("/readyz", |answer| answer.status == 200);
}

#[test]
fn the_service_outlives_its_database() {
    let server = Scratch::start().unwrap();
    let database = TestDatabase::on(server.cluster());
    run(&database, SOURCES);
    server.cluster().stop().unwrap();

    let service = Service::on(database.url());
    assert_down(&service);
    server.start_again().unwrap();
    assert_heals(&service);
    assert_up(&service);

    // In the middle, with idle connections in the pool that are all broken now.
    server.cluster().crash().unwrap();
    service.when("/readyz", |answer| answer.status == 503);
    assert_down(&service);
    server.start_again().unwrap();
    assert_heals(&service);
    assert_up(&service);
}

#[test]
fn a_broken_connection_is_not_seen() {
    let database = TestDatabase::new();
    run(&database, SOURCES);
    let service = Service::on(database.url());
    for _ in 0..3 {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_up(&service));
            }
        });
        run(
            &database,
            "select pg_terminate_backend(pid) from pg_stat_activity
                         where datname = current_database() and application_name = 'kasparro-api'",
        );
        assert_up(&service);
    }
}

#[test]
fn a_silent_database_does_not_hold_a_request_for_long() {
    let database = TestDatabase::new();
    run(&database, SOURCES);
    let proxy = PostgresProxy::start(database.url()).unwrap();
    let service = Service::uncached(&proxy.url());
    assert_up(&service);
    proxy.hold_at(1);
    std::thread::scope(|scope| {
        // More of them than there are connections.
        for _ in 0..12 {
            scope.spawn(|| {
                let answer = service.get("/data");
                assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
                assert_eq!(answer.problem()["code"], "busy");
            });
        }
        assert_eq!(service.get("/livez").status, 200);
    });
    proxy.hold_at(u64::MAX);
    assert_heals(&service);
    assert_up(&service);
}

#[test]
fn a_locked_table_is_waited_for_briefly() {
    let database = TestDatabase::new();
    run(&database, SOURCES);
    let service = Service::uncached(database.url());
    assert_up(&service);
    let mut holder = database.connect();
    use diesel::connection::SimpleConnection;
    holder.batch_execute("begin; lock table data_sources in access exclusive mode").unwrap();
    let answer = service.get("/data");
    assert_eq!((answer.status, &answer.problem()["code"]), (503, &"busy".into()));
    holder.batch_execute("rollback").unwrap();
    assert_up(&service);
}

#[test]
fn missing_tables_are_waited_for_and_explained() {
    let database = TestDatabase::empty();
    let service = Service::on(database.url());
    for path in DATA_ROUTES.iter().chain(&["/readyz"]) {
        let answer = service.get(path);
        let problem = answer.problem();
        assert_eq!((answer.status, &problem["code"]), (503, &"schema_mismatch".into()), "{path}");
        assert!(problem["detail"].as_str().unwrap().contains("kasparro-etl migrate"), "{problem}");
    }
    let health = service.get("/health");
    assert_eq!((health.status, &health.json()["database"]), (503, &"connected".into()));
    assert!(health.json()["message"].as_str().unwrap().contains("kasparro-etl migrate"));
    kasparro_core::db::migrate(database.url()).unwrap();
    assert_up(&service);
    // Under connections that were checked when they were opened.
    kasparro_core::db::revert_all(database.url()).unwrap();
    service.when("/readyz", |answer| answer.status == 503);
    for path in DATA_ROUTES.iter().chain(&["/readyz"]) {
        assert_eq!(service.get(path).problem()["code"], "schema_mismatch", "{path}");
    }
}

#[test]
fn tables_of_another_version_are_refused() {
    let database = TestDatabase::new();
    run(&database, "insert into __diesel_schema_migrations (version) values ('99991231235959')");
    let service = Service::on(database.url());
    for path in ["/readyz", "/data"] {
        let problem = service.get(path).problem();
        assert_eq!((&problem["status"], &problem["code"]), (&503.into(), &"schema_mismatch".into()));
        assert!(problem["detail"].as_str().unwrap().contains("newer program"), "{problem}");
    }
}

#[test]
fn a_wrong_address_is_not_shown() {
    let service = Service::on("postgres://someone:canary-password@127.0.0.1:1/nothing");
    for path in ["/data", "/readyz", "/health"] {
        let answer = service.get(path);
        for word in ["canary-password", "someone", "127.0.0.1"] {
            assert!(!answer.body.contains(word), "{word} in {}", answer.body);
        }
    }
    assert_down(&service);
}
