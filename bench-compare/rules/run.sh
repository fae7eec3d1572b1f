#!/bin/sh
# run.sh WORK ENGINE SIZE prints one line: WORK ENGINE SIZE SECONDS OPERATIONS/S - CHECKSUM n=SAMPLES,
# with the median of the samples. run.sh --list builds what is missing and lists the engines.
#
# REPS is how many repeats native engines make (3), WARM how many a warm virtual machine does not count (6).
set -eu
cd "$(dirname "$0")"
compare=$(cd .. && pwd)

peers=rust-peers/target/release/rust-peers
classes=drools/classes
clips=clips/driver64
jar=$(find "$compare/cache" -name '*.jar' -path '*drools*' 2>/dev/null | head -n 1)

# The core of CLIPS, out of the package that cargo brings.
clips_core() {
    cargo metadata --locked --format-version 1 --manifest-path "$compare/Cargo.toml" |
        grep -o '"manifest_path":"[^"]*/clips-sys-[^"]*/Cargo.toml"' | head -n 1 |
        sed 's|^"manifest_path":"\(.*\)/Cargo.toml"$|\1/CLIPS/core|'
}

build_clips() {
    core=$(clips_core)
    [ -f "$core/clips.h" ] || { echo "# no CLIPS: \`cargo fetch\` brings it" >&2; return 0; }
    mkdir -p clips/objects
    for source in "$core"/*.c; do
        object=clips/objects/$(basename "$source" .c).o
        case $source in */main.c) continue ;; esac
        [ -f "$object" ] || cc -O3 -w -c -I"$core" -o "$object" "$source"
    done
    cc -O2 -I"$core" -o "$clips" "$compare/clips/driver.c" clips/objects/*.o -lm
}

build() {
    [ -x "$clips" ] || build_clips
    [ -x "$peers" ] || cargo build --release --quiet --manifest-path "$compare/Cargo.toml" --target-dir rust-peers/target
    [ -n "$jar" ] || { echo "# no Drools: see README.md" >&2; return 0; }
    if [ ! -f "$classes/bench/Run.class" ]; then
        mkdir -p "$classes"
        javac -nowarn -proc:none -cp "$jar" -d "$classes" "$compare"/drools/bench/*.java
    fi
}

# The median of the lines `R WORK SIZE REPEAT SECONDS OPERATIONS CHECKSUM` behind the first $1.
median() {
    grep '^R ' | tail -n "+$(($1 + 1))" | sort -k 5,5g | awk -v engine="$2" '
        { line[NR] = $0; sums[$7] = 1 }
        END {
            if (!NR) { exit 1 }
            split(line[int((NR + 1) / 2)], f, " ")
            for (sum in sums) { all = all (all ? "|" : "") sum }
            printf "%s %s %s %s %.0f - %s n=%d\n", f[2], engine, f[3], f[5], f[6] / f[5], all, NR
        }'
}

build
if [ "${1-}" = --list ]; then
    echo "dd hand clips6.40 clips6.40-depth drools-cold drools-tuned"
    exit 0
fi
work=$1 engine=$2 size=$3
warm=${WARM:-6} repeats=${REPS:-3}
# Manners and Waltz get the facts of the examples.
facts=/dev/null
case $work in
    manners | waltz)
        facts=facts-$work-$size
        [ -f "$facts" ] || "./$peers" facts "$work" "$size" > "$facts"
        ;;
esac
case $engine in
    dd | hand) "./$peers" "$engine" "$work" "$size" "$repeats" | median 0 "$engine" ;;
    clips6.40 | clips6.40-depth)
        "./$clips" "$work" "$size" "$repeats" "$compare/clips" < "$facts" | median 0 "$engine" ;;
    drools-tuned)
        java -Xmx8g -Xms4g -XX:+UseParallelGC -cp "$jar:$classes" bench.Run "$work" "$size" $((2 * warm)) < "$facts" |
            median "$warm" "$engine" ;;
    drools-cold)
        for _ in $(seq "$repeats"); do
            java -Xmx8g -cp "$jar:$classes" bench.Run "$work" "$size" 1 < "$facts"
        done | median 0 "$engine" ;;
    *) echo "no engine $engine" >&2; exit 1 ;;
esac
