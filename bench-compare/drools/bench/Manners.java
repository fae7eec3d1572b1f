package bench;

import static org.drools.model.DSL.declarationOf;
import static org.drools.model.DSL.not;
import static org.drools.model.DSL.on;
import static org.drools.model.DSL.supply;
import static org.drools.model.PatternDSL.alphaIndexedBy;
import static org.drools.model.PatternDSL.betaIndexedBy;
import static org.drools.model.PatternDSL.pattern;
import static org.drools.model.PatternDSL.reactOn;
import static org.drools.model.PatternDSL.rule;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.drools.model.Index.ConstraintType;
import org.drools.model.PatternDSL.PatternDef;
import org.drools.model.Rule;
import org.drools.model.Variable;
import org.drools.model.functions.Function1;
import org.kie.api.runtime.KieSession;

/** Miss Manners, rule for rule that of {@code examples/manners}. */
final class Manners {
    private Manners() {}

    public record Guest(int name, String sex, int hobby) {
        public int getName() { return name; }
        public String getSex() { return sex; }
        public int getHobby() { return hobby; }
    }

    public record LastSeat(int seat) {
        public int getSeat() { return seat; }
    }

    public record Path(int seating, int name, int seat) {
        public int getSeating() { return seating; }
        public int getName() { return name; }
        public int getSeat() { return seat; }
    }

    public record Chosen(int seating, int name, int hobby) {
        public int getSeating() { return seating; }
        public int getName() { return name; }
        public int getHobby() { return hobby; }
    }

    public static final class Count {
        private int next = 1;

        public int getNext() { return next; }
        public void setNext(int next) { this.next = next; }
    }

    public static final class Context {
        private String state = "start";

        public String getState() { return state; }
        public void setState(String state) { this.state = state; }
    }

    public static final class Seating {
        private final int id;
        private final int parent;
        private final int seat2;
        private final int name2;
        private boolean pathDone;

        Seating(int id, int parent, int seat2, int name2, boolean pathDone) {
            this.id = id;
            this.parent = parent;
            this.seat2 = seat2;
            this.name2 = name2;
            this.pathDone = pathDone;
        }

        public int getId() { return id; }
        public int getParent() { return parent; }
        public int getSeat2() { return seat2; }
        public int getName2() { return name2; }
        public boolean isPathDone() { return pathDone; }
        public void setPathDone(boolean pathDone) { this.pathDone = pathDone; }
    }

    private static long fired;
    /** Names by seats. */
    private static final Map<Integer, Integer> seated = new HashMap<>();

    private static final Variable<Context> context = declarationOf(Context.class);
    private static final Variable<Count> count = declarationOf(Count.class);
    private static final Variable<Guest> left = declarationOf(Guest.class);
    private static final Variable<Guest> right = declarationOf(Guest.class);
    private static final Variable<Seating> seating = declarationOf(Seating.class);
    private static final Variable<Path> path = declarationOf(Path.class);
    private static final Variable<Path> own = declarationOf(Path.class);
    private static final Variable<Chosen> chosen = declarationOf(Chosen.class);
    private static final Variable<LastSeat> last = declarationOf(LastSeat.class);

    private static PatternDef<Context> in(String state) {
        return pattern(context).expr("in " + state, c -> c.getState().equals(state),
            alphaIndexedBy(String.class, ConstraintType.EQUAL, 0, Context::getState, state), reactOn("state"));
    }

    private static PatternDef<Seating> seatingThatIs(boolean done) {
        return pattern(seating).expr("done " + done, s -> s.isPathDone() == done,
            alphaIndexedBy(boolean.class, ConstraintType.EQUAL, 1, Seating::isPathDone, done), reactOn("pathDone"));
    }

    /** A condition that two properties are equal. */
    private static <T, U> PatternDef<T> same(PatternDef<T> pattern, String property, int index, Function1<T, Integer> mine,
            Variable<U> other, String otherProperty, Function1<U, Integer> theirs) {
        return pattern.expr(property + index + otherProperty, other, (x, y) -> mine.apply(x).equals(theirs.apply(y)),
            betaIndexedBy(int.class, ConstraintType.EQUAL, index, mine, theirs::apply, int.class), reactOn(property));
    }

    private static void enter(org.drools.model.Drools drools, Context context, String state) {
        fired++;
        context.setState(state);
        drools.update(context, "state");
    }

    private static int takeNumber(org.drools.model.Drools drools, Count count) {
        int number = count.getNext();
        count.setNext(number + 1);
        drools.update(count, "next");
        return number;
    }

    static List<Rule> rules() {
        Rule assignFirstSeat = rule("assign first seat").build(in("start"), pattern(left), pattern(count),
            on(context, left, count).execute((drools, c, g, n) -> {
                int number = takeNumber(drools, n);
                drools.insert(new Seating(number, 0, 1, g.getName(), true));
                drools.insert(new Path(number, g.getName(), 1));
                enter(drools, c, "assign");
            }));
        // The newest seating is extended first.
        Rule findSeating = rule("find seating").attribute(Rule.Attribute.SALIENCE, supply(seating, Seating::getId)).build(
            in("assign"), seatingThatIs(true),
            same(pattern(left), "name", 2, Guest::getName, seating, "name2", Seating::getName2),
            same(pattern(right), "hobby", 3, Guest::getHobby, left, "hobby", Guest::getHobby)
                .expr("other sex", left, (x, y) -> !x.getSex().equals(y.getSex()), reactOn("sex")),
            pattern(count),
            not(same(same(pattern(path), "seating", 4, Path::getSeating, seating, "id", Seating::getId),
                "name", 5, Path::getName, right, "name", Guest::getName)),
            not(same(same(same(pattern(chosen), "seating", 6, Chosen::getSeating, seating, "id", Seating::getId),
                "name", 7, Chosen::getName, right, "name", Guest::getName),
                "hobby", 8, Chosen::getHobby, left, "hobby", Guest::getHobby)),
            on(context, seating, left, right, count).execute((drools, c, s, l, r, n) -> {
                int number = takeNumber(drools, n);
                int seat = s.getSeat2() + 1;
                drools.insert(new Seating(number, s.getId(), seat, r.getName(), false));
                drools.insert(new Path(number, r.getName(), seat));
                drools.insert(new Chosen(s.getId(), r.getName(), l.getHobby()));
                enter(drools, c, "make path");
            }));
        Rule makePath = rule("make path").attribute(Rule.Attribute.SALIENCE, 100_000).build(
            in("make path"), seatingThatIs(false),
            same(pattern(path), "seating", 2, Path::getSeating, seating, "parent", Seating::getParent),
            not(same(same(pattern(own), "seating", 3, Path::getSeating, seating, "id", Seating::getId),
                "name", 4, Path::getName, path, "name", Path::getName)),
            on(seating, path).execute((drools, s, p) -> {
                fired++;
                drools.insert(new Path(s.getId(), p.getName(), p.getSeat()));
            }));
        Rule pathDone = rule("path done").build(in("make path"), seatingThatIs(false),
            on(context, seating).execute((drools, c, s) -> {
                s.setPathDone(true);
                drools.update(s, "pathDone");
                enter(drools, c, "check done");
            }));
        Rule areWeDone = rule("are we done").attribute(Rule.Attribute.SALIENCE, 10).build(in("check done"), pattern(last),
            same(pattern(seating), "seat2", 2, Seating::getSeat2, last, "seat", LastSeat::getSeat),
            on(context).execute((drools, c) -> enter(drools, c, "print")));
        Rule goOn = rule("go on").build(in("check done"), on(context).execute((drools, c) -> enter(drools, c, "assign")));
        Rule printResults = rule("print results").attribute(Rule.Attribute.SALIENCE, 10).build(in("print"), pattern(last),
            same(pattern(seating), "seat2", 2, Seating::getSeat2, last, "seat", LastSeat::getSeat),
            same(pattern(path), "seating", 3, Path::getSeating, seating, "id", Seating::getId),
            on(path).execute((drools, p) -> {
                fired++;
                seated.put(p.getSeat(), p.getName());
                drools.delete(p);
            }));
        Rule allDone = rule("all done").build(in("print"), on(context).execute((drools, c) -> {
            fired++;
            drools.halt();
        }));
        return List.of(assignFirstSeat, findSeating, makePath, pathDone, areWeDone, goOn, printResults, allDone);
    }

    static Run.Timed run(KieSession session, int n) {
        fired = 0;
        seated.clear();
        List<Guest> guests = Run.facts().stream()
            .map(f -> new Guest(Integer.parseInt(f.get("name")), f.get("sex"), Integer.parseInt(f.get("hobby"))))
            .toList();
        long start = System.nanoTime();
        guests.forEach(session::insert);
        session.insert(new LastSeat(n));
        session.insert(new Count());
        session.insert(new Context());
        session.fireAllRules();
        long nanos = System.nanoTime() - start;
        return new Run.Timed(nanos, fired, fired + ":" + (isValid(guests, n) ? "valid" : "invalid"));
    }

    /** Whether everybody has a seat, and neighbors differ in sex and share a hobby. */
    private static boolean isValid(List<Guest> guests, int n) {
        if (seated.size() != n || seated.values().stream().distinct().count() != n) return false;
        for (int seat = 2; seat <= n; seat++) {
            int one = seated.getOrDefault(seat - 1, 0);
            int other = seated.getOrDefault(seat, 0);
            boolean goTogether = guests.stream().filter(g -> g.name() == one).anyMatch(g -> guests.stream()
                .anyMatch(h -> h.name() == other && g.hobby() == h.hobby() && !g.sex().equals(h.sex())));
            if (!goTogether) return false;
        }
        return true;
    }
}
