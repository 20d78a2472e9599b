//! Lists for machines: CSV with cells that a spreadsheet cannot take for a formula, and unknown values as empty cells.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use std::borrow::Cow;

/// A CSV file of `rows` below `columns`.
pub fn csv<R>(file_name: &'static str, columns: &[&str], rows: impl IntoIterator<Item = R>) -> Response
where
    R: IntoIterator<Item = String>,
{
    match write(columns, rows) {
        Ok(body) => (
            [
                (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
                (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{file_name}\"")),
            ],
            body,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "a list could not be written as csv");
            (StatusCode::INTERNAL_SERVER_ERROR, "this list could not be written\n").into_response()
        }
    }
}

fn write<R>(columns: &[&str], rows: impl IntoIterator<Item = R>) -> Result<Vec<u8>, csv::Error>
where
    R: IntoIterator<Item = String>,
{
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns)?;
    for row in rows {
        writer.write_record(row.into_iter().map(|cell| defused(&cell).into_owned()))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// Spreadsheets run a cell that begins with one of these; numbers of ours are never negative text from outside.
fn defused(cell: &str) -> Cow<'_, str> {
    let is_number = cell.parse::<f64>().is_ok();
    match cell.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') if !is_number => Cow::Owned(format!("'{cell}")),
        _ => Cow::Borrowed(cell),
    }
}

/// A value, or an empty cell when unknown.
pub fn or_empty<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_a_spreadsheet_would_run_is_quoted() {
        for cell in ["=1+1", "+cmd", "-x", "@sum", "=HYPERLINK(\"x\")"] {
            assert_eq!(defused(cell), format!("'{cell}"));
        }
        assert_eq!(defused("plain"), "plain");
        assert_eq!(defused("-12.5"), "-12.5");
    }

    #[test]
    fn separators_quotes_and_newlines_survive() {
        let body = write(&["a", "b"], [["x,\"y\"".to_owned(), "line\nbreak".to_owned()]]).unwrap();
        let mut reader = csv::Reader::from_reader(body.as_slice());
        let row = reader.records().next().unwrap().unwrap();
        assert_eq!((&row[0], &row[1]), ("x,\"y\"", "line\nbreak"));
    }
}
