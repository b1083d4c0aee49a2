// The runtime's error type, one with the compiler's in shape and in `instanceof`, and every message that the runtime can give.

/** Where something went wrong: the artifact or one of its files, and a name in it. */
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
 * what was expected and where; `hint` says what to do.
 */
export class SparsecError extends Error {
  readonly code: string;
  readonly loc: Loc | undefined;
  readonly hint: string | undefined;
  /** The bare message, without place and code. */
  readonly reason: string;
  /** For `needs-constant`, which only the compiler throws: the names of the model's inputs to bind. */
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

/** What a thrown value says, whatever it is. */
export const said = (thrown: unknown): string =>
  thrown instanceof SparsecError ? thrown.reason : thrown instanceof Error ? thrown.message : String(thrown);

const at = (file: string, name = ""): Loc => ({ file, name });

export const errors = {
  unreadable: (file: string, why: string, hint?: string) => new SparsecError("unreadable", `cannot be read: ${why}`, at(file), hint),
  notAnArtifact: (file: string, why: string) =>
    new SparsecError("not-an-artifact", why, at(file), "`sparsec compile model.onnx` writes an artifact"),
  unsupportedVersion: (file: string, found: unknown) =>
    new SparsecError(
      "unsupported-version",
      `artifact format version ${show(found)}, but this runtime reads version 1`,
      at(file),
      "compile the model again, or install the sparsec that wrote it",
    ),
  badManifest: (file: string, path: string, why: string) => new SparsecError("bad-manifest", why, at(file, path)),
  corrupt: (file: string, why: string) =>
    new SparsecError("corrupt", why, at(file), "the file was changed or cut short after it was compiled; copy or compile it again"),
  badSource: (found: unknown) => new SparsecError("bad-source", `load() takes a path, a URL or an artifact in memory, not ${show(found)}`),
  unknownDevice: (file: string, device: string, has: readonly string[]) =>
    new SparsecError("unknown-device", `no variant for device '${device}'; the artifact holds ${has.join(", ")}`, at(file)),
  noVariant: (file: string, device: string, reasons: readonly string[]) =>
    new SparsecError(
      "no-variant",
      `nothing in the artifact runs here on device '${device}':${reasons.map((r) => `\n  ${r}`).join("")}`,
      at(file),
      "compile with `--backend wasm,js` to have a variant that runs anywhere",
    ),
  badInputs: (model: string, problems: readonly string[]) =>
    new SparsecError(
      "bad-input",
      problems.length === 1
        ? problems[0]!
        : `${problems.length} things are wrong with the inputs:${problems.map((p) => `\n  ${p}`).join("")}`,
      at(model),
    ),
  dynamicView: (model: string, output: string) =>
    new SparsecError(
      "dynamic-shape",
      `output ${show(output)} has extents that only a run knows, so it has no view`,
      at(model),
      "take the copy that run() returns",
    ),
  badOption: (why: string) => new SparsecError("bad-option", why),
  fault: (model: string, why: string) => new SparsecError("fault", why, at(model)),
  trap: (model: string, why: string) => new SparsecError("trap", `the run was stopped: ${why}`, at(model)),
  noWebGPU: (why: string, hint: string) => new SparsecError("no-webgpu", why, undefined, hint),
  outOfMemory: (model: string, why: string) =>
    new SparsecError("out-of-memory", `the device has too little memory: ${why}`, at(model), "free some, or load it for another device"),
  deviceLost: (model: string, why: string) =>
    new SparsecError(
      "device-lost",
      `the device was lost: ${why}`,
      at(model),
      "load the model again, on another device if this one fails again",
    ),
  internal: (model: string, why: string) =>
    new SparsecError("internal", `the device refuses the program: ${why}`, at(model), "please report this, with the model if you can"),
  disposed: (model: string) => new SparsecError("disposed", "the model was disposed of", at(model), "load it again"),
  notSynchronous: (model: string, why: string) =>
    new SparsecError("not-synchronous", `runSync() is not possible: ${why}`, at(model), "use run()"),
} as const;

/** A value in a message: short, and safe for any value. */
export const show = (value: unknown): string => {
  if (typeof value === "string") return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}...` : value);
  if (typeof value === "bigint") return `${value}n`;
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object" && value !== null) return ArrayBuffer.isView(value) ? arrayName(value) : "an object";
  return typeof value === "function" ? "a function" : String(value);
};

/** The class of a typed array by its own account, also for arrays from another realm. */
export const arrayName = (view: ArrayBufferView): string =>
  (view as { readonly [Symbol.toStringTag]?: string })[Symbol.toStringTag] ?? "DataView";
