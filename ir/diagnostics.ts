// The one error type of the compiler, and the constructors of the errors that the IR itself raises.

/** Where something came from: a file and the name of a node in it. Never part of a node's identity. */
export interface Loc {
  readonly file: string;
  readonly name: string;
  readonly line?: number;
}

const where = (loc: Loc | undefined): string => {
  if (!loc) return "";
  const line = loc.line === undefined ? "" : `:${loc.line}`;
  return `${loc.file}${line}${loc.name ? ` (${loc.name})` : ""}: `;
};

/** Carried by the errors of the compiler and of the runtime alike: each `instanceof` the other's class. */
const BRAND = Symbol.for("sparsec.error");

/**
 * Every failure that a user can cause. `code` is stable and documented; the message says what was found,
 * what was expected and where; `hint` says what to do. `inputs` is set by `needs-constant` only.
 */
export class SparsecError extends Error {
  readonly code: string;
  readonly loc: Loc | undefined;
  readonly hint: string | undefined;
  /** The bare message, without place and code. */
  readonly reason: string;
  /** For `needs-constant`: the names of the model's inputs to bind. */
  inputs?: readonly string[];

  constructor(code: string, reason: string, loc?: Loc, hint?: string) {
    super(`${where(loc)}${reason} [${code}]${hint ? `\n  hint: ${hint}` : ""}`);
    this.name = "SparsecError";
    this.code = code;
    this.reason = reason;
    this.loc = loc;
    this.hint = hint;
  }

  get [BRAND](): true {
    return true;
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === "object" && value !== null && BRAND in value;
  }
}

export const errors = {
  unknownOp: (op: string, loc?: Loc) =>
    new SparsecError("unknown-op", `no operator named '${op}' in this op set`, loc, "pass it through `ops`"),
  badOperands: (op: string, why: string, loc?: Loc) => new SparsecError("bad-operands", `${op}: ${why}`, loc),
  badAttribute: (op: string, why: string, loc?: Loc) => new SparsecError("bad-attribute", `${op}: ${why}`, loc),
  tooLarge: (what: string, loc?: Loc) => new SparsecError("too-large", `${what} exceeds 2^31 elements`, loc),
  parse: (why: string, loc: Loc) => new SparsecError("parse", why, loc),
  dynamicShape: (op: string, why: string, loc?: Loc) =>
    new SparsecError("dynamic-shape", `${op}: ${why}`, loc, "make the extent static, or end the model before this node"),
  rewriteType: (rule: string, before: string, after: string, loc?: Loc) =>
    new SparsecError("rewrite-type", `rule '${rule}' changed the type from ${before} to ${after}`, loc),
  rewriteLoop: (pass: string, sweeps: number) =>
    new SparsecError("rewrite-loop", `pass '${pass}' still changes the graph after ${sweeps} sweeps`),
  badKernel: (func: string, why: string) => new SparsecError("bad-kernel", `kernel function '${func}' ${why}`),
  kernelAccess: (func: string, why: string) => new SparsecError("kernel-access", `kernel function '${func}' ${why}`),
  kernelRace: (func: string, at: number, write: boolean) =>
    new SparsecError(
      "kernel-race",
      `kernel function '${func}' ${write ? "writes" : "reads"} byte ${at}, which another thread of its team may write or read then`,
    ),
  kernelBudget: (steps: number) => new SparsecError("kernel-budget", `the kernel did not end within ${steps} loop iterations and calls`),
  fault: (what: string, loc?: Loc) => new SparsecError("fault", what, loc),
} as const;
