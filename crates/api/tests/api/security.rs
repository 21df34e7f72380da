//! The security checklist, as far as no other test has it: what a role may do, headers of every kind of answer, what an
//! answer never tells, and what the files of the project promise.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, RunQueryDsl, sql_query};
use kasparro_api::{Admission, Keys, Quota};
use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::process::{Output, Program, workspace_binary};

use crate::support::{
    Answer, SETTLE, SOURCES, Service, batch, coin, observation, run, service_with, uncached_service_with,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn text_of(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn one_coin() -> String {
    [
        SOURCES.to_owned(),
        coin(1, 2, "btc-bitcoin"),
        batch(1, "coinpaprika", "2024-03-01T10:00:00Z"),
        observation(1, 1, "2024-03-01T09:58:00Z", "42.5", "2"),
        SETTLE.to_owned(),
    ]
    .concat()
}

fn migrate(database: &TestDatabase, reader: &str) -> Output {
    Program::new(workspace_binary("kasparro-etl"))
        .arguments(["migrate", "--reader", reader])
        .variable("DATABASE_URL", database.url())
        .run()
}

/// A role of this test alone: roles belong to the server, which all tests share.
struct Role<'a> {
    database: &'a TestDatabase,
    name: String,
}

impl<'a> Role<'a> {
    fn new(database: &'a TestDatabase, purpose: &str) -> Self {
        let name = format!("{purpose}_of_{}", database.name());
        run(database, &format!("create role {name} login"));
        Self { database, name }
    }

    fn url(&self) -> String {
        self.database.url().replace("user=postgres", &format!("user={}", self.name))
    }
}

impl Drop for Role<'_> {
    fn drop(&mut self) {
        let Self { database, name } = self;
        let _ = database.connect().batch_execute(&format!("drop owned by {name}; drop role {name}"));
    }
}

#[track_caller]
fn assert_denied(connection: &mut PgConnection, sql: &str) {
    let error = connection.batch_execute(sql).unwrap_err().to_string();
    let denied =
        ["permission denied", "must be owner", "must be superuser"].iter().any(|words| error.contains(words));
    assert!(denied, "{sql}: {error}");
}

/// The grant is the boundary: a session may switch off that it is read-only.
#[test]
fn the_service_needs_a_role_that_only_reads() {
    let database = TestDatabase::new();
    run(&database, &one_coin());
    let role = Role::new(&database, "reader");
    let output = migrate(&database, &role.name);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains(&format!("the role {} reads the tables", role.name)), "{}", output.stdout);

    let mut session = PgConnection::establish(&role.url()).unwrap();
    session.batch_execute("set default_transaction_read_only = off").unwrap();
    for sql in [
        "insert into data_sources (name) values ('x')",
        "update observations set price_usd = 0",
        "delete from observations",
        "truncate rejects",
        "drop table rejects",
        "create table mine ()",
        "select ensure_observation_partition(1::smallint, '2031-01-01')",
        "select pg_read_file('/etc/passwd')",
        "copy coins to program 'true'",
    ] {
        assert_denied(&mut session, sql);
    }
    let limits = sql_query(
        "select from pg_db_role_setting s join pg_roles r on r.oid = s.setrole, unnest(setconfig) one
          where r.rolname = $1 and one in ('statement_timeout=5s', 'lock_timeout=1s',
                'idle_in_transaction_session_timeout=10s', 'default_transaction_read_only=on', 'search_path=public')",
    )
    .bind::<diesel::sql_types::Text, _>(&role.name)
    .execute(&mut session)
    .unwrap();
    assert_eq!(limits, 5);

    let service = Service::uncached(&role.url());
    for path in [
        "/data",
        "/data/btc-bitcoin",
        "/data/export",
        "/stats",
        "/stats/summary",
        "/health",
        "/readyz",
        "/assets",
        "/runs",
        "/quality",
        "/compare",
        "/lineage/1-1709287080000000",
    ] {
        let answer = service.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
    let metrics = service.metrics();
    assert!(metrics.contains("kasparro_db_up 1\n"), "{metrics}");
}

/// What is made later is for the same readers.
#[test]
fn a_reader_reads_the_tables_of_later_months() {
    let database = TestDatabase::new();
    let role = Role::new(&database, "later");
    assert_eq!(migrate(&database, &role.name).code, 0);
    run(&database, &one_coin());
    run(&database, "create table of_a_later_migration as select 1 as one");
    let mut session = PgConnection::establish(&role.url()).unwrap();
    session.batch_execute("select * from observations; select * from of_a_later_migration").unwrap();
}

#[test]
fn a_role_that_cannot_be_a_reader_is_refused() {
    let database = TestDatabase::new();
    let missing = migrate(&database, "nobody \"at\" 'all'");
    assert_eq!(missing.code, 78);
    assert!(missing.stderr.contains("there is no role nobody"), "{}", missing.stderr);
    let owner = migrate(&database, "postgres");
    assert_eq!(owner.code, 78);
    assert!(owner.stderr.contains("owns the tables or is a superuser"), "{}", owner.stderr);
}

#[track_caller]
fn assert_safe_headers(what: &str, answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    let policy = answer.header("content-security-policy").unwrap_or_else(|| panic!("{what}: {answer:?}"));
    assert!(policy.starts_with("default-src 'none'"), "{what}: {policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{what}: {policy}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}");
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{what}");
    assert!(answer.header("cross-origin-resource-policy").is_some(), "{what}");
    assert!(answer.header("cache-control").is_some(), "{what}");
    assert!(answer.header("x-request-id").is_some(), "{what}");
    for name in ["server", "x-powered-by", "via"] {
        assert_eq!(answer.header(name), None, "{what}");
    }
}

#[test]
fn every_kind_of_answer_has_the_security_headers() {
    let (database, service) = uncached_service_with(&one_coin());
    let tag = service.get("/data").header("etag").unwrap().to_owned();
    let get = |path: &str, headers: &[(&str, &str)]| service.request("GET", path, headers);
    assert_safe_headers("found", &get("/data", &[]), 200);
    assert_safe_headers("unchanged", &get("/data", &[("If-None-Match", &tag)]), 304);
    assert_safe_headers("moved", &get("/docs", &[]), 308);
    assert_safe_headers("broken", &get("/data?source=%ff", &[]), 400);
    assert_safe_headers("unknown", &get("/data/nothing", &[]), 404);
    assert_safe_headers("no route", &get("/nothing", &[]), 404);
    assert_safe_headers("method", &service.request("DELETE", "/data", &[]), 405);
    assert_safe_headers("trace", &service.request("TRACE", "/data", &[]), 405);
    assert_safe_headers("body", &get("/data", &[("Content-Length", "5")]), 413);
    assert_safe_headers("parameter", &get("/data?limit=0", &[]), 422);
    run(&database, "alter table etl_checkpoints rename to elsewhere");
    assert_safe_headers("failure", &get("/stats", &[]), 500);
    run(&database, "update __diesel_schema_migrations set version = '2' || version");
    assert_safe_headers("other tables", &get("/stats", &[]), 503);

    let limited = Service::with(database.url(), |config| {
        let keys = Arc::new(Keys::parse("alice canary-key-of-alice").unwrap());
        let quota = std::num::NonZeroU32::new(1).map(Quota::per_minute);
        config.admission = Admission { keys, quota, ..Admission::default() };
    });
    assert_safe_headers("no key", &limited.get("/data"), 401);
    assert_safe_headers("too often", &limited.get("/data"), 429);
}

/// Values that would end a string, a statement or a line, in every parameter that takes text.
#[test]
fn what_looks_like_sql_is_a_value_like_any_other() {
    let (database, service) = service_with(&one_coin());
    let evil = [
        "' or 1=1 --",
        "'; drop table observations; --",
        "\") union select version() --",
        "$1",
        "\\",
        "%",
        "_",
        "{1,2}",
        "null",
        "btc-bitcoin' and pg_sleep(9) --",
    ];
    for value in evil {
        let coded: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for path in [
            "/data?source=",
            "/data?crypto_id=",
            "/data?symbol=",
            "/data?sort_by=",
            "/data?order=",
            "/data?fields=",
            "/data?cursor=",
            "/data?from=",
            "/data?min_price_usd=",
            "/data/export?crypto_id=",
            "/assets?q=",
            "/runs?status=",
            "/runs?source=",
            "/stats?x=",
            "/data/",
            "/assets/",
            "/lineage/",
            "/problems/",
        ] {
            let answer = service.get(&format!("{path}{coded}"));
            assert!([200, 404, 422].contains(&answer.status), "{path}{value}: {answer:?}");
            if answer.status == 200 && !path.starts_with("/data/export") {
                assert_eq!(
                    answer.json()["data"].as_array().map(Vec::len),
                    Some(0),
                    "{path}{value}: {answer:?}"
                );
            }
        }
    }
    assert_eq!(service.json("/data")["total"], 1);
    run(&database, "select from observations");
}

#[test]
fn nul_and_control_characters_are_refused_by_name() {
    let (_database, service) = service_with(&one_coin());
    for path in [
        "/data?source=a%00b",
        "/data?crypto_id=%1b",
        "/data?symbol=a%0d%0ab",
        "/assets?q=%00",
        "/data?cursor=%00",
    ] {
        let answer = service.get(path);
        assert_eq!(answer.status, 422, "{path}: {answer:?}");
        let parameter = path.split(['?', '=']).nth(1).unwrap();
        assert_eq!(answer.problem()["errors"][0]["parameter"], parameter, "{path}");
    }
    assert!([404, 422].contains(&service.get("/data/a%00b").status));
}

#[test]
fn documentation_can_be_switched_off() {
    let database = TestDatabase::new();
    let service = Service::with(database.url(), |config| config.docs = false);
    for path in ["/docs", "/docs/", "/docs/swagger-ui.css", "/openapi.json"] {
        let answer = service.get(path);
        assert_eq!((answer.status, &answer.problem()["code"]), (404, &"unknown_route".into()), "{path}");
    }
    let root = service.get("/");
    assert!(root.status == 200 && !root.body.contains("/docs"), "{}", root.body);
    assert_eq!(service.get("/data").status, 200);
    // What a problem points at is there all the same.
    assert_eq!(service.get("/problems/invalid_parameter").status, 200);
}

#[test]
fn metrics_are_not_on_the_public_port() {
    let (_database, service) = service_with("");
    assert_eq!(service.get("/metrics").status, 404);
    assert!(service.metrics().contains("kasparro_build_info"));
}

#[test]
fn no_crate_allows_unsafe_code_or_silent_overflow() {
    let workspace = text_of("Cargo.toml");
    assert!(workspace.contains("unsafe_code = \"forbid\""));
    let (_, release) = workspace.split_once("[profile.release]").unwrap();
    assert!(release.contains("overflow-checks = true") && !release.contains("panic"), "{release}");
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let manifest = entry.unwrap().path().join("Cargo.toml");
        let text = fs::read_to_string(&manifest).unwrap();
        assert!(text.contains("[lints]\nworkspace = true"), "{}", manifest.display());
    }
}

/// The rows of the checklist about containers.
#[test]
fn containers_have_no_rights_and_no_default_password() {
    let dockerfile = text_of("docker/Dockerfile");
    let (_, runtime) = dockerfile.split_once("AS runtime").unwrap();
    let user = runtime.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{user}");

    let compose = text_of("docker/compose.yaml");
    for right in ["read_only: true", "cap_drop: [ALL]", "no-new-privileges:true"] {
        assert_eq!(
            compose.matches(right).count(),
            2,
            "{right}: once for the database, once for everything else"
        );
    }
    let services = compose.split_once("\nservices:\n").unwrap().1.split_once("\nnetworks:\n").unwrap().0;
    let database = services.split("\n  roles:\n").next().unwrap();
    assert!(!database.contains("ports:"), "the database is not published");
    assert!(!compose.contains("privileged: "));
    assert_eq!(services.matches("<<: *program").count(), 4, "roles, migrate, etl and api");
    for (service, secret) in [("etl", "loader_url"), ("api", "reader_url")] {
        let (_, service) = services.split_once(&format!("\n  {service}:\n")).unwrap();
        let service = service.split("\n\n").next().unwrap();
        assert!(service.contains(&format!("secrets: [{secret}]\n")), "a role of its own: {service}");
    }
    let roles = text_of("docker/roles.sql");
    for line in compose.lines().chain(roles.lines()).filter(|line| line.to_lowercase().contains("password")) {
        assert!(
            !line.contains("PASSWORD:") && !line.contains("://") && !line.contains("password '"),
            "a password stands in {line}"
        );
    }
}
