use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use csv::{Reader, ReaderBuilder, StringRecord};
use serde_json::{Map, Value};

use super::Form;
use super::field::FIELDS;
use crate::failure::Failure;

/// The fields of a row by their names.
pub(super) type Fields = Map<String, Value>;

/// A file of keys. No message repeats what is in it: a row may have a key.
pub(super) struct Source {
    rows: Rows,
    read: Rc<Cell<u64>>,
    /// Of how many bytes, if that is known.
    size: Option<u64>,
}

enum Rows {
    Csv { reader: Box<Reader<Counted>>, columns: Vec<String> },
    JsonLines { reader: BufReader<Counted>, line: u64 },
}

/// The number of a line, and its row or why there is none.
type NumberedRow = (u64, Result<Fields, String>);

impl Source {
    pub(super) fn open(path: &Path, form: Option<Form>) -> Result<Self, Failure> {
        let form = form
            .or_else(|| form_of(path))
            .ok_or_else(|| Failure::usage("the form of the file is unknown: pass --form csv or --form json-lines"))?;
        let (input, size): (Box<dyn Read>, _) = if path == Path::new("-") {
            (Box::new(io::stdin().lock()), None)
        } else {
            let file = File::open(path).map_err(|error| unreadable(&error))?;
            let size = file.metadata().ok().map(|metadata| metadata.len());
            (Box::new(file), size)
        };
        Self::new(input, size, form)
    }

    /// Reads the rows of this input, of so many bytes if that is known.
    pub(super) fn new(input: Box<dyn Read>, size: Option<u64>, form: Form) -> Result<Self, Failure> {
        let read = Rc::new(Cell::new(0));
        let input = Counted { input, read: Rc::clone(&read) };
        let rows = match form {
            Form::Csv => csv(input)?,
            Form::JsonLines => Rows::JsonLines { reader: BufReader::new(input), line: 0 },
        };
        Ok(Self { rows, read, size })
    }

    /// Returns the next row, or `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<NumberedRow>, Failure> {
        match &mut self.rows {
            Rows::Csv { reader, columns } => next_csv(reader, columns),
            Rows::JsonLines { reader, line } => next_json(reader, line),
        }
    }

    /// Returns how much of the file was read.
    pub(super) fn progress(&self) -> String {
        let read = self.read.get();
        match self.size.filter(|size| *size > 0) {
            Some(size) => format!("{} %", (100 * read.min(size)) / size),
            None => format!("{} KiB read", read / 1024),
        }
    }
}

fn form_of(path: &Path) -> Option<Form> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "csv" => Some(Form::Csv),
        "jsonl" | "ndjson" => Some(Form::JsonLines),
        _ => None,
    }
}

fn csv(input: Counted) -> Result<Rows, Failure> {
    let mut reader = ReaderBuilder::new().from_reader(input);
    let header = reader.headers().map_err(|error| Failure::failed(reason(error)))?;
    let columns: Vec<_> = header.iter().map(|name| name.trim_start_matches('\u{feff}').trim().to_owned()).collect();
    for (place, name) in columns.iter().enumerate() {
        let is_known = FIELDS.contains(&name.as_str()) || name.starts_with("metadata.");
        if !is_known || name == "metadata" || columns[..place].contains(name) {
            let place = place + 1;
            return Err(Failure::failed(format!(
                "line 1: column {place} has an unknown or repeated name; the columns are {}, metadata.NAME",
                FIELDS.iter().filter(|name| **name != "metadata").copied().collect::<Vec<_>>().join(", ")
            )));
        }
    }
    Ok(Rows::Csv { reader: Box::new(reader), columns })
}

fn next_csv(reader: &mut Reader<Counted>, columns: &[String]) -> Result<Option<NumberedRow>, Failure> {
    let (mut record, line) = (StringRecord::new(), reader.position().line());
    match reader.read_record(&mut record) {
        Ok(false) => Ok(None),
        Ok(true) => {
            let line = record.position().map_or(line, csv::Position::line);
            let (mut fields, mut metadata) = (Fields::new(), Map::new());
            for (name, cell) in columns.iter().zip(&record).filter(|(_, cell)| !cell.is_empty()) {
                match name.strip_prefix("metadata.") {
                    Some(name) => metadata.insert(name.to_owned(), cell.into()),
                    None => fields.insert(name.clone(), cell.into()),
                };
            }
            if !metadata.is_empty() {
                fields.insert("metadata".to_owned(), metadata.into());
            }
            Ok(Some((line, Ok(fields))))
        }
        Err(error) if error.is_io_error() => Err(Failure::failed(reason(error))),
        Err(error) => Ok(Some((line, Err(reason(error))))),
    }
}

fn next_json(reader: &mut BufReader<Counted>, line: &mut u64) -> Result<Option<NumberedRow>, Failure> {
    loop {
        let mut text = Vec::new();
        *line += 1;
        if reader.read_until(b'\n', &mut text).map_err(|error| unreadable(&error))? == 0 {
            return Ok(None);
        }
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
        if text.trim_ascii().is_empty() {
            continue;
        }
        let fields = match serde_json::from_slice(text) {
            Ok(Value::Object(fields)) => Ok(fields),
            Ok(_) => Err("is no JSON object".to_owned()),
            Err(error) => Err(format!("is no JSON, from column {}", error.column())),
        };
        return Ok(Some((*line, fields)));
    }
}

fn reason(error: csv::Error) -> String {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => unreadable(&error).line().to_owned(),
        csv::ErrorKind::Utf8 { .. } => "is not UTF-8".to_owned(),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("has {len} fields, and the first line has {expected_len}")
        }
        _ => "is no CSV".to_owned(),
    }
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::failed(format!("cannot read the file: {error}"))
}

/// Counts the bytes that are read.
struct Counted {
    input: Box<dyn Read>,
    read: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.read.set(self.read.get() + count as u64);
        Ok(count)
    }
}
