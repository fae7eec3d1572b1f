package bench;

import static org.drools.model.DSL.declarationOf;
import static org.drools.model.DSL.exists;
import static org.drools.model.DSL.not;
import static org.drools.model.DSL.on;
import static org.drools.model.PatternDSL.alphaIndexedBy;
import static org.drools.model.PatternDSL.betaIndexedBy;
import static org.drools.model.PatternDSL.pattern;
import static org.drools.model.PatternDSL.reactOn;
import static org.drools.model.PatternDSL.rule;

import bench.Facts.A;
import bench.Facts.B;
import bench.Facts.C;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.drools.model.Index.ConstraintType;
import org.drools.model.PatternDSL.PatternDef;
import org.drools.model.Rule;
import org.drools.model.Variable;
import org.drools.model.impl.ModelImpl;
import org.drools.modelcompiler.KieBaseBuilder;
import org.kie.api.KieBase;
import org.kie.api.runtime.KieSession;
import org.kie.api.runtime.rule.FactHandle;

/**
 * {@code java bench.Run WORK SIZE REPEATS}: a line {@code R WORK SIZE REPEAT SECONDS OPERATIONS CHECKSUM} for each repeat.
 *
 * <p>Rules are executable models with indexed constraints: what Drools does best. Each repeat has a session of its own;
 * building rules is not timed.
 */
public final class Run {
    private static long fired;
    private static long sum;

    private Run() {}

    private static void fire(long value) {
        fired++;
        sum += value;
    }

    private static int key(long at, long factor, long shift, int n) {
        return (int) ((at * factor + shift) % n);
    }

    private static final Variable<A> a = declarationOf(A.class);
    private static final Variable<B> b = declarationOf(B.class);
    private static final Variable<C> c = declarationOf(C.class);

    private static PatternDef<A> set() {
        return pattern(a).expr("set", x -> x.getV() == 1,
            alphaIndexedBy(int.class, ConstraintType.EQUAL, 0, A::getV, 1), reactOn("v"));
    }

    private static PatternDef<B> withA() {
        return pattern(b).expr("sameK", a, (y, x) -> y.getK() == x.getK(),
            betaIndexedBy(int.class, ConstraintType.EQUAL, 0, B::getK, A::getK, int.class), reactOn("k"));
    }

    private static PatternDef<C> withB() {
        return pattern(c).expr("sameJ", b, (z, y) -> z.getJ() == y.getJ(),
            betaIndexedBy(int.class, ConstraintType.EQUAL, 1, C::getJ, B::getJ, int.class), reactOn("j"));
    }

    private static List<Rule> rules(String work) {
        return switch (work) {
            case "alpha10" -> List.of(below(100));
            case "alpha100" -> List.of(below(1000));
            case "alphahash" -> IntStream.range(0, 100).mapToObj(Run::equalTo).toList();
            case "manners" -> Manners.rules();
            case "waltz" -> Waltz.rules();
            case "groupby", "groupbyB" -> Groups.rules();
            default -> List.of(ruleOf(work));
        };
    }

    private static Rule below(int limit) {
        return rule("below").build(
            pattern(a).expr("below", x -> x.getV() < limit,
                alphaIndexedBy(int.class, ConstraintType.LESS_THAN, 0, A::getV, limit), reactOn("v")),
            on(a).execute(x -> fire(x.getId())));
    }

    private static Rule equalTo(int value) {
        return rule("equal to " + value).build(
            pattern(a).expr("equal to " + value, x -> x.getV() == value,
                alphaIndexedBy(int.class, ConstraintType.EQUAL, 0, A::getV, value), reactOn("v")),
            on(a).execute(x -> fire(x.getId() + value)));
    }

    private static Rule ruleOf(String work) {
        switch (work) {
            case "join2":
                return rule(work).build(pattern(a), withA(),
                    on(a, b).execute((x, y) -> fire(31L * x.getId() + y.getId())));
            case "join3":
                return rule(work).build(pattern(a), withA(), withB(),
                    on(a, b, c).execute((x, y, z) -> fire(31L * x.getId() + 17L * y.getId() + z.getId())));
            case "update":
                return rule(work).build(set(), on(a).execute(x -> fire(x.getId())));
            case "updjoin":
            case "updjoinB":
                return rule(work).build(set(), withA(),
                    on(a, b).execute((x, y) -> fire(31L * x.getId() + y.getId())));
            case "not":
                return rule(work).build(pattern(a), not(withA()), on(a).execute(x -> fire(x.getId())));
            case "exists":
                return rule(work).build(pattern(a), exists(withA()), on(a).execute(x -> fire(x.getId())));
            default:
                throw new IllegalArgumentException("no work " + work);
        }
    }

    /** What was timed, how many operations it was, and what proves that it was done. */
    record Timed(long nanos, long operations, String checksum) {
        Timed(long nanos, long operations) {
            this(nanos, operations, fired + ":" + sum);
        }
    }

    private static final Pattern SLOT = Pattern.compile("\\((\\w+) ([^ ()]+)\\)");
    private static final List<Map<String, String>> FACTS = new ArrayList<>();

    /** The facts on the standard input, by their slots: {@code (guest (name 1) (sex m) (hobby 2))}, one a line. */
    static List<Map<String, String>> facts() {
        if (FACTS.isEmpty()) {
            new BufferedReader(new InputStreamReader(System.in)).lines().forEach(line -> {
                Map<String, String> slots = new HashMap<>();
                SLOT.matcher(line).results().forEach(slot -> slots.put(slot.group(1), slot.group(2)));
                FACTS.add(slots);
            });
        }
        return FACTS;
    }

    private static Timed alpha(KieSession session, int n) {
        long start = System.nanoTime();
        for (int id = 0; id < n; id++) {
            A fact = new A(id, 0);
            fact.setV(key(id, 7919, 0, 1000));
            session.insert(fact);
        }
        session.fireAllRules();
        return new Timed(System.nanoTime() - start, n);
    }

    private static Timed joins(KieSession session, int n, boolean three) {
        long start = System.nanoTime();
        for (int id = 0; id < n; id++) session.insert(new A(id, id));
        for (int id = 0; id < n; id++) {
            session.insert(new B(id, key(id, 7919, 13, n), three ? key(id, 104729, 7, n) : 0));
        }
        for (int id = 0; three && id < n; id++) session.insert(new C(id, id));
        session.fireAllRules();
        return new Timed(System.nanoTime() - start, (three ? 3L : 2L) * n);
    }

    private static Timed updates(KieSession session, int n, boolean joined, int batch) {
        A[] facts = new A[n];
        FactHandle[] handles = new FactHandle[n];
        for (int id = 0; id < n; id++) handles[id] = session.insert(facts[id] = new A(id, id));
        for (int id = 0; joined && id < n; id++) session.insert(new B(id, key(id, 7919, 13, n), 0));
        session.fireAllRules();
        fired = 0;
        sum = 0;
        int count = 10 * n;
        long start = System.nanoTime();
        for (int u = 0; u < count; u++) {
            int at = key(u, 7919, 0, n);
            facts[at].setV(1 - facts[at].getV());
            session.update(handles[at], facts[at], "v");
            if ((u + 1) % batch == 0) session.fireAllRules();
        }
        session.fireAllRules();
        return new Timed(System.nanoTime() - start, count);
    }

    private static Timed presence(KieSession session, int n, int per) {
        int others = n / 2 * per;
        FactHandle[] handles = new FactHandle[others];
        long start = System.nanoTime();
        for (int id = 0; id < n; id++) session.insert(new A(id, id));
        for (int id = 0; id < others; id++) handles[id] = session.insert(new B(id, 2 * (id / per), 0));
        session.fireAllRules();
        for (int id = 0; id < others; id++) session.delete(handles[id]);
        session.fireAllRules();
        for (int id = 0; id < others; id++) handles[id] = session.insert(new B(id, 2 * (id / per), 0));
        session.fireAllRules();
        for (int id = 0; id < others; id += per) session.delete(handles[id]);
        session.fireAllRules();
        return new Timed(System.nanoTime() - start, n + 3L * others + n / 2);
    }

    private static Timed run(String work, KieSession session, int n) {
        switch (work) {
            case "alpha10":
            case "alpha100":
            case "alphahash":
                return alpha(session, n);
            case "join2":
            case "join3":
                return joins(session, n, work.equals("join3"));
            case "update":
            case "updjoin":
                return updates(session, n, work.equals("updjoin"), 1);
            case "updjoinB":
                return updates(session, n, true, 1000);
            case "groupby":
                return Groups.run(session, n, 1);
            case "groupbyB":
                return Groups.run(session, n, 1000);
            case "manners":
                return Manners.run(session, n);
            case "waltz":
                return Waltz.run(session);
            default:
                return presence(session, n, work.equals("not") ? 1 : 2);
        }
    }

    public static void main(String[] args) {
        String work = args[0];
        int size = Integer.parseInt(args[1]);
        int repeats = Integer.parseInt(args[2]);
        ModelImpl model = new ModelImpl();
        rules(work).forEach(model::addRule);
        KieBase rules = KieBaseBuilder.createKieBaseFromModel(model);
        for (int repeat = 0; repeat < repeats; repeat++) {
            fired = 0;
            sum = 0;
            KieSession session = rules.newKieSession();
            Timed timed = run(work, session, size);
            System.out.printf(java.util.Locale.ROOT, "R %s %d %d %.6f %d %s%n",
                work, size, repeat, timed.nanos() / 1e9, timed.operations(), timed.checksum());
            session.dispose();
            System.gc();
        }
    }
}
