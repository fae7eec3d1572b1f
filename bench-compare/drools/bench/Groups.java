package bench;

import static org.drools.model.DSL.accFunction;
import static org.drools.model.DSL.declarationOf;
import static org.drools.model.DSL.on;
import static org.drools.model.PatternDSL.groupBy;
import static org.drools.model.PatternDSL.pattern;
import static org.drools.model.PatternDSL.reactOn;
import static org.drools.model.PatternDSL.rule;

import java.io.ObjectInput;
import java.io.ObjectOutput;
import java.io.Serializable;
import java.util.List;
import org.drools.core.base.accumulators.CountAccumulateFunction;
import org.drools.model.Rule;
import org.drools.model.Variable;
import org.kie.api.runtime.KieSession;
import org.kie.api.runtime.rule.AccumulateFunction;
import org.kie.api.runtime.rule.FactHandle;

/** Sum and count by group, of items whose values change. */
final class Groups {
    private Groups() {}

    public static final class Item {
        private final int group;
        private int value;

        Item(int group, int value) {
            this.group = group;
            this.value = value;
        }

        public int getGroup() { return group; }
        public int getValue() { return value; }
        public void setValue(int value) { this.value = value; }
    }

    /** A sum that can be taken back: the package has none of whole numbers. */
    public static final class Sum implements AccumulateFunction<Sum.Total> {
        public static final class Total implements Serializable {
            private long total;
        }

        @Override public Total createContext() { return new Total(); }
        @Override public void init(Total context) { context.total = 0; }
        @Override public void accumulate(Total context, Object value) { context.total += (Integer) value; }
        @Override public void reverse(Total context, Object value) { context.total -= (Integer) value; }
        @Override public Object getResult(Total context) { return context.total; }
        @Override public boolean supportsReverse() { return true; }
        @Override public Class<?> getResultType() { return Long.class; }
        @Override public void writeExternal(ObjectOutput out) {}
        @Override public void readExternal(ObjectInput in) {}
    }

    private static long[] sums;
    private static long[] counts;

    static List<Rule> rules() {
        Variable<Item> item = declarationOf(Item.class);
        Variable<Integer> value = declarationOf(Integer.class);
        Variable<Integer> group = declarationOf(Integer.class);
        Variable<Long> sum = declarationOf(Long.class);
        Variable<Long> count = declarationOf(Long.class);
        return List.of(rule("groups").build(
            groupBy(pattern(item).bind(value, Item::getValue, reactOn("value", "group")), item, group, Item::getGroup,
                accFunction(Sum::new, value).as(sum), accFunction(CountAccumulateFunction::new, value).as(count)),
            on(group, sum, count).execute((g, s, c) -> {
                sums[g] = s;
                counts[g] = c;
            })));
    }

    static Run.Timed run(KieSession session, int n, int batch) {
        int groups = n / 100;
        sums = new long[groups];
        counts = new long[groups];
        Item[] items = new Item[n];
        FactHandle[] handles = new FactHandle[n];
        long start = System.nanoTime();
        for (int id = 0; id < n; id++) handles[id] = session.insert(items[id] = new Item(id % groups, id % 1000));
        session.fireAllRules();
        for (int u = 0; u < 2 * n; u++) {
            int at = (int) (u * 7919L % n);
            items[at].setValue((int) ((items[at].getValue() * 31L + u) % 1000));
            session.update(handles[at], items[at], "value");
            if ((u + 1) % batch == 0) session.fireAllRules();
        }
        session.fireAllRules();
        long nanos = System.nanoTime() - start;
        long checksum = 0;
        for (int group = 0; group < groups; group++) checksum += (group + 1L) * sums[group] + counts[group];
        return new Run.Timed(nanos, 3L * n, Long.toString(checksum));
    }
}
