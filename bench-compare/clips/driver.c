/* driver WORK SIZE REPEATS DIRECTORY: the works of the bench `engine` on CLIPS 6.40, by its C interface.
 *
 * A line `R WORK SIZE REPEAT SECONDS OPERATIONS CHECKSUM` for each repeat. Each has an environment of its own; building
 * rules is not timed. DIRECTORY holds manners.clp and waltz.clp; their facts come on the standard input, one a line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clips.h"

typedef long long Number;

/* What all works share: the facts of joins and updates, and the tally of what has fired. */
static const char *const SHARED =
    "(defglobal ?*fired* = 0 ?*sum* = 0)"
    "(deftemplate a (slot id) (slot k) (slot v))"
    "(deftemplate b (slot id) (slot k) (slot j))"
    "(deftemplate c (slot id) (slot j))"
    "(deftemplate root (slot id))"
    "(deftemplate node (slot depth) (slot id))"
    "(deffunction tally (?value) (bind ?*fired* (+ ?*fired* 1)) (bind ?*sum* (+ ?*sum* ?value)))";

static const struct { const char *work, *rules; } WORKS[] = {
    {"alpha10", "(defrule tenth (a (id ?i) (v ?v&:(< ?v 100))) => (tally ?i))"},
    {"alpha100", "(defrule every (a (id ?i) (v ?v&:(< ?v 1000))) => (tally ?i))"},
    {"join2", "(defrule pair (a (id ?i) (k ?k)) (b (id ?j) (k ?k)) => (tally (+ (* 31 ?i) ?j)))"},
    {"join3", "(defrule triple (a (id ?i) (k ?k)) (b (id ?j) (k ?k) (j ?x)) (c (id ?l) (j ?x))"
              " => (tally (+ (* 31 ?i) (* 17 ?j) ?l)))"},
    {"update", "(defrule set (a (id ?i) (v 1)) => (tally ?i))"},
    {"updjoin", "(defrule set (a (id ?i) (k ?k) (v 1)) (b (id ?j) (k ?k)) => (tally (+ (* 31 ?i) ?j)))"},
    {"not", "(defrule alone (a (id ?i) (k ?k)) (not (b (k ?k))) => (tally ?i))"},
    {"exists", "(defrule accompanied (a (id ?i) (k ?k)) (exists (b (k ?k))) => (tally ?i))"},
};

static Environment *env;
static FactBuilder *builders[4];
static FactModifier *modifier;
enum { A, B, C, ROOT };
static const char *const TEMPLATES[] = {"a", "b", "c", "root"};
static const char *const FIELDS[][3] = {{"id", "k", "v"}, {"id", "k", "j"}, {"id", "j", NULL}, {"id", NULL, NULL}};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

static void fail(const char *what) {
    fprintf(stderr, "driver: %s\n", what);
    exit(1);
}

static void build(const char *constructs) {
    /* One construct a call: they follow each other as `(...)(...)`. */
    char construct[4096];
    for (const char *at = constructs; *at;) {
        size_t depth = 0, len = 0;
        do {
            depth += at[len] == '(';
            depth -= at[len] == ')';
            construct[len] = at[len];
        } while (++len < sizeof construct - 1 && depth);
        construct[len] = 0;
        if (Build(env, construct) != BE_NO_ERROR) fail(construct);
        at += len;
    }
}

static Number number(const char *expression) {
    CLIPSValue value;
    if (Eval(env, expression, &value) != EE_NO_ERROR || value.header->type != INTEGER_TYPE) fail(expression);
    return value.integerValue->contents;
}

static Fact *insert(int kind, Number x, Number y, Number z) {
    const Number values[] = {x, y, z};
    for (int slot = 0; slot < 3 && FIELDS[kind][slot]; slot++) {
        FBPutSlotInteger(builders[kind], FIELDS[kind][slot], values[slot]);
    }
    Fact *fact = FBAssert(builders[kind]);
    if (!fact) fail("a fact is there twice");
    RetainFact(fact);
    return fact;
}

static void delete(Fact *fact) {
    Retract(fact);
    ReleaseFact(fact);
}

static Fact *set_v(Fact *fact, Number v) {
    FMSetFact(modifier, fact);
    FMPutSlotInteger(modifier, "v", v);
    Fact *changed = FMModify(modifier);
    if (changed != fact) {
        RetainFact(changed);
        ReleaseFact(fact);
    }
    return changed;
}

/* Only what comes before the last `fire` counts, less what is asked in between. */
static double end, asked;

static void fire(void) {
    Run(env, -1);
    end = now();
}

static Number ask_between(const char *expression) {
    double since = now();
    Number answer = number(expression);
    asked += now() - since;
    return answer;
}

static Fact **many(Number count) {
    Fact **facts = malloc((size_t) count * sizeof *facts);
    if (!facts) fail("no memory");
    return facts;
}

/* Each work returns its operations and sets where its time began, if that is not at once. */
static Number alpha(Number n) {
    for (Number id = 0; id < n; id++) insert(A, id, 0, id * 7919 % 1000);
    fire();
    return n;
}

static Number joins(Number n, int three) {
    for (Number id = 0; id < n; id++) insert(A, id, id, 0);
    for (Number id = 0; id < n; id++) insert(B, id, (id * 7919 + 13) % n, three ? (id * 104729 + 7) % n : 0);
    for (Number id = 0; three && id < n; id++) insert(C, id, id, 0);
    fire();
    return (three ? 3 : 2) * n;
}

static Number updates(Number n, int joined, Number batch, double *start) {
    Fact **facts = many(n);
    char *v = calloc((size_t) n, 1);
    for (Number id = 0; id < n; id++) facts[id] = insert(A, id, id, 0);
    for (Number id = 0; joined && id < n; id++) insert(B, id, (id * 7919 + 13) % n, 0);
    fire();
    *start = now();
    for (Number u = 0; u < 10 * n; u++) {
        Number at = u * 7919 % n;
        v[at] ^= 1;
        facts[at] = set_v(facts[at], v[at]);
        if ((u + 1) % batch == 0) fire();
    }
    fire();
    free(v);
    free(facts);
    return 10 * n;
}

static Number presence(Number n, Number per) {
    Number others = n / 2 * per;
    Fact **facts = many(others);
    for (Number id = 0; id < n; id++) insert(A, id, id, 0);
    for (int again = 0; again < 2; again++) {
        for (Number id = 0; id < others; id++) facts[id] = insert(B, id, 2 * (id / per), 0);
        fire();
        for (Number id = 0; id < others; id += again ? per : 1) delete(facts[id]);
        fire();
    }
    free(facts);
    return n + 3 * others + n / 2;
}

static Number truth(Number n, char *checksum) {
    Fact **roots = many(n);
    for (Number id = 0; id < n; id++) roots[id] = insert(ROOT, id, 0, 0);
    fire();
    Number between = ask_between("(length$ (find-all-facts ((?f root node)) TRUE))");
    for (Number id = 0; id < n; id++) delete(roots[id]);
    fire();
    Number left = number("(length$ (find-all-facts ((?f root node)) TRUE))");
    sprintf(checksum, "%lld:%lld:%lld", number("?*fired*"), between, left);
    free(roots);
    return 20 * n;
}

static char (*lines)[96];
static Number line_count;

static void read_lines(void) {
    size_t room = 0;
    char line[96];
    while (fgets(line, sizeof line, stdin)) {
        if ((size_t) line_count == room) {
            room = room ? 2 * room : 1024;
            lines = realloc(lines, room * sizeof *lines);
            if (!lines) fail("no memory");
        }
        memcpy(lines[line_count++], line, sizeof line);
    }
    if (!line_count) fail("no facts on the standard input");
}

static void assert_lines(void) {
    for (Number at = 0; at < line_count; at++) {
        if (!AssertString(env, lines[at])) fail(lines[at]);
    }
}

static Number manners(Number n, char *checksum) {
    assert_lines();
    char last[64];
    sprintf(last, "(last-seat (seat %lld))", n);
    AssertString(env, last);
    AssertString(env, "(count (next 1))");
    AssertString(env, "(context (state start))");
    fire();
    sprintf(checksum, "%lld:%s", number("?*fired*"), number("(seated)") == n ? "valid" : "invalid");
    return number("?*fired*");
}

static Number waltz(char *checksum) {
    assert_lines();
    AssertString(env, "(stage (is duplicate))");
    fire();
    sprintf(checksum, "%lld:%lld:+%lld/-%lld/B%lld", number("?*fired*"), number("(sum-of-labels)"),
        number("(count-of-label 1)"), number("(count-of-label 2)"), number("(count-of-label 3)"));
    return number("?*fired*");
}

static void build_work(const char *work, const char *directory) {
    if (!strcmp(work, "manners") || !strcmp(work, "waltz")) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s.clp", directory, work);
        if (Load(env, path) != LE_NO_ERROR) fail(path);
        return;
    }
    build(SHARED);
    if (!strcmp(work, "tms")) {
        build("(defrule begin (logical (root (id ?i))) => (tally 1) (assert (node (depth 1) (id ?i))))");
        for (int depth = 1; depth < 10; depth++) {
            char rule[256];
            sprintf(rule, "(defrule deeper-%d (logical (node (depth %d) (id ?i))) => (tally 1)"
                          " (assert (node (depth %d) (id ?i))))", depth, depth, depth + 1);
            build(rule);
        }
    } else if (!strcmp(work, "alphahash")) {
        for (int value = 0; value < 100; value++) {
            char rule[128];
            sprintf(rule, "(defrule r%d (a (id ?i) (v %d)) => (tally (+ ?i %d)))", value, value, value);
            build(rule);
        }
    } else {
        size_t len = strlen(work) - (strcmp(work, "updjoinB") ? 0 : 1);
        for (size_t at = 0; at < sizeof WORKS / sizeof *WORKS; at++) {
            if (strlen(WORKS[at].work) == len && !strncmp(WORKS[at].work, work, len)) build(WORKS[at].rules);
        }
    }
    Reset(env);
    for (int kind = A; kind <= ROOT; kind++) builders[kind] = CreateFactBuilder(env, TEMPLATES[kind]);
    modifier = CreateFactModifier(env, NULL);
}

int main(int count, char **args) {
    if (count != 5) fail("usage: driver WORK SIZE REPEATS DIRECTORY");
    const char *work = args[1];
    Number n = atoll(args[2]);
    int is_manners = !strcmp(work, "manners"), is_waltz = !strcmp(work, "waltz");
    if (is_manners || is_waltz) read_lines();
    for (int repeat = 0; repeat < atoi(args[3]); repeat++) {
        env = CreateEnvironment();
        build_work(work, args[4]);
        Reset(env);
        char checksum[128] = "";
        asked = 0;
        double start = now();
        Number operations = 0;
        if (is_manners) operations = manners(n, checksum);
        else if (is_waltz) operations = waltz(checksum);
        else if (!strncmp(work, "alpha", 5)) operations = alpha(n);
        else if (!strncmp(work, "join", 4)) operations = joins(n, work[4] == '3');
        else if (!strcmp(work, "update")) operations = updates(n, 0, 1, &start);
        else if (!strncmp(work, "updjoin", 7)) operations = updates(n, 1, work[7] ? 1000 : 1, &start);
        else if (!strcmp(work, "not")) operations = presence(n, 1);
        else if (!strcmp(work, "exists")) operations = presence(n, 2);
        else if (!strcmp(work, "tms")) operations = truth(n, checksum);
        else fail("no such work");
        double seconds = end - start - asked;
        if (!*checksum) sprintf(checksum, "%lld:%lld", number("?*fired*"), number("?*sum*"));
        printf("R %s %lld %d %.6f %lld %s\n", work, n, repeat, seconds, operations, checksum);
        fflush(stdout);
        if (!is_manners && !is_waltz) {
            for (int kind = A; kind <= ROOT; kind++) FBDispose(builders[kind]);
            FMDispose(modifier);
        }
        DestroyEnvironment(env);
    }
    return 0;
}
