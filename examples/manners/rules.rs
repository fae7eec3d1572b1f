//! Miss Manners: a depth-first search for a seating order, as rules.
//!
//! Each seating extends the one before it by one guest of the other sex who shares a hobby. The newest
//! seating is extended first: it has the highest salience.

use steadfast::prelude::*;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Sex {
    Male,
    Female,
}

/// One hobby of one guest.
#[derive(Fact, Clone, Debug, Serialize, Deserialize)]
pub struct Guest {
    pub name: u32,
    pub sex: Sex,
    pub hobby: u32,
}

/// What the search is at.
#[derive(Fact, Clone, Debug, Serialize, Deserialize)]
pub struct Context {
    pub state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum State {
    Start,
    Assign,
    MakePath,
    CheckDone,
    Print,
}

/// The number of the next seating.
#[derive(Fact, Clone, Debug, Serialize, Deserialize)]
pub struct Count {
    pub next: i32,
}

#[derive(Fact, Clone, Debug, Serialize, Deserialize)]
pub struct LastSeat {
    pub seat: u32,
}

/// Two neighbors; with the seatings before it, `parent` and its parents, an order of guests.
#[derive(Fact, Clone, Debug, Serialize, Deserialize)]
pub struct Seating {
    pub id: i32,
    pub parent: i32,
    pub seat1: u32,
    pub name1: u32,
    pub seat2: u32,
    pub name2: u32,
    pub path_done: bool,
}

/// In the order that ends with this seating, this guest has this seat.
#[derive(Fact, Clone, Debug, Serialize, Deserialize)]
pub struct Path {
    pub seating: i32,
    pub name: u32,
    pub seat: u32,
}

/// This guest was tried behind this seating for this hobby.
#[derive(Fact, Clone, Debug, Serialize, Deserialize)]
pub struct Chosen {
    pub seating: i32,
    pub name: u32,
    pub hobby: u32,
}

/// The result.
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Seated {
    pub seat: u32,
    pub name: u32,
}

#[rule]
fn assign_first_seat(
    #[when(c.state == State::Start)] c: Ref<Context>,
    #[cross] g: &Guest,
    #[cross] n: Ref<Count>,
    cx: &mut Then,
) -> RuleResult {
    cx.insert(Seating {
        id: n.next,
        parent: 0,
        seat1: 1,
        name1: g.name,
        seat2: 1,
        name2: g.name,
        path_done: true,
    })?;
    cx.insert(Path { seating: n.next, name: g.name, seat: 1 })?;
    cx.modify(n, |n| n.next += 1)?;
    cx.modify(c, |c| c.state = State::Assign)
}

#[rule(salience = s.id)]
fn find_seating(
    #[when(c.state == State::Assign)] c: Ref<Context>,
    #[when(s.path_done)]
    #[cross]
    s: &Seating,
    #[when(g1.name == s.name2)] g1: &Guest,
    #[when(g2.hobby == g1.hobby && g2.sex != g1.sex)] g2: &Guest,
    #[cross] n: Ref<Count>,
    #[not(p.seating == s.id && p.name == g2.name)] p: Absent<Path>,
    #[not(t.seating == s.id && t.name == g2.name && t.hobby == g1.hobby)] t: Absent<Chosen>,
    cx: &mut Then,
) -> RuleResult {
    let (id, seat) = (n.next, s.seat2 + 1);
    let (seat1, name1) = (s.seat2, s.name2);
    cx.insert(Seating {
        id,
        parent: s.id,
        seat1,
        name1,
        seat2: seat,
        name2: g2.name,
        path_done: false,
    })?;
    cx.insert(Path { seating: id, name: g2.name, seat })?;
    cx.insert(Chosen { seating: s.id, name: g2.name, hobby: g1.hobby })?;
    cx.modify(n, |n| n.next += 1)?;
    cx.modify(c, |c| c.state = State::MakePath)
}

#[rule(salience = 100_000)]
fn make_path(
    #[when(c.state == State::MakePath)] c: &Context,
    #[when(!s.path_done)]
    #[cross]
    s: &Seating,
    #[when(p.seating == s.parent)] p: &Path,
    #[not(own.seating == s.id && own.name == p.name)] own: Absent<Path>,
    cx: &mut Then,
) -> RuleResult {
    cx.insert(Path { seating: s.id, name: p.name, seat: p.seat })?;
    Ok(())
}

#[rule]
fn path_done(
    #[when(c.state == State::MakePath)] c: Ref<Context>,
    #[when(!s.path_done)]
    #[cross]
    s: Ref<Seating>,
    cx: &mut Then,
) -> RuleResult {
    cx.modify(s, |s| s.path_done = true)?;
    cx.modify(c, |c| c.state = State::CheckDone)
}

#[rule(salience = 10)]
fn are_we_done(
    #[when(c.state == State::CheckDone)] c: Ref<Context>,
    #[cross] last: &LastSeat,
    #[when(s.seat2 == last.seat)] s: &Seating,
    cx: &mut Then,
) -> RuleResult {
    cx.modify(c, |c| c.state = State::Print)
}

#[rule]
fn go_on(#[when(c.state == State::CheckDone)] c: Ref<Context>, cx: &mut Then) -> RuleResult {
    cx.modify(c, |c| c.state = State::Assign)
}

#[rule(salience = 10)]
fn print_results(
    #[when(c.state == State::Print)] c: &Context,
    #[cross] last: &LastSeat,
    #[when(s.seat2 == last.seat)] s: &Seating,
    #[when(p.seating == s.id)] p: Ref<Path>,
    cx: &mut Then,
) -> RuleResult {
    cx.insert(Seated { seat: p.seat, name: p.name })?;
    cx.delete(p)?;
    Ok(())
}

#[rule]
fn all_done(#[when(c.state == State::Print)] c: &Context, cx: &mut Then) {
    cx.halt();
}

ruleset!(
    pub manners = 1:
        assign_first_seat, find_seating, make_path, path_done, are_we_done, go_on, print_results, all_done;
    facts: Seated
);

/// Seats the guests; gives the number of firings.
pub fn seat(session: &mut Session, guests: &[Guest]) -> steadfast::Result<u64> {
    let count = guests.iter().map(|guest| guest.name).max().unwrap_or(0);
    session.transact(|stage| {
        guests.iter().try_for_each(|guest| stage.insert(guest.clone()).map(drop))?;
        stage.insert(LastSeat { seat: count })?;
        stage.insert(Count { next: 1 })?;
        stage.insert(Context { state: State::Start })?;
        Ok(())
    })?;
    Ok(session.fire_all()?.count)
}

/// Whether everybody has one seat, and neighbors differ in sex and share a hobby.
pub fn is_valid(guests: &[Guest], seated: &[Seated]) -> bool {
    let mut order = seated.to_vec();
    order.sort_by_key(|seated| seated.seat);
    let rows_of = |name| guests.iter().filter(move |guest| guest.name == name);
    let go_together = |a: u32, b: u32| {
        rows_of(a).any(|a| rows_of(b).any(|b| a.hobby == b.hobby && a.sex != b.sex))
    };
    let mut names: Vec<u32> = order.iter().map(|seated| seated.name).collect();
    let neighbors = names.windows(2).all(|pair| go_together(pair[0], pair[1]));
    let seats = (1..).zip(&order).all(|(seat, seated)| seated.seat == seat);
    names.sort_unstable();
    let everybody = (1..).zip(&names).all(|(expected, &name)| name == expected);
    let count = guests.iter().map(|guest| guest.name).max().unwrap_or(0);
    neighbors && seats && everybody && u32::try_from(names.len()) == Ok(count)
}
