#!/usr/bin/env bash
# Breaks the store in one place at a time and asks the tests. Each line of `list`: name @ files of src
# (without .rs) @ sed script. Every mutant must be caught.
# ONLY: a pattern of lines. KEEP: a folder to work in that stays, so that the next run builds less.
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
root=$(cd "$here/../.." && pwd)
work=${KEEP:-$(mktemp -d)}
[ -n "${KEEP:-}" ] || trap 'rm -rf "$work"' EXIT
export RUST_BACKTRACE=0 CARGO_TARGET_DIR=$work/target

# The part of the workspace that the crate needs, built for speed of building.
copy=$work/copy crate=$work/copy/log-store/embedded
mkdir -p "$crate" "$copy/log-store/contract"
awk '/^members = \[/ { print "members = [\"log-store/contract\", \"log-store/embedded\"]"; skip = 1 }
     skip && /\]/ { skip = 0; next }
     skip || /^default-members|^exclude/ { next }
     /^\[profile/ { exit }
     { print }' "$root/Cargo.toml" > "$copy/Cargo.toml"
printf '[profile.dev]\nopt-level = 1\ndebug = false\nincremental = true\n' >> "$copy/Cargo.toml"
cp "$root/Cargo.lock" "$root/.clippy.toml" "$copy"
cp -r "$root/log-store/contract/." "$copy/log-store/contract"
cp -r "$here/Cargo.toml" "$here/src" "$here/tests" "$here/benches" "$crate"

ask() { # arguments of cargo test
  (cd "$crate" && nice timeout 240 cargo test --offline "$@" > "$work/log" 2>&1)
}
all=0 caught=0
while IFS='@' read -r name files script; do
  all=$((all + 1))
  rm -rf "$crate/src" && cp -r "$here/src" "$crate"
  for file in $files; do
    sed -i "$script" "$crate/src/$file.rs"
  done
  if diff -rq "$here/src" "$crate/src" > /dev/null; then
    verdict="UNCHANGED"
  elif ! ask --no-run; then
    verdict="DOES NOT BUILD"
  elif ask --lib && ask --test conformance; then
    verdict="LIVES"
  else
    verdict="caught: $(grep -A1 -m1 'panicked at' "$work/log" | tail -1 | cut -c1-70)"
    caught=$((caught + 1))
  fi
  printf '%-55s %s\n' "${name% }" "$verdict"
done < <(grep -E "${ONLY:-.}" "$here/mutants/list")
echo "$caught of $all caught"
[ "$caught" -eq "$all" ]
