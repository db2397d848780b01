#!/usr/bin/env bash
# Breaks the core in one place at a time and asks the tests. Each line of `list`: name @ files of src
# (without .rs) @ sed script. Every mutant must be caught.
# NICE: how to run (default: nice). JOBS: how many at once. SEEDS: of the simulation. ONLY: a pattern
# of lines. LIST: another list. KEEP: a folder to work in that stays, so that the next run builds less.
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
root=$(cd "$here/../.." && pwd)
work=${KEEP:-$(mktemp -d)}
mkdir -p "$work"
[ -n "${KEEP:-}" ] || trap 'rm -rf "$work"' EXIT
jobs=${JOBS:-2} nice=${NICE-nice}
export SEEDS=${SEEDS:-8000} RUST_BACKTRACE=0

# A mutant that takes without end is stopped at 90 seconds, or at 4 GiB.
# Which tests are asked, the cheap ones first: each is built only if those before it saw nothing.
stages() { # files
  case " $1 " in
    *" halt "*) echo --lib ;;
    *" scale "* | *" share "*) echo --lib --test=scaling ;;
    *" memo "*) echo --lib --test=behaviours --test=simulation ;;
    *) echo --test=behaviours --test=simulation ;;
  esac
}

# The part of the workspace that the crate needs, built for speed of building.
copy_workspace() { # folder
  mkdir -p "$1/runtime/trigger" "$1/log-store/contract"
  awk '/^members = \[/ { print "members = [\"log-store/contract\", \"runtime/trigger\"]"; skip = 1 }
       skip && /\]/ { skip = 0; next }
       skip || /^default-members|^exclude/ { next }
       /^\[profile/ { exit }
       { print }' "$root/Cargo.toml" > "$1/Cargo.toml"
  printf '[profile.dev]\nopt-level = 1\ndebug = false\nincremental = true\n' >> "$1/Cargo.toml"
  cp "$root/Cargo.lock" "$root/.clippy.toml" "$1"
  cp -r "$root/log-store/contract/." "$1/log-store/contract"
  cp -r "$here/Cargo.toml" "$here/src" "$here/tests" "$1/runtime/trigger"
  [ ! -d "$here/benches" ] || cp -r "$here/benches" "$1/runtime/trigger"
  [ ! -d "$here/examples" ] || cp -r "$here/examples" "$1/runtime/trigger"
}

try() { # worker number
  local copy=$work/$1 nth=0 name files script verdict why crate
  copy_workspace "$copy"
  crate=$copy/runtime/trigger
  export CARGO_TARGET_DIR=$copy/target
  while IFS='@' read -r name files script; do
    nth=$((nth + 1))
    [ $((nth % jobs)) -eq "$1" ] || continue
    rm -rf "$crate/src" && cp -r "$here/src" "$crate"
    for file in $files; do
      sed -i "$script" "$crate/src/$file.rs"
    done
    if diff -rq "$here/src" "$crate/src" > "$copy/diff"; then
      verdict="UNCHANGED"
    else
      verdict="LIVES"
      for stage in $(stages "$files"); do
        if ! (cd "$crate" && $nice cargo test --offline --no-run "$stage" > "$copy/log" 2>&1); then
          verdict="DOES NOT BUILD"
        elif ! (cd "$crate" && ulimit -v 4194304 && $nice timeout 90 cargo test --offline "$stage" > "$copy/log" 2>&1); then
          why=$(grep -A1 -m1 'panicked at' "$copy/log" | tail -1 | cut -c1-70)
          verdict="caught: ${why:-hangs}"
        else
          continue
        fi
        break
      done
    fi
    printf '%-55s %s\n' "${name% }" "$verdict"
  done < <(grep -E "${ONLY:-.}" "${LIST:-$here/mutants/list}")
}

for worker in $(seq 0 $((jobs - 1))); do try "$worker" & done > "$work/all"
tail -f "$work/all" & watch=$!
wait $(jobs -p | grep -v "^$watch$")
sleep 1
kill $watch
total=$(wc -l < "$work/all")
caught=$(grep -c ' caught: ' "$work/all")
echo "$caught of $total caught"
[ "$caught" -eq "$total" ]
