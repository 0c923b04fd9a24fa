//! What goes wrong, by seed: a script for the fault store, and small random numbers.

use seglift::store::fault::{Operation, mix};

/// SplitMix64: small, and the same everywhere.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn next(&mut self) -> u64 {
        let x = mix(self.0);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x
    }

    /// 0 to `n` - 1.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// Requests of each kind that the script knows of; a driver is replaced before it has sent many more.
const REQUESTS: u64 = 1_500;

/// One request in so many fails. Retries heal most of it, so that what is done in between is real work.
const ONE_IN: u64 = 12;

/// A script for the store of one driver.
///
/// `late`: commits may come after they were given up. An object may then appear after its deletion.
pub fn script(dice: &mut Dice, late: bool) -> String {
    let mut rules = Vec::new();
    // An abort that fails leaves its upload to reap, which is another test's matter.
    for operation in Operation::ALL.iter().filter(|op| **op != Operation::Abort) {
        let name = operation.name();
        for nth in 1..=REQUESTS {
            if dice.below(ONE_IN) == 0 {
                rules.push(format!("{name}={nth}:{}", fault(dice, *operation, late)));
            }
        }
    }
    rules.join("&")
}

fn fault(dice: &mut Dice, operation: Operation, late: bool) -> String {
    let size = dice.below(8192);
    // Stalls cost a deadline each and panics an operation, so they are rare.
    match dice.below(40) {
        0 => return "stall".to_owned(),
        1 => return "panic".to_owned(),
        2..=9 => return "UNAVAILABLE".to_owned(),
        10..=15 => return "THROTTLED".to_owned(),
        16 => return "INTERNAL".to_owned(),
        17..=20 => return format!("delay-{}ms", 1 + size % 20),
        _ => {}
    }
    match operation {
        Operation::Get => match dice.below(5) {
            0 => format!("short-{}", 1 + size),
            1 => format!("long-{}", 1 + size),
            2 => format!("flip-{size}"),
            3 => format!("break-{size}"),
            _ => format!("hang-{size}"),
        },
        Operation::Put | Operation::Commit => match dice.below(if late { 4 } else { 3 }) {
            0 => "lost".to_owned(),
            1 => "unknown".to_owned(),
            2 => "refused".to_owned(),
            _ => format!("late-{}ms", 1 + size % 30),
        },
        _ => "TIMED_OUT".to_owned(),
    }
}
