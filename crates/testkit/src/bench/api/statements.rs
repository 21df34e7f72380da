//! The statements that a request sends, as the server's log has them.

use anyhow::{Context, Result, bail};
use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use kasparro_localpg::Cluster;

/// What separates the lines of the log from each other: the prefix of a private server has the name of the program.
const OURS: &str = " kasparro-api ";

/// The statements of a request as a script for pgbench, with the values in their places.
pub(super) fn of(cluster: &Cluster, database: &str, request: impl Fn() -> Result<()>) -> Result<String> {
    let mut admin = PgConnection::establish(database)?;
    // Connections are opened and statements prepared before.
    for _ in 0..20 {
        request()?;
    }
    let log = cluster.data().with_file_name("log").join("postgres.log");
    let read = || std::fs::read_to_string(&log).with_context(|| log.display().to_string());
    set(&mut admin, "all")?;
    let before = read()?.len();
    request()?;
    let text = read()?;
    set(&mut admin, "none")?;
    let statements = parse(&text[before..]);
    if statements.is_empty() {
        bail!("no statement in {}", log.display());
    }
    Ok(statements.iter().map(|statement| format!("{statement};\n")).collect())
}

fn set(admin: &mut PgConnection, level: &str) -> Result<()> {
    admin.batch_execute(&format!("alter system set log_statement = '{level}'"))?;
    admin.batch_execute("select pg_reload_conf()")?;
    // The sessions look at the setting before their next statement.
    std::thread::sleep(std::time::Duration::from_millis(300));
    Ok(())
}

/// Statements in their order, each on one line.
fn parse(log: &str) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for line in log.lines() {
        // A line that goes on begins with a tab.
        match line.strip_prefix('\t') {
            Some(more) => entries.iter_mut().last().into_iter().for_each(|entry| entry.extend([" ", more])),
            None => entries.push(line.to_owned()),
        }
    }
    let mut statements = Vec::new();
    for entry in entries.iter().filter(|entry| entry.contains(OURS)) {
        let executed = entry.split_once("LOG:  execute ").and_then(|(_, rest)| rest.split_once(": "));
        if let Some((_, sql)) = executed {
            statements.push(sql.split_whitespace().collect::<Vec<_>>().join(" "));
        } else if let Some((_, values)) = entry.split_once("arameters: ")
            && let Some(statement) = statements.last_mut()
        {
            *statement = filled(statement, values);
        }
    }
    statements
}

/// Puts values of the form `$1 = 'a', $2 = NULL` in their places, the last one first: `$1` is part of `$10`.
fn filled(sql: &str, values: &str) -> String {
    let mut pairs: Vec<(&str, &str)> =
        values.split(", $").filter_map(|pair| pair.trim_start_matches('$').split_once(" = ")).collect();
    pairs.reverse();
    pairs
        .iter()
        .fold(sql.to_owned(), |sql, (number, value)| sql.replace(&format!("${number}"), &typed(value)))
}

/// A value with its type where that is not clear from its place: lists of keys or of names, and times.
fn typed(value: &str) -> String {
    let is_time = value.len() > 12 && value.starts_with("'20") && value[5..].starts_with('-');
    let is_names = value.starts_with("'{") && value.contains(|c: char| c.is_ascii_alphabetic());
    match value {
        list if is_names => format!("{list}::text[]"),
        list if list.starts_with("'{") => format!("{list}::integer[]"),
        time if is_time => format!("{time}::timestamptz"),
        value => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_read_from_a_log() {
        let log = "2026-11-25 03:00:00 UTC [1] kasparro-api LOG:  execute __diesel_stmt_1: select $1,\n\
                   \t  $2 limit $10\n\
                   2026-11-25 03:00:00 UTC [1] kasparro-api DETAIL:  Parameters: $1 = '{1,2}', $2 = '{a-1}', $10 = '5'\n\
                   2026-11-25 03:00:00 UTC [2] psql LOG:  execute x: select 9\n";
        assert_eq!(parse(log), ["select '{1,2}'::integer[], '{a-1}'::text[] limit '5'"]);
    }
}
