//! What the workloads run, and what bpftrace is told.

pub(super) const AGENT: &str = r#"set -e
cd "$(mktemp -d)"
git init -q . && git config user.email a@b && git config user.name a
for i in 1 2 3 4 5 6 7 8; do
  printf 'int f%s(int x) { return x + %s; }\n' $i $i > f$i.c
  printf '#!/usr/bin/env python3\nprint(%s)\n' $i > s$i.py
done
for round in 1 2 3; do
  echo $round > round.txt
  ls -la > /dev/null; find . -name '*.c' | sort | head -5 > /dev/null
  grep -rn "return" --include='*.c' . | wc -l > /dev/null
  for i in 1 2 3 4 5 6 7 8; do gcc -O1 -c f$i.c -o f$i.o; done
  for i in 1 2 3; do python3 s$i.py > /dev/null; done
  for f in *.c; do sed -n 1,5p "$f" | tr a-z A-Z | cut -c1-20 > /dev/null; done
  git add -A; git commit -qm "round $round"; git status --short > /dev/null; git log --oneline | head -3 > /dev/null
  git diff HEAD --stat > /dev/null
done
"#;

/// The same events, printed: of the whole machine, since bpftrace does not follow a tree.
pub(super) const BPFTRACE: &str = r#"tracepoint:sched:sched_process_fork { printf("fork %d %d\n", args->parent_pid, args->child_pid); }
tracepoint:syscalls:sys_enter_execve { printf("exec %d ", pid); join(args->argv); }
tracepoint:sched:sched_process_exit { printf("exit %d\n", pid); }
"#;

pub(super) const LOOP: &str = r#"i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i+1)); done"#;

pub(super) const MAKE: &str = r#"set -e
cd "$(mktemp -d)"
i=0; while [ $i -lt 40 ]; do printf '#include <stdio.h>\nint f%s(void) { return printf("%%d", %s); }\n' $i $i > f$i.c; i=$((i+1)); done
printf 'OBJS := $(patsubst %%.c,%%.o,$(wildcard *.c))\nall: $(OBJS)\n\tar rcs lib.a $(OBJS)\n%%.o: %%.c\n\tgcc -O1 -c $< -o $@\n' > Makefile
make -s -j2
"#;

pub(super) const GIT: &str = r#"set -e
cd "$(mktemp -d)"
git init -q . && git config user.email a@b && git config user.name a
i=0; while [ $i -lt 50 ]; do echo $i > f; git add f; git commit -qm "c$i"; git status --short > /dev/null; git log --oneline -1 > /dev/null; i=$((i+1)); done
"#;

pub(super) const FILES: &str = r#"find /usr/include /usr/lib/python3 /usr/share/doc -type f 2>/dev/null | wc -l > /dev/null
grep -r "define" /usr/include > /dev/null 2>&1 || true
cd "$(mktemp -d)"
mkdir tree && i=0
while [ $i -lt 500 ]; do echo "text $i" > tree/f$i; i=$((i+1)); done
tar cf all.tar tree && mkdir out && tar xf all.tar -C out
git init -q . && git config user.email a@b && git config user.name a
git add tree && git commit -qm all && rm -r tree && git checkout -q -- tree
"#;

pub(super) const PYTHON: &str = r#"i=0; while [ $i -lt 20 ]; do python3 -c 'import json'; i=$((i+1)); done"#;

pub(super) const NODE: &str = r#"i=0; while [ $i -lt 10 ]; do node -e 0; i=$((i+1)); done"#;

pub(super) const PIPES: &str =
    r#"i=0; while [ $i -lt 300 ]; do echo "b a $i" | tr ' ' '\n' | sort | wc -l > /dev/null; i=$((i+1)); done"#;
