//! The table of NAS-Bench-201 among the shared data: a line for each of 15,625 cells, with accuracies,
//! latencies on devices, and, for the 9,445 cells that compute different functions, published scores of
//! zero-cost proxies.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use ruzstd::decoding::StreamingDecoder;

/// Name of the table.
const FILE: &str = "nasbench201_12epoch_hw.csv.zst";

/// Unpacked bytes at most; the table has some 3 MB.
const MOST: u64 = 64 << 20;

/// The table: cells, and numbers by column.
pub struct Table {
    columns: Vec<String>,
    /// The cell of each line, `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`.
    pub cells: Vec<String>,
    lines: Vec<Vec<Option<f64>>>,
}

impl Table {
    /// Reads the table in `folder`.
    pub fn read(folder: &Path) -> Result<Table, String> {
        let path = folder.join(FILE);
        let text = unpack(&path)?;
        parse(&String::from_utf8_lossy(&text)).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// The column called `name`, one number for each cell that has one.
    pub fn column(&self, name: &str) -> Result<Vec<Option<f64>>, String> {
        let known = || format!("{FILE} has no column '{name}'; it has {}", self.columns.join(", "));
        let at = self.columns.iter().position(|column| column == name).ok_or_else(known)?;
        Ok(self.lines.iter().map(|line| line[at]).collect())
    }
}

/// Everything that a Zstandard file holds.
pub fn unpack(path: &Path) -> Result<Vec<u8>, String> {
    let fail = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let file = File::open(path).map_err(|e| fail(&e))?;
    let decoder = StreamingDecoder::new(file).map_err(|e| fail(&e))?;
    let mut bytes = vec![];
    decoder.take(MOST + 1).read_to_end(&mut bytes).map_err(|e| fail(&e))?;
    match bytes.len() as u64 <= MOST {
        true => Ok(bytes),
        false => Err(fail(&format!("more than {MOST} bytes unpacked"))),
    }
}

/// A header and a line for each cell. Fields hold no commas; the second is the cell, the others are
/// numbers or empty.
fn parse(text: &str) -> Result<Table, String> {
    let mut lines = text.lines();
    let columns: Vec<String> =
        lines.next().unwrap_or_default().split(',').map(str::to_string).collect();
    if columns.get(1).map(String::as_str) != Some("cellstr") {
        return Err("the second column must be 'cellstr'".into());
    }
    let mut table = Table { columns, cells: vec![], lines: vec![] };
    for (number, line) in lines.enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        if fields.len() != table.columns.len() {
            let (line, expected) = (number + 2, table.columns.len());
            return Err(format!("line {line} has {} fields, not {expected}", fields.len()));
        }
        table.cells.push(fields[1].to_string());
        table.lines.push(
            fields.iter().map(|field| field.parse().ok().filter(|n: &f64| n.is_finite())).collect(),
        );
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_numbers_or_empty() {
        let table = parse("arch,cellstr,a,b\n0,|none~0|,1.5,\n1,|skip~0|,,-2\n").unwrap();
        assert_eq!(table.cells, ["|none~0|", "|skip~0|"]);
        assert_eq!(table.column("a").unwrap(), [Some(1.5), None]);
        assert_eq!(table.column("b").unwrap(), [None, Some(-2.0)]);
        assert!(table.column("c").unwrap_err().contains("it has arch, cellstr, a, b"));
        assert!(parse("arch,cellstr\n0\n").is_err_and(|e| e.contains("line 2")));
        assert!(parse("").is_err());
    }
}
