//! Where a file has its times, and how it writes them.

use chrono::{DateTime, Utc};

use super::columns::Role;
use super::declared_time::DeclaredTime;
use super::head::{Head, Row};
use super::map::Declared;
use super::time::{FormError, TimeForm, is_plain_clock, time_of_day};

/// The column of the times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TimeColumn {
    pub(super) column: usize,
    pub(super) form: Time,
    /// The time of day, when the column has the day only.
    pub(super) clock: Option<usize>,
}

/// How a column writes times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Time {
    /// Found out from its cells.
    Seen(TimeForm),
    Declared(DeclaredTime),
}

impl Time {
    /// Reads a trimmed cell.
    pub(super) fn read(&self, text: &str) -> Option<DateTime<Utc>> {
        match self {
            Self::Seen(form) => form.read(text),
            Self::Declared(form) => form.read(text),
        }
    }

    fn is_day(&self) -> bool {
        match self {
            Self::Seen(form) => form.is_day(),
            Self::Declared(form) => form.is_day(),
        }
    }
}

impl TimeColumn {
    /// The first column, by the order of their names, whose form leaves no doubt and under which the rows of a coin do not
    /// fall together; `None` when there is none. `is_too_coarse` tells whether they do.
    ///
    /// # Errors
    /// A sentence when there are times, but not without guessing.
    pub(super) fn of(
        head: &Head,
        declared: &Declared,
        is_too_coarse: impl Fn(&Self) -> bool,
    ) -> Result<Option<Self>, String> {
        if let Some(form) = &declared.time {
            let (column, form) = declared_column(head, form)?;
            return Self::with_clock(head, column, form).map(Some);
        }
        let Some(columns) = seen_columns(head)? else { return Ok(None) };
        let mut first = None;
        for (column, form) in columns {
            let time = Self::with_clock(head, column, Time::Seen(form))?;
            if declared.columns.contains_key(&Role::Time) || !is_too_coarse(&time) {
                return Ok(Some(time));
            }
            first.get_or_insert(time);
        }
        first.map_or(Ok(None), |time| Err(too_coarse(&head.header[time.column])))
    }

    fn with_clock(head: &Head, column: usize, form: Time) -> Result<Self, String> {
        let clock = if form.is_day() { clock_column(head, column)? } else { None };
        Ok(Self { column, form, clock })
    }

    /// The time of a row, from the trimmed texts of its cells; `None` where that is no time.
    pub(super) fn read<'c>(&self, cell: impl Fn(usize) -> &'c str) -> Option<DateTime<Utc>> {
        let day = self.form.read(cell(self.column))?;
        self.clock.map_or(Some(day), |clock| Some(day + time_of_day(cell(clock))?))
    }

    /// Whether the time is made of a column.
    pub(super) fn uses(&self, column: usize) -> bool {
        self.column == column || self.clock == Some(column)
    }
}

/// The columns of times, the likeliest first.
fn seen_columns(head: &Head) -> Result<Option<Vec<(usize, TimeForm)>>, String> {
    let (mut found, mut doubt) = (Vec::new(), None);
    for column in head.columns.of_role(Role::Time) {
        match TimeForm::of(head.cells(column)) {
            Ok(form) => found.push((column, form)),
            Err(error) => {
                doubt.get_or_insert_with(|| doubt_of(&head.header[column], &error));
            }
        }
    }
    let Some(first) = found.first().copied() else { return doubt.map_or(Ok(None), Err) };
    // Days beside times of these very days say less than they do.
    let finer = found.iter().filter(|_| first.1.is_day()).find(|other| refines(head, first, **other));
    let likeliest = finer.copied().unwrap_or(first);
    let others = found.iter().copied().filter(|(column, _)| *column != likeliest.0);
    Ok(Some(std::iter::once(likeliest).chain(others).collect()))
}

fn too_coarse(name: &str) -> String {
    format!(
        "most rows say another price of a coin than others of the same {name:?}, so that is not the time of each, or not all of \
         it; declare in a CSV map (CSV_MAP) which column is, [file.columns] time = \"...\" (and time_of_day = \"...\" if \
         that stands apart), or give each row its own"
    )
}

/// Whether one column has the times of the days that another has.
fn refines(head: &Head, days: (usize, TimeForm), times: (usize, TimeForm)) -> bool {
    let read = |(column, form): (usize, TimeForm), row: &Row| form.read(row.cell(column));
    let same_day = |row: &Row| match (read(days, row), read(times, row)) {
        (Some(day), Some(time)) => day.date_naive() == time.date_naive(),
        _ => false,
    };
    !times.1.is_day() && head.rows.iter().all(same_day)
}

/// The headers of columns that no other role claims and whose cells are times: for a file of which no column is known to say
/// when. Not what listings say of the life of a coin.
pub(super) fn may_be_times(head: &Head) -> Vec<&str> {
    const OF_ITS_LIFE: [&str; 9] =
        ["ath", "atl", "genesis", "added", "launch", "first", "created", "start", "listed"];
    let is_of_life = |name: &str| OF_ITS_LIFE.iter().any(|word| name.to_lowercase().contains(word));
    let may_be = |column: &usize| {
        !head.columns.is_known(*column)
            && !is_of_life(&head.header[*column])
            && TimeForm::of(head.cells(*column)).is_ok()
    };
    (0..head.header.len()).filter(may_be).map(|column| head.header[column].as_str()).collect()
}

/// The first column of times in which the declared form is found.
fn declared_column(head: &Head, form: &DeclaredTime) -> Result<(usize, Time), String> {
    let fits = |column: &usize| head.cells(*column).any(|cell| form.read(cell).is_some());
    let mut columns = head.columns.of_role(Role::Time).peekable();
    let first = columns.peek().copied();
    match (columns.find(fits), first) {
        (Some(column), _) => Ok((column, Time::Declared(form.clone()))),
        (None, Some(column)) => Err(format!(
            "the column {:?} holds {:?}, which is not in the time_format that the CSV map declares",
            head.header[column],
            head.cells(column).find(|cell| !cell.is_empty()).unwrap_or_default()
        )),
        (None, None) => Err("the CSV map declares a time_format, but no column is known to hold times; \
             declare it too: [file.columns] time = \"...\""
            .to_owned()),
    }
}

/// The column with the times of day, beside one with days.
fn clock_column(head: &Head, days: usize) -> Result<Option<usize>, String> {
    let Some(column) = head.columns.of_role(Role::TimeOfDay).find(|column| *column != days) else {
        return Ok(None);
    };
    let mut cells = head.cells(column).filter(|cell| !cell.is_empty());
    // `9` among `120000` may be a second as well as an hour.
    let plain = |cell: &str| is_plain_clock(cell).then_some(cell.len() > 2);
    let first = cells.clone().next().and_then(plain);
    let is_odd = |cell: &str| plain(cell) != first || time_of_day(cell).is_none() && !is_whole_time(cell);
    match cells.find(|cell| is_odd(cell)) {
        None => Ok(head.cells(column).any(|cell| time_of_day(cell).is_some()).then_some(column)),
        Some(cell) => Err(format!(
            "the column {:?} holds days and {:?} holds {cell:?}, which is no time of day as the others are (such as 23:59); write both \
             into one column (2021-07-06T23:59:59Z), or declare in a CSV map (CSV_MAP) that it does not count, if the days alone \
             tell the rows of a coin apart: [file.columns] time_of_day = \"\"",
            head.header[days], head.header[column]
        )),
    }
}

/// Another column of whole times says nothing about the time of day of this one.
fn is_whole_time(cell: &str) -> bool {
    TimeForm::of(std::iter::once(cell)).is_ok()
}

fn doubt_of(name: &str, error: &FormError) -> String {
    const WAY_OUT: &str = "write times as 2021-07-06 or 2021-07-06T23:59:59Z, or declare their form in a CSV map \
         (CSV_MAP): time_format = \"%d/%m/%Y\"";
    match error {
        FormError::Empty => format!(
            "the column {name:?} holds no times; fill it, or leave it out if the file is one snapshot"
        ),
        FormError::DayOrMonth(cell) => {
            format!(
                "the column {name:?} does not show whether {cell:?} begins with the day or the month; {WAY_OUT}"
            )
        }
        FormError::Unknown(cell) => {
            format!("the column {name:?} holds {cell:?}, which is not a time; {WAY_OUT}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(text: &str) -> Result<Option<TimeColumn>, String> {
        let declared = Declared::default();
        TimeColumn::of(&Head::read(text.as_bytes(), true, &declared)?, &declared, |_| false)
    }

    fn seen(column: usize, form: TimeForm, clock: Option<usize>) -> Result<Option<TimeColumn>, String> {
        Ok(Some(TimeColumn { column, form: Time::Seen(form), clock }))
    }

    #[test]
    fn the_column_without_doubt_is_taken() {
        assert_eq!(
            column("timestamp,date,id,price\n1640563200000,03/04/2018,a,1\n"),
            seen(0, TimeForm::EpochMillis, None)
        );
        assert_eq!(
            column("timestamp,date,id,price\n03/04/2018,2018-04-03,a,1\n"),
            seen(1, TimeForm::IsoDate, None)
        );
        assert_eq!(
            column("unix,date,id,price\n1640563200,2021-12-27,a,1\n1640566800,2021-12-27,a,2\n"),
            seen(0, TimeForm::EpochSeconds, None)
        );
        assert_eq!(
            column("unix,date,id,price\n1640563200,2021-12-24,a,1\n1640566800,2021-12-27,a,2\n"),
            seen(1, TimeForm::IsoDate, None)
        );
        assert!(column("date,id,price\n03/04/2018,a,1\n").unwrap_err().contains("\"date\""));
        assert!(column("date,id,price\n,a,1\n").unwrap_err().contains("no times"));
        assert!(column("date,id,price\n1/13/17,a,1\n").unwrap_err().contains("1/13/17"));
        assert_eq!(column("id,price,ath_date\na,1,2021-07-06\n"), Ok(None));
    }

    #[test]
    fn what_may_be_times_is_pointed_at() {
        let text = "id,price,when,ath_date\na,1,2021-07-06,2021-07-06\n";
        let head = Head::read(text.as_bytes(), true, &Declared::default()).unwrap();
        assert_eq!(may_be_times(&head), ["when"]);
    }

    #[test]
    fn a_day_and_its_time_may_stand_in_two_columns() {
        for header in ["date,time", "Date,Hour", "date,Time (UTC)"] {
            assert_eq!(
                column(&format!("{header},id,price\n2021-07-06,23:59,a,1\n")),
                seen(0, TimeForm::IsoDate, Some(1)),
                "{header}"
            );
        }
        assert_eq!(
            column("date,time,id,price\n2021-07-06 01:00:00,23:59,a,1\n"),
            seen(0, TimeForm::IsoTime, None)
        );
        assert_eq!(
            column("date,time,id,price\n2021-07-06,2021-07-07,a,1\n"),
            seen(0, TimeForm::IsoDate, None)
        );
        for plain in ["7", "23", "235959"] {
            assert_eq!(
                column(&format!("date,hour,id,price\n2021-07-06,{plain},a,1\n")),
                seen(0, TimeForm::IsoDate, Some(1)),
                "{plain}"
            );
        }
        for (cells, odd) in [(["25", "1"], "25"), (["120000", "9"], "9"), (["1:00", "2"], "2")] {
            let rows = cells.map(|cell| format!("2021-07-06,{cell},a,1\n")).concat();
            let refusal = column(&format!("date,hour,id,price\n{rows}")).unwrap_err();
            assert!(
                refusal.contains(&format!("\"hour\" holds {odd:?}")) && refusal.contains("time_of_day"),
                "{refusal}"
            );
        }
        assert!(column("time,id,price\n23:59,a,1\n").unwrap_err().contains("23:59"));
    }
}
