// Reads a variant's schedule from JSON, and holds it against the variant: what a device is told to do stays within its buffers.

import type { Bound, Command, Condition, DeviceKernel, Schedule, VariantManifest } from "./artifact.ts";
import { show } from "./diagnostics.ts";
import { LIST_LIMIT, list, object, oneOf, type Parse, size, text, u32, upTo } from "./parse.ts";
import { inside, type Place, reject, type Span } from "./place.ts";

/** Of a dimension of a dispatch. */
export const GROUPS_LIMIT = 65535;
/** What every device can bind buffers at multiples of. */
const BINDING_ALIGNMENT = 256;
const NESTING_LIMIT = 64;

const bound: Parse<Bound> = (value, at) => {
  const field = object(value, at);
  return { region: field("region", oneOf("weights", "arena", "fault")), offset: field("offset", size), bytes: field("bytes", size) };
};

/** Bytes, or a number that stands for itself. */
const operand: Parse<Bound | number> = (value, at) => {
  if (typeof value !== "number") return bound(value, at);
  return Number.isSafeInteger(value) ? value : reject(at, `expected an integer, found ${show(value)}`);
};

type Nested<T> = (depth: number) => Parse<T>;
const deeper = (depth: number, at: Place): number =>
  depth < NESTING_LIMIT ? depth + 1 : reject(at, `nested more than ${NESTING_LIMIT} deep`);

const condition: Nested<Condition> = (depth) => (value, at) => {
  const field = object(value, at);
  const kind = field("kind", oneOf("flag", "less", "both"));
  if (kind === "flag") return { kind, flag: field("flag", operand) };
  if (kind === "less") return { kind, a: field("a", operand), b: field("b", operand) };
  const inner = condition(deeper(depth, at));
  return { kind, a: field("a", inner), b: field("b", inner) };
};

const command: Nested<Command> = (depth) => (value, at) => {
  const field = object(value, at);
  const kind = field("kind", oneOf("dispatch", "if", "while"));
  if (kind === "dispatch")
    return {
      kind,
      kernel: field("kernel", u32),
      bind: field("bind", list(64, bound)),
      step: field("step", u32),
      cost: field("cost", upTo(Number.MAX_SAFE_INTEGER)),
    };
  const inner = list(LIST_LIMIT, command(deeper(depth, at)));
  const cond = field("cond", condition(0));
  return kind === "if"
    ? { kind, cond, then: field("then", inner), else: field("else", inner) }
    : { kind, cond, body: field("body", inner) };
};

const kernel: Parse<DeviceKernel> = (value, at) => {
  const field = object(value, at);
  return {
    name: field("name", text),
    access: field("access", list(64, oneOf("read", "readwrite"))),
    workgroups: field("workgroups", upTo(GROUPS_LIMIT ** 2)),
  };
};

const cuts = list(LIST_LIMIT, size);

export const schedule: Parse<Schedule> = (value, at) => {
  const field = object(value, at);
  return {
    cuts: field("cuts", cuts),
    ...field("weightCuts", (v, p) => (v === undefined ? {} : { weightCuts: cuts(v, p) })),
    kernels: field("kernels", list(LIST_LIMIT, kernel)),
    commands: field("commands", list(LIST_LIMIT, command(0))),
  };
};

/** The number of the piece of a region in which byte `offset` lies: of the last cut not past it. */
export const pieceOf = (cuts: readonly number[], offset: number): number => {
  let [low, high] = [0, cuts.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (cuts[middle]! <= offset) low = middle + 1;
    else high = middle;
  }
  return low - 1;
};

/** Where a region is cut. */
export const cutsOf = ({ cuts, weightCuts = [0] }: Schedule, region: "weights" | "arena"): readonly number[] =>
  region === "arena" ? cuts : weightCuts;

const checkCuts = (cuts: readonly number[], end: number, at: Place): void => {
  for (const [i, cut] of cuts.entries())
    if (i ? cut <= cuts[i - 1]! || cut % 8 || cut >= end : cut !== 0)
      reject(inside(at, i), `${cut}; expected 0, then larger multiples of 8 below ${end}`);
  if (end && !cuts.length) reject(at, "expected at least the cut at 0");
};

/** Throws `bad-manifest` where something bound is not within one piece of its memory. */
export const checkSchedule = (variant: VariantManifest, ports: readonly (readonly Span[])[], at: Place): void => {
  const { cuts, weightCuts = [0], kernels, commands } = variant.schedule!;
  const place = inside(at, "schedule");
  checkCuts(cuts, variant.arena, inside(place, "cuts"));
  checkCuts(weightCuts, variant.weights, inside(place, "weightCuts"));

  const names = new Set<string>();
  for (const [i, { name }] of kernels.entries()) {
    if (!/^\S+$/.test(name) || names.has(name)) reject(inside(inside(place, "kernels"), i), `the name ${show(name)} is taken, or none`);
    names.add(name);
  }
  for (const { from, place } of ports.flat()) if (from % 4) reject(place, `${from} is no multiple of 4, and devices copy words`);
  checkCommands(commands, variant, checker(variant), inside(place, "commands"));
};

type CheckBound = (bound: Bound, at: Place) => number;

/** A check that bytes lie within one buffer, which it returns the number of: that of the arena's piece, or below 0. */
const checker =
  (variant: VariantManifest): CheckBound =>
  ({ region, offset, bytes }, at) => {
    if (region === "fault") return offset === 0 && bytes === 4 ? -1 : reject(at, "the fault word has 4 bytes");
    const cuts = cutsOf(variant.schedule!, region);
    const piece = pieceOf(cuts, offset);
    const end = cuts[piece + 1] ?? variant[region];
    if (offset + bytes > end) reject(at, `bytes ${offset} to ${offset + bytes} of ${region}, where a buffer ends at ${end}`);
    return region === "arena" ? piece : -2 - piece;
  };

const checkCommands = (commands: readonly Command[], variant: VariantManifest, check: CheckBound, at: Place): void => {
  for (const [i, command] of commands.entries()) {
    const place = inside(at, i);
    if (command.kind === "dispatch") checkDispatch(command, variant, check, place);
    else {
      checkCondition(command.cond, check, inside(place, "cond"));
      if (command.kind === "while") checkCommands(command.body, variant, check, inside(place, "body"));
      else for (const branch of ["then", "else"] as const) checkCommands(command[branch], variant, check, inside(place, branch));
    }
  }
};

const checkDispatch = (
  { kernel, bind, step }: Command & { kind: "dispatch" },
  variant: VariantManifest,
  check: CheckBound,
  at: Place,
): void => {
  const { kernels } = variant.schedule!;
  const access = kernels[kernel]?.access ?? reject(inside(at, "kernel"), `${kernel} of ${kernels.length} kernels`);
  if (step >= variant.steps.length) reject(inside(at, "step"), `${step} of ${variant.steps.length} steps`);
  if (bind.length !== access.length) reject(inside(at, "bind"), `${bind.length} places for ${access.length} bindings`);
  const buffers = bind.map((bound, i) => {
    const place = inside(inside(at, "bind"), i);
    const buffer = check(bound, place);
    const from = bound.region === "fault" ? 0 : cutsOf(variant.schedule!, bound.region)[buffer < 0 ? -2 - buffer : buffer]!;
    if ((bound.offset - from) % BINDING_ALIGNMENT || bound.bytes % 4 || !bound.bytes)
      reject(place, `bytes ${bound.offset} to ${bound.offset + bound.bytes} of a buffer from ${from} on cannot be bound`);
    if (bound.region === "weights" && access[i] === "readwrite") reject(place, "weights are not written");
    return buffer;
  });
  for (const [i, buffer] of buffers.entries())
    if (access[i] === "readwrite" && buffers.some((b, j) => b === buffer && j !== i))
      reject(inside(inside(at, "bind"), i), "the buffer is written, and bound twice");
};

const checkCondition = (condition: Condition, check: CheckBound, at: Place): void => {
  if (condition.kind === "both") {
    checkCondition(condition.a, check, inside(at, "a"));
    checkCondition(condition.b, check, inside(at, "b"));
  } else if (condition.kind === "flag") checkOperand(condition.flag, 1, check, inside(at, "flag"));
  else {
    checkOperand(condition.a, 8, check, inside(at, "a"));
    checkOperand(condition.b, 8, check, inside(at, "b"));
  }
};

const checkOperand = (operand: Bound | number, bytes: number, check: CheckBound, at: Place): void => {
  if (typeof operand === "number") return;
  check(operand, at);
  if (operand.bytes !== bytes || operand.offset % bytes || operand.region === "fault")
    reject(at, `expected ${bytes} aligned bytes of weights or arena`);
};
