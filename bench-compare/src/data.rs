//! Facts of Manners and Waltz, by the generators of Steadfast's examples: one a line, in the form of CLIPS,
//! which the others read, too.

#[path = "../../examples/manners/data.rs"]
mod manners;
#[path = "../../examples/waltz/data.rs"]
mod waltz;

use crate::rules::Sex;

/// The facts of a work; `None` if it makes its own.
pub fn facts(work: &str, size: i64) -> Option<Vec<String>> {
    match work {
        "manners" => {
            let guests = manners::guests(u32::try_from(size).ok()?);
            let rows = guests.into_iter().map(|guest| {
                let sex = match guest.sex {
                    Sex::Male => "m",
                    Sex::Female => "f",
                };
                format!("(guest (name {}) (sex {sex}) (hobby {}))", guest.name, guest.hobby)
            });
            Some(rows.collect())
        }
        "waltz" => {
            let rows = waltz::lines(size).into_iter().map(|line| {
                format!("(line (region {}) (p1 {}) (p2 {}))", line.region, line.p1, line.p2)
            });
            Some(rows.collect())
        }
        _ => None,
    }
}
