//! The picture of an object: its blocks as cells, shaded by how much of them is left after
//! compression, then what follows them.
//!
//! Blocks are drawn in the order of the segment, 64 to a row, so that a row of a segment with
//! 256 KiB blocks is 16 MiB and the number at its left is easy to compute with. A segment that
//! would fill more than a screen has several blocks in one cell.

use indicatif::HumanBytes;

/// Cells in a row; with the label at its left a row fits into 80 columns.
const ROW: usize = 64;
/// Rows of blocks: with the rest of `stat` they fit onto a screen.
const ROWS: usize = 12;

/// Upper end of a shade in percent of the raw size, its cell, and its cell in ASCII.
const SHADES: [(u64, char, char); 5] =
    [(5, '·', '.'), (25, '░', ':'), (50, '▒', '+'), (75, '▓', 'x'), (u64::MAX, '█', '#')];

/// What one cell holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cell {
    /// Bytes of the segment.
    pub raw: u64,
    /// Bytes of the object.
    pub stored: u64,
}

/// The blocks of an object, summed into cells. Its size does not grow with the object's.
#[derive(Clone, Debug)]
pub struct Map {
    /// Blocks in one cell; the last has what is left.
    pub per_cell: u32,
    /// In the order of the segment.
    pub cells: Vec<Cell>,
}

impl Map {
    /// An empty map of `blocks` blocks.
    pub fn new(blocks: u32) -> Self {
        // A power of two keeps the labels of the rows round.
        let per_cell = blocks.div_ceil((ROW * ROWS) as u32).next_power_of_two();
        Map { per_cell, cells: vec![Cell::default(); blocks.div_ceil(per_cell) as usize] }
    }

    /// Draws block `number` in. A number behind the last changes nothing.
    pub fn add(&mut self, number: u32, raw: u64, stored: u64) {
        if let Some(cell) = self.cells.get_mut((number / self.per_cell) as usize) {
            cell.raw += raw;
            cell.stored += stored;
        }
    }

    /// The picture, with a legend; every line ends in a newline.
    pub fn draw(&self, frames: &[Frame], ascii: bool) -> String {
        let mut picture = String::new();
        let mut offset = 0;
        for row in self.cells.chunks(ROW) {
            let shades: String = row.iter().map(|cell| shade(*cell, ascii)).collect();
            picture += &format!("{:>11}  {shades}\n", HumanBytes(offset).to_string());
            offset += row.iter().map(|cell| cell.raw).sum::<u64>();
        }
        // Attachments are few; of hundreds the number says more.
        let letters = |frame: &Frame| frame.count.min(ROW / 2);
        let widest = frames.iter().map(letters).max().unwrap_or(0);
        for frame in frames.iter().filter(|frame| frame.stored > 0) {
            let letters = frame.letter.to_string().repeat(letters(frame));
            let many = if frame.count > 1 { format!("{} ", frame.count) } else { String::new() };
            picture += &format!(
                "{:>11}  {letters:<widest$}  {many}{}, {}\n",
                "",
                frame.name,
                HumanBytes(frame.stored)
            );
        }
        if !self.cells.is_empty() {
            let what = if self.per_cell > 1 {
                format!("{} blocks a cell, stored up to", self.per_cell)
            } else {
                "stored up to".to_string()
            };
            let legend = SHADES.map(|(upto, fancy, plain)| match (if ascii { plain } else { fancy }, upto) {
                (cell, u64::MAX) => format!("{cell} more"),
                (cell, _) => format!("{cell} {upto}%"),
            });
            picture += &format!("{:>11}  {what}  {}\n", "", legend.join(" "));
        }
        picture
    }
}

/// A kind of frame behind the blocks.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Its letter in the picture.
    pub letter: char,
    /// What it is.
    pub name: &'static str,
    /// How many of them there are.
    pub count: usize,
    /// Bytes of the object in all of them.
    pub stored: u64,
}

fn shade(cell: Cell, ascii: bool) -> char {
    let percent = u128::from(cell.stored) * 100 / u128::from(cell.raw.max(1));
    let (_, fancy, plain) = SHADES
        .into_iter()
        .find(|(upto, ..)| percent <= u128::from(*upto))
        .unwrap_or(SHADES[SHADES.len() - 1]);
    if ascii { plain } else { fancy }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMES: [Frame; 2] = [
        Frame { letter: 'a', name: "attachments", count: 3, stored: 300 },
        Frame { letter: 't', name: "tail", count: 1, stored: 200 },
    ];

    fn map(blocks: u32, stored: impl Fn(u32) -> u64) -> Map {
        let mut map = Map::new(blocks);
        (0..blocks).for_each(|n| map.add(n, 1 << 18, stored(n)));
        map
    }

    #[test]
    fn a_cell_is_as_dark_as_its_block_is_large() {
        let map = map(7, |n| (1 << 18) * [0, 5, 25, 50, 75, 100, 120][n as usize] / 100);
        let picture = map.draw(&FRAMES, false);
        assert!(picture.contains("··░▒▓██"), "{picture}");
        assert!(picture.contains("aaa  3 attachments, 300 B"), "{picture}");
        assert!(map.draw(&FRAMES, true).is_ascii());
    }

    #[test]
    fn a_picture_of_any_object_fits_onto_a_screen() {
        for n in [0, 1, 63, 64, 65, 768, 769, 1_000_000] {
            let picture = map(n, |_| 1 << 17).draw(&FRAMES, false);
            assert!(picture.lines().count() <= ROWS + 4, "{n} blocks\n{picture}");
            assert!(picture.lines().all(|line| line.chars().count() < 80), "{n} blocks\n{picture}");
        }
    }

    #[test]
    fn every_block_counts_in_one_cell() {
        let map = map(1_000_003, |_| 1);
        assert_eq!(map.cells.iter().map(|cell| cell.stored).sum::<u64>(), 1_000_003);
        assert!(map.cells.iter().all(|cell| cell.raw > 0));
    }

    #[test]
    fn a_row_is_labelled_with_its_first_byte() {
        let picture = map(65, |_| 1).draw(&[], false);
        assert!(
            picture.lines().nth(1).is_some_and(|row| row.trim_start().starts_with("16.00 MiB  ·")),
            "{picture}"
        );
    }
}
