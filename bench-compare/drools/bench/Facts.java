package bench;

/** The facts of the works. Getters are what Drools finds properties by. */
public final class Facts {
    private Facts() {}

    public static final class A {
        private final int id;
        private final int k;
        private int v;

        A(int id, int k) { this.id = id; this.k = k; }

        public int getId() { return id; }
        public int getK() { return k; }
        public int getV() { return v; }
        public void setV(int v) { this.v = v; }
    }

    public static final class B {
        private final int id;
        private final int k;
        private final int j;

        B(int id, int k, int j) { this.id = id; this.k = k; this.j = j; }

        public int getId() { return id; }
        public int getK() { return k; }
        public int getJ() { return j; }
    }

    public static final class C {
        private final int id;
        private final int j;

        C(int id, int j) { this.id = id; this.j = j; }

        public int getId() { return id; }
        public int getJ() { return j; }
    }
}
