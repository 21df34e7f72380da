//! Paths that cannot be read, and files that are refused.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::failure::FailureKind;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn failure_of(path: &Path) -> SourceError {
    let run = extract(path, &[]);
    assert!(run.batches.is_empty());
    run.failure.unwrap()
}

#[test]
fn what_is_no_file_is_refused_fast() {
    let dir = folder(&[]);
    let path = |name: &str| dir.path().join(name);
    assert!(Command::new("mkfifo").arg(path("pipe.csv")).status().unwrap().success());
    let _socket = UnixListener::bind(path("socket.csv")).unwrap();
    symlink(path("loop.csv"), path("loop.csv")).unwrap();
    for name in ["pipe.csv", "socket.csv", "loop.csv", "/dev/zero", "/dev/null"] {
        assert_eq!(failure_of(&path(name)).kind, FailureKind::Io, "{name}");
    }
    symlink("nowhere", path("dangling.csv")).unwrap();
    for name in ["missing.csv", "dangling.csv"] {
        let failure = failure_of(&path(name));
        assert_eq!(failure.kind, FailureKind::Missing);
        assert!(failure.message.contains(name));
    }
    fs::create_dir(path("empty")).unwrap();
    let failure = failure_of(&path("empty"));
    assert_eq!(failure.kind, FailureKind::Missing);
    assert!(failure.message.contains("holds no *.csv"));
}

#[test]
fn a_folder_stands_for_its_csv_files_in_order() {
    let text = |id: &str| format!("id,price\n{id},1\n");
    let dir = folder(&[
        ("b.csv", &text("b")),
        ("a.CSV", &text("a")),
        (".hidden.csv", &text("hidden")),
        ("notes.txt", "x"),
        ("c.gz", "x"),
    ]);
    fs::create_dir(dir.path().join("folder.csv")).unwrap();
    fs::write(dir.path().join("folder.csv/deep.csv"), text("deep")).unwrap();
    let given = [dir.path().to_owned(), dir.path().join("b.csv")];
    let run = extract_all(NOW, &given, &[], 10);
    assert_eq!(run.ids(), ["a", "b"]);
    assert!(run.failure.is_none());
}

#[test]
fn a_link_to_a_file_is_followed() {
    let dir = folder(&[("prices-2026.txt", "id,price\na,1\n")]);
    let link = dir.path().join("prices.csv");
    symlink(dir.path().join("prices-2026.txt"), &link).unwrap();
    let run = extract(&link, &[]);
    assert_eq!(
        (run.ids(), state_of(&run.batches[0]).path.as_str()),
        (vec!["a".to_owned()], link.to_str().unwrap())
    );
}

#[test]
fn bad_files_do_not_stop_the_others() {
    let dir = folder(&[("a.csv", "id,price\na,1\n"), ("b.csv", "rubbish\n"), ("c.csv", "id,price\nc,1\n")]);
    let path = |name: &str| dir.path().join(name);
    let given = [path("missing.csv"), path("a.csv"), path("b.csv"), path("c.csv")];
    let run = extract_all(NOW, &given, &[], 10);
    assert_eq!(run.ids(), ["a", "c"]);
    let failure = run.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::Missing);
    assert!(
        failure.message.contains("missing.csv") && failure.message.contains("b.csv"),
        "{}",
        failure.message
    );
}

#[test]
fn refused_files_say_why() {
    for (text, reason) in [
        (&b""[..], "empty"),
        (b"rubbish\n", "which coin"),
        (b"id,name\na,A\n", "price"),
        (b"\x1F\x8B\x08\x00", "middle of its compressed data"),
        (b"i\0d\0,\0p\0r\0i\0c\0e\0\n\0", "utf-16le"),
        (b"id,price,pri\xE9\n", "UTF-8"),
        (b"id;price\na;1,5\n", "line 2"),
        (b"id,price,date\na,1,03/04/2018\n", "day or the month"),
    ] {
        let dir = folder(&[]);
        fs::write(dir.path().join("bad.csv"), text).unwrap();
        let failure = failure_of(&dir.path().join("bad.csv"));
        assert_eq!(failure.kind, FailureKind::Refused);
        assert!(
            failure.message.contains(reason) && failure.message.contains("bad.csv"),
            "{}",
            failure.message
        );
    }
}

#[test]
fn an_unclosed_quote_names_its_line_and_keeps_what_came_before() {
    let dir = folder(&[("a.csv", "id,name,price\na,A,1\n\n\nb,\"B,2\nc,C,3\n")]);
    let run = extract(&dir.path().join("a.csv"), &[]);
    assert_eq!(run.ids(), ["a"]);
    let failure = run.failure.as_ref().unwrap();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("line 5"), "{}", failure.message);
    // It is not forgotten: the next run says it again, and a corrected file is read on.
    let again = extract(&dir.path().join("a.csv"), &run.states(&[]));
    assert!(again.batches.is_empty() && again.failure.unwrap().message.contains("line 5"));
    fs::write(dir.path().join("a.csv"), "id,name,price\na,A,1\n\n\nb,\"B\",2\nc,C,3\n").unwrap();
    assert_eq!(extract(&dir.path().join("a.csv"), &run.states(&[])).ids(), ["b", "c"]);
}

#[test]
fn a_quote_that_swallows_hundreds_of_megabytes_is_found_at_once() {
    let dir = folder(&[("a.csv", "id,price\na,1\nb,\"")]);
    let path = dir.path().join("a.csv");
    // Sparse: NULs to the end.
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(300 * 1024 * 1024).unwrap();
    let run = extract(&path, &[]);
    assert_eq!(run.ids(), ["a"]);
    let failure = run.failure.unwrap();
    assert!(failure.message.contains("line 3"), "{}", failure.message);
}

#[test]
fn nothing_to_read_is_a_wrong_setting() {
    let open = |paths: &[PathBuf], size| {
        crate::sources::csv::open(paths, size, None, &Arc::default()).err().map(|error| error.kind)
    };
    assert_eq!(open(&[], 10), Some(FailureKind::Config));
    assert_eq!(open(&["a.csv".into()], 0), Some(FailureKind::Config));
    assert_eq!(open(&["a.csv".into()], 1), None);
}
