package bench;

import static org.drools.model.DSL.declarationOf;
import static org.drools.model.DSL.not;
import static org.drools.model.DSL.on;
import static org.drools.model.PatternDSL.alphaIndexedBy;
import static org.drools.model.PatternDSL.betaIndexedBy;
import static org.drools.model.PatternDSL.pattern;
import static org.drools.model.PatternDSL.reactOn;
import static org.drools.model.PatternDSL.rule;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.drools.model.Drools;
import org.drools.model.Index.ConstraintType;
import org.drools.model.PatternDSL.PatternDef;
import org.drools.model.Rule;
import org.drools.model.RuleItemBuilder;
import org.drools.model.Variable;
import org.drools.model.functions.Function1;
import org.kie.api.runtime.KieSession;

/** Line labelling, rule for rule that of {@code examples/waltz}. */
final class Waltz {
    private Waltz() {}

    private static final int NONE = 0;
    private static final int PLUS = 1;
    private static final int MINUS = 2;
    private static final int BORDER = 3;
    private static final int SPAN = 4096;
    private static final String[] PHASES = {"duplicate", "detect", "first", "second", "label", "plot", "done"};

    public record Line(int region, int p1, int p2) {}

    public enum Kind { L, FORK, ARROW }

    public record Junction(int region, Kind kind, int base, int p1, int p2, int p3) {
        public int getRegion() { return region; }
        public Kind getKind() { return kind; }
        public int getBase() { return base; }
        public int getP1() { return p1; }
        public int getP2() { return p2; }
        public int getP3() { return p3; }
    }

    public static final class Stage {
        private int phase;

        public int getPhase() { return phase; }
        public void setPhase(int phase) { this.phase = phase; }
    }

    public static final class Edge {
        private final int region;
        private final int p1;
        private final int p2;
        private int label;
        private boolean joined;
        private boolean plotted;

        Edge(int region, int p1, int p2) {
            this.region = region;
            this.p1 = p1;
            this.p2 = p2;
        }

        public int getRegion() { return region; }
        public int getP1() { return p1; }
        public int getP2() { return p2; }
        public int getLabel() { return label; }
        public void setLabel(int label) { this.label = label; }
        public boolean isJoined() { return joined; }
        public void setJoined(boolean joined) { this.joined = joined; }
        public boolean isPlotted() { return plotted; }
        public void setPlotted(boolean plotted) { this.plotted = plotted; }
    }

    private static long fired;

    private static final Variable<Stage> stage = declarationOf(Stage.class);
    private static final Variable<Line> line = declarationOf(Line.class);
    private static final Variable<Edge> first = declarationOf(Edge.class);
    private static final Variable<Edge> second = declarationOf(Edge.class);
    private static final Variable<Edge> third = declarationOf(Edge.class);
    private static final Variable<Junction> junction = declarationOf(Junction.class);
    private static final Variable<Junction> beyond = declarationOf(Junction.class);

    private static PatternDef<Stage> in(String phase) {
        int number = Arrays.asList(PHASES).indexOf(phase);
        return pattern(stage).expr("in " + phase, s -> s.getPhase() == number,
            alphaIndexedBy(int.class, ConstraintType.EQUAL, 0, Stage::getPhase, number), reactOn("phase"));
    }

    private static PatternDef<Junction> a(Kind kind) {
        return pattern(junction).expr("is " + kind, j -> j.getKind() == kind,
            alphaIndexedBy(Kind.class, ConstraintType.EQUAL, 1, Junction::getKind, kind), reactOn("kind"));
    }

    private static PatternDef<Edge> unjoined(Variable<Edge> edge) {
        return pattern(edge).expr("unjoined", e -> !e.isJoined(),
            alphaIndexedBy(boolean.class, ConstraintType.EQUAL, 2, Edge::isJoined, false), reactOn("joined"));
    }

    private static PatternDef<Edge> labelled(Variable<Edge> edge, int label) {
        return pattern(edge).expr("labelled " + label, e -> e.getLabel() == label,
            alphaIndexedBy(int.class, ConstraintType.EQUAL, 3, Edge::getLabel, label), reactOn("label"));
    }

    private static PatternDef<Edge> labelledEither(Variable<Edge> edge, int one, int other) {
        return pattern(edge).expr("labelled " + one + " or " + other,
            e -> e.getLabel() == one || e.getLabel() == other, reactOn("label"));
    }

    /** The edge begins where the other one does, or the junction is. */
    private static <T> PatternDef<Edge> from(PatternDef<Edge> edge, Variable<T> other, Function1<T, Integer> base) {
        return edge.expr("from " + base.hashCode(), other, (e, o) -> e.getP1() == base.apply(o),
            betaIndexedBy(int.class, ConstraintType.EQUAL, 4, Edge::getP1, base::apply, int.class), reactOn("p1"));
    }

    private static final Function1<Edge, Integer> START = Edge::getP1;
    private static final Function1<Junction, Integer> BASE = Junction::getBase;
    private static final List<Function1<Junction, Integer>> ENDS = List.of(Junction::getP1, Junction::getP2, Junction::getP3);

    /** The edge from the junction to its first, second or third end. */
    private static PatternDef<Edge> along(PatternDef<Edge> edge, int end) {
        Function1<Junction, Integer> to = ENDS.get(end - 1);
        return from(edge, junction, BASE).expr("to end " + end, junction, (e, j) -> e.getP2() == to.apply(j),
            betaIndexedBy(int.class, ConstraintType.EQUAL, 5, Edge::getP2, to::apply, int.class), reactOn("p2"));
    }

    private static PatternDef<Edge> otherThan(PatternDef<Edge> edge, String name, Variable<Edge> other) {
        return edge.expr("other than " + name, other, (e, o) -> e.getP2() != o.getP2(), reactOn("p2"));
    }

    private static PatternDef<Edge> behind(PatternDef<Edge> edge, String name, Variable<Edge> other) {
        return edge.expr("behind " + name, other, (e, o) -> e.getP2() > o.getP2(), reactOn("p2"));
    }

    private static void label(Drools drools, Edge edge, int label) {
        edge.setLabel(label);
        drools.update(edge, "label");
    }

    private static void join(Drools drools, Edge... edges) {
        fired++;
        for (Edge edge : edges) {
            edge.setJoined(true);
            drools.update(edge, "joined");
        }
    }

    /** A rule that gives the third edge a label. */
    private static Rule labels(String name, int label, RuleItemBuilder<?>... conditions) {
        RuleItemBuilder<?>[] items = Arrays.copyOf(conditions, conditions.length + 1);
        items[conditions.length] = on(third).execute((drools, edge) -> {
            fired++;
            label(drools, edge, label);
        });
        return rule(name).build(items);
    }

    /** A rule that gives the third edge the label of the first. */
    private static Rule spreads(String name, RuleItemBuilder<?>... conditions) {
        RuleItemBuilder<?>[] items = Arrays.copyOf(conditions, conditions.length + 1);
        items[conditions.length] = on(first, third).execute((drools, from, edge) -> {
            fired++;
            label(drools, edge, from.getLabel());
        });
        return rule(name).build(items);
    }

    private static void addDetection(List<Rule> rules) {
        rules.add(rule("reverse edges").build(in("duplicate"), pattern(line), on(line).execute((drools, l) -> {
            fired++;
            drools.insert(new Edge(l.region(), l.p1(), l.p2()));
            drools.insert(new Edge(l.region(), l.p2(), l.p1()));
            drools.delete(l);
        })));
        rules.add(rule("make 3 junction").attribute(Rule.Attribute.SALIENCE, 10).build(
            in("detect"), unjoined(first),
            behind(from(unjoined(second), first, START), "first", first),
            behind(from(unjoined(third), first, START), "second", second),
            on(first, second, third).execute((drools, a, b, c) -> {
                drools.insert(ofThree(a.getRegion(), a.getP1(), new int[] {a.getP2(), b.getP2(), c.getP2()}));
                join(drools, a, b, c);
            })));
        rules.add(rule("make L").build(
            in("detect"), unjoined(first),
            behind(from(unjoined(second), first, START), "first", first),
            not(otherThan(otherThan(from(pattern(third), first, START), "first", first), "second", second)),
            on(first, second).execute((drools, a, b) -> {
                drools.insert(new Junction(a.getRegion(), Kind.L, a.getP1(), a.getP2(), 0, b.getP2()));
                join(drools, a, b);
            })));
    }

    private static void addBorders(List<Rule> rules, String phase, boolean greatest) {
        PatternDef<Junction> more = pattern(beyond).expr("same region", junction,
            (x, y) -> x.getRegion() == y.getRegion(),
            betaIndexedBy(int.class, ConstraintType.EQUAL, 6, Junction::getRegion, Junction::getRegion, int.class),
            reactOn("region")).expr("beyond " + greatest, junction,
            (x, y) -> greatest ? x.getBase() > y.getBase() : x.getBase() < y.getBase(), reactOn("base"));
        rules.add(rule(phase + " border L").build(in(phase), a(Kind.L), not(more),
            along(labelled(first, NONE), 1), along(pattern(third), 3),
            on(first, third).execute((drools, x, z) -> {
                fired++;
                label(drools, x, BORDER);
                label(drools, z, BORDER);
            })));
        rules.add(rule(phase + " border arrow").build(in(phase), a(Kind.ARROW), not(more),
            along(labelled(first, NONE), 1), along(pattern(second), 2), along(pattern(third), 3),
            on(first, second, third).execute((drools, x, y, z) -> {
                fired++;
                label(drools, x, BORDER);
                label(drools, y, PLUS);
                label(drools, z, BORDER);
            })));
    }

    private static void addLabels(List<Rule> rules) {
        rules.add(spreads("match edge", in("label"),
            pattern(first).expr("labelled", e -> e.getLabel() != NONE, reactOn("label")),
            labelled(third, NONE).expr("begins at its end", first, (t, e) -> t.getP1() == e.getP2(),
                betaIndexedBy(int.class, ConstraintType.EQUAL, 4, Edge::getP1, Edge::getP2, int.class), reactOn("p1"))
                .expr("ends at its begin", first, (t, e) -> t.getP2() == e.getP1(),
                    betaIndexedBy(int.class, ConstraintType.EQUAL, 5, Edge::getP2, Edge::getP1, int.class), reactOn("p2"))));
        rules.add(labels("label L", BORDER, in("label"), a(Kind.L),
            from(labelledEither(first, PLUS, MINUS), junction, BASE),
            otherThan(from(labelled(third, NONE), junction, BASE), "first", first)));
        rules.add(labels("fork 1", PLUS, in("label"), a(Kind.FORK),
            from(labelled(first, PLUS), junction, BASE),
            otherThan(from(labelled(third, NONE), junction, BASE), "first", first)));
        int[][] forks = {{BORDER, MINUS, BORDER}, {BORDER, BORDER, MINUS}, {MINUS, MINUS, MINUS}};
        for (int at = 0; at < forks.length; at++) {
            rules.add(labels("fork " + (at + 2), forks[at][2], in("label"), a(Kind.FORK),
                from(labelled(first, forks[at][0]), junction, BASE),
                otherThan(from(labelled(second, forks[at][1]), junction, BASE), "first", first),
                otherThan(otherThan(from(labelled(third, NONE), junction, BASE), "first", first), "second", second)));
        }
        for (int barb : new int[] {1, 3}) {
            String side = barb == 1 ? " left" : " right";
            rules.add(labels("arrow shaft stands out" + side, PLUS, in("label"), a(Kind.ARROW),
                along(labelledEither(first, BORDER, MINUS), barb), along(labelled(third, NONE), 2)));
            rules.add(spreads("arrow barbs alike" + side, in("label"), a(Kind.ARROW),
                along(labelledEither(first, BORDER, MINUS), barb), along(labelled(third, NONE), 4 - barb)));
            rules.add(labels("arrow shaft goes in" + side, MINUS, in("label"), a(Kind.ARROW),
                along(labelled(first, PLUS), barb), along(labelled(third, NONE), 2)));
            rules.add(labels("arrow barbs stand out" + side, PLUS, in("label"), a(Kind.ARROW),
                along(labelled(first, PLUS), barb), along(labelled(third, NONE), 4 - barb)));
            rules.add(labels("arrow barb stands out" + side, PLUS, in("label"), a(Kind.ARROW),
                along(labelled(first, MINUS), 2), along(labelled(third, NONE), barb)));
        }
    }

    private static PatternDef<Edge> unplotted() {
        return pattern(first).expr("unplotted", e -> !e.isPlotted(),
            alphaIndexedBy(boolean.class, ConstraintType.EQUAL, 7, Edge::isPlotted, false), reactOn("plotted"));
    }

    static List<Rule> rules() {
        List<Rule> rules = new ArrayList<>();
        addDetection(rules);
        addBorders(rules, "first", true);
        addBorders(rules, "second", false);
        addLabels(rules);
        rules.add(rule("plot").build(in("plot"),
            unplotted().expr("labelled", e -> e.getLabel() != NONE, reactOn("label")),
            on(first).execute((drools, edge) -> {
                fired++;
                edge.setPlotted(true);
                drools.update(edge, "plotted");
            })));
        rules.add(rule("plot border").build(in("plot"),
            unplotted().expr("unlabelled", e -> e.getLabel() == NONE, reactOn("label")),
            on(first).execute((drools, edge) -> {
                fired++;
                edge.setLabel(BORDER);
                edge.setPlotted(true);
                drools.update(edge, "label", "plotted");
            })));
        rules.add(rule("stage is over").attribute(Rule.Attribute.SALIENCE, -10).build(
            pattern(stage).expr("not done", s -> s.getPhase() < PHASES.length - 1, reactOn("phase")),
            on(stage).execute((drools, s) -> {
                fired++;
                s.setPhase(s.getPhase() + 1);
                drools.update(s, "phase");
            })));
        return rules;
    }

    /** Above 0 if the second point is counter-clockwise of the first. */
    private static long turn(int base, int to, int from) {
        long x1 = to / SPAN - base / SPAN;
        long y1 = to % SPAN - base % SPAN;
        long x2 = from / SPAN - base / SPAN;
        long y2 = from % SPAN - base % SPAN;
        return x1 * y2 - y1 * x2;
    }

    private static Junction ofThree(int region, int base, int[] ends) {
        int[][] orders = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
        for (int[] order : orders) {
            int a = ends[order[0]];
            int b = ends[order[1]];
            int c = ends[order[2]];
            if (turn(base, a, b) > 0 && turn(base, b, c) > 0 && turn(base, a, c) > 0) {
                return new Junction(region, Kind.ARROW, base, a, b, c);
            }
        }
        return new Junction(region, Kind.FORK, base, ends[0], ends[1], ends[2]);
    }

    static Run.Timed run(KieSession session) {
        fired = 0;
        List<Line> lines = Run.facts().stream().map(f -> new Line(Integer.parseInt(f.get("region")),
            Integer.parseInt(f.get("p1")), Integer.parseInt(f.get("p2")))).toList();
        long start = System.nanoTime();
        lines.forEach(session::insert);
        session.insert(new Stage());
        session.fireAllRules();
        long nanos = System.nanoTime() - start;
        long sum = 0;
        int[] counts = new int[4];
        for (Object object : session.getObjects(Edge.class::isInstance)) {
            Edge edge = (Edge) object;
            counts[edge.getLabel()]++;
            sum += edge.getLabel() * (edge.getP1() + 31L * edge.getP2());
        }
        String checksum = fired + ":" + sum + ":+" + counts[PLUS] + "/-" + counts[MINUS] + "/B" + counts[BORDER];
        return new Run.Timed(nanos, fired, checksum);
    }
}
