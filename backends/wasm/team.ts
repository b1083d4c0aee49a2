// How threads run one module together: each has an instance over the same shared memory, and they meet by counters in it.

/** Addresses. Each counter has a cache line of its own, each thread's flag two. */
const TASK = 1024;
const RUN = 1088;
const ABORT = 1152;
const SLEEPERS = 1216;
const FLAGS = 1280;
const FLAG_SHIFT = 7;
/** What a thread's flag holds when it is done with a run: later than any barrier. */
const DONE = 0x7fffffff;

/**
 * The functions around an entry `(weights, arena)` run by a team. A thread's flag counts the barriers that it has come to. The thread of rank 0
 * calls `run(weights, arena)`, having set the global `size`; each other calls `work(rank, size, weights, arena)`, which runs whenever rank 0
 * does and never returns. `ping(rounds)` forks and joins without running the program. A thread that waits reads `patience` times before it
 * sleeps; 0 means that it may not sleep. After a trap, whose thread it was calls `abort()`, so that the others trap at their next barrier, and
 * `work` again; rank 0 calls `settle()`, which returns when all are done. All this lies in the memory from byte 1024 to 2560.
 */
export const printTeam = (entry: string): string => `  (global $rank (mut i32) (i32.const 0))
  (global $size (export "size") (mut i32) (i32.const 1))
  (global $patience (export "patience") (mut i32) (i32.const 0))
  (global $met (mut i32) (i32.const 0))
  (global $seen (mut i32) (i32.const 0))
  (func $flag (param $rank i32) (result i32)
    (i32.add (i32.const ${FLAGS}) (i32.shl (local.get $rank) (i32.const ${FLAG_SHIFT}))))
  (func $sleep (param $at i32) (param $value i32)
    (drop (i32.atomic.rmw.add (i32.const ${SLEEPERS}) (i32.const 1)))
    (drop (memory.atomic.wait32 (local.get $at) (local.get $value) (i64.const -1)))
    (drop (i32.atomic.rmw.sub (i32.const ${SLEEPERS}) (i32.const 1))))
  (func $raise (param $at i32) (param $value i32)
    (i32.atomic.store (local.get $at) (local.get $value))
    (if (i32.atomic.load (i32.const ${SLEEPERS})) (then (drop (memory.atomic.notify (local.get $at) (i32.const -1))))))
  (func $await (param $at i32) (param $value i32)
    (local $now i32) (local $left i32)
    (local.set $left (global.get $patience))
    (block $come
      (loop $again
        (br_if $come (i32.ge_s (local.tee $now (i32.atomic.load (local.get $at))) (local.get $value)))
        (if (i32.atomic.load (i32.const ${ABORT})) (then (unreachable)))
        (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1))))
        (if (global.get $patience) (then (call $sleep (local.get $at) (local.get $now))))
        (local.set $left (global.get $patience))
        (br $again)))
    (if (i32.atomic.load (i32.const ${ABORT})) (then (unreachable))))
  (func $barrier
    (local $other i32)
    (if (i32.eq (global.get $size) (i32.const 1)) (then (return)))
    (global.set $met (i32.add (global.get $met) (i32.const 1)))
    (call $raise (call $flag (global.get $rank)) (global.get $met))
    (loop $again
      (if (i32.ne (local.get $other) (global.get $rank)) (then (call $await (call $flag (local.get $other)) (global.get $met))))
      (br_if $again (i32.lt_s (local.tee $other (i32.add (local.get $other) (i32.const 1))) (global.get $size)))))
  (func $fork (param $task i32)
    (local $other i32)
    (if (i32.eq (global.get $size) (i32.const 1)) (then (return)))
    (loop $again
      (i32.store (call $flag (local.get $other)) (i32.const 0))
      (br_if $again (i32.lt_s (local.tee $other (i32.add (local.get $other) (i32.const 1))) (global.get $size))))
    (i32.store (i32.const ${TASK}) (local.get $task))
    (i32.atomic.store (i32.const ${ABORT}) (i32.const 0))
    (global.set $met (i32.const 0))
    (call $raise (i32.const ${RUN}) (i32.and (i32.add (i32.atomic.load (i32.const ${RUN})) (i32.const 1)) (i32.const ${DONE}))))
  (func $join
    (local $other i32)
    (local.set $other (i32.const 1))
    (block $all
      (loop $again
        (br_if $all (i32.ge_s (local.get $other) (global.get $size)))
        (call $await (call $flag (local.get $other)) (i32.const ${DONE}))
        (local.set $other (i32.add (local.get $other) (i32.const 1)))
        (br $again))))
  (func (export "run") (param $weights i32) (param $arena i32) (result i32)
    (call $fork (i32.const 1))
    (call $${entry} (local.get $weights) (local.get $arena))
    (call $join)
    (i32.const -1))
  (func (export "ping") (param $rounds i32)
    (loop $again
      (call $fork (i32.const 0))
      (call $join)
      (br_if $again (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1))))))
  (func (export "work") (param $rank i32) (param $size i32) (param $weights i32) (param $arena i32)
    (local $now i32) (local $left i32)
    (global.set $rank (local.get $rank))
    (global.set $size (local.get $size))
    (loop $next
      (local.set $left (global.get $patience))
      (block $go
        (loop $again
          (br_if $go (i32.ne (local.tee $now (i32.atomic.load (i32.const ${RUN}))) (global.get $seen)))
          (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1))))
          (call $sleep (i32.const ${RUN}) (local.get $now))
          (local.set $left (global.get $patience))
          (br $again)))
      (global.set $seen (local.get $now))
      (global.set $met (i32.const 0))
      (if (i32.load (i32.const ${TASK})) (then (call $${entry} (local.get $weights) (local.get $arena))))
      (call $raise (call $flag (local.get $rank)) (i32.const ${DONE}))
      (br $next)))
  (func $abort (export "abort")
    (i32.atomic.store (i32.const ${ABORT}) (i32.const 1))
    (call $raise (call $flag (global.get $rank)) (i32.const ${DONE})))
  (func (export "settle")
    (local $other i32)
    (call $abort)
    (loop $again
      (if (i32.eq (i32.atomic.load (call $flag (local.get $other))) (i32.const ${DONE}))
        (then (local.set $other (i32.add (local.get $other) (i32.const 1)))))
      (br_if $again (i32.lt_s (local.get $other) (global.get $size)))))
`;
