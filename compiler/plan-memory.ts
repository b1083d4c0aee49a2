// Places buffers in one static arena: two may share bytes when no step needs both. Offsets are known when compiling.

import type { Buffer, LoweredGraph, Step } from "./lower/step.ts";
import { sameStorage } from "./lower/storage.ts";

export interface MemoryPlan {
  /** Bytes of the arena. */
  readonly bytes: number;
  /** Offset of every arena buffer, a multiple of the alignment. */
  readonly offsets: ReadonlyMap<Buffer, number>;
  /** Scratch memory of kernel steps, by step and binding. */
  readonly scratch: ReadonlyMap<Step, ReadonlyMap<number, Scratch>>;
  /** Bytes at which the arena may be cut so that no buffer lies on both sides: ascending, from 0. One, unless buffers are kept apart. */
  readonly cuts: readonly number[];
}

/** The first thread's, or everyone's, lies at the start; those of others follow, `apart` bytes from each other. */
export interface Scratch {
  readonly buffer: Buffer;
  readonly apart: number;
}

interface Life {
  from: number;
  to: number;
}

/** When each buffer is needed, in steps counted as they stand; a loop keeps what it shares with the outside for its whole length. */
class Lives {
  readonly lives = new Map<Buffer, Life>();
  readonly scratch = new Map<Step, Map<number, Scratch>>();
  readonly inPlace: { readonly at: number; readonly operand: Buffer; readonly result: Buffer }[] = [];
  readonly #threads: number;
  #now = 0;

  constructor(threads: number) {
    this.#threads = threads;
  }

  touch(b: Buffer, at = this.#now): void {
    if (b.constant) return;
    const life = this.lives.get(b);
    if (!life) this.lives.set(b, { from: at, to: at });
    else {
      life.from = Math.min(life.from, at);
      life.to = Math.max(life.to, at);
    }
  }

  #own(s: Step): void {
    if (s.kind === "kernel") {
      for (const p of [...s.operands, ...s.results]) this.touch(p.buffer);
      const mine = new Map<number, Scratch>();
      s.lowered.bindings.forEach((binding, k) => {
        if (binding.kind !== "scratch") return;
        const apart = binding.each ? roundUp(binding.bytes, LINE) : 0;
        const buffer: Buffer = { bytes: binding.bytes + apart * (this.#threads - 1), hint: "scratch" };
        mine.set(k, { buffer, apart });
        this.touch(buffer);
      });
      if (mine.size > 0) this.scratch.set(s, mine);
      for (const k of s.lowered.overwrites ?? []) {
        const { buffer, storage } = s.operands[k]!;
        // Another view of the same bytes may be read later than they are overwritten.
        if (s.operands.some((p) => p.buffer === buffer && !sameStorage(p.storage, storage))) continue;
        this.inPlace.push({ at: this.#now, operand: buffer, result: s.results[0]!.buffer });
      }
    } else if (s.kind === "copy") {
      this.touch(s.from.buffer);
      this.touch(s.to.buffer);
      if (s.at) this.touch(s.at.buffer);
    } else if (s.kind === "margins") this.touch(s.place.buffer);
    else if (s.kind === "if") this.touch(s.cond.buffer);
    else if (s.kind === "loop") for (const p of [s.trips, s.cond, s.count]) this.touch(p.buffer);
  }

  walk(steps: readonly Step[]): void {
    for (const s of steps) {
      this.#own(s);
      this.#now++;
      if (s.kind === "tiles") {
        const from = this.#now - 1;
        this.walk(s.body);
        if (s.images > 1) this.loops.push({ from, to: this.#now++ });
      } else if (s.kind === "if") {
        this.walk(s.then);
        this.walk(s.else);
      } else if (s.kind === "loop") {
        const from = this.#now - 1;
        this.walk(s.body);
        this.loops.push({ from, to: this.#now });
        for (const p of [s.trips, s.cond, s.count]) this.touch(p.buffer);
        this.#now++;
      }
    }
  }

  readonly loops: Life[] = [];

  /** What lives across a loop's edge lives through all of it. */
  stretch(): void {
    let changed = true;
    while (changed) {
      changed = false;
      for (const life of this.lives.values()) {
        for (const loop of this.loops) {
          const meets = life.from <= loop.to && life.to >= loop.from;
          const inside = life.from > loop.from && life.to < loop.to;
          if (!meets || inside || (life.from <= loop.from && life.to >= loop.to)) continue;
          life.from = Math.min(life.from, loop.from);
          life.to = Math.max(life.to, loop.to);
          changed = true;
        }
      }
    }
  }

  get end(): number {
    return this.#now;
  }
}

const roundUp = (n: number, to: number): number => Math.ceil(n / to) * to;
/** Threads that write within one line of the cache wait for each other. */
const LINE = 128;

/** What a target asks of a plan. */
export interface PlanOptions {
  /** Threads of the largest team. */
  readonly threads?: number;
  /** Offsets are multiples of it. */
  readonly alignment?: number;
  /**
   * Whether buffers that share bytes start at the same one, and no result takes its operand's place: then the arena can be cut into pieces,
   * none of which a step both reads and writes but where it has to.
   */
  readonly apart?: boolean;
}

/**
 * Plans one arena, for teams of up to `threads`. Inputs keep their values for the next run; outputs and the counts of bounded ones are readable
 * after it.
 */
export function planMemory(g: LoweredGraph, { threads = 1, alignment = 64, apart = false }: PlanOptions = {}): MemoryPlan {
  const lives = new Lives(threads);
  for (const { place } of g.inputs) lives.touch(place.buffer, 0);
  lives.walk(g.steps);
  for (const { place } of [...g.inputs, ...g.outputs]) lives.touch(place.buffer, lives.end);
  for (const place of g.counts.values()) lives.touch(place.buffer, lives.end);
  lives.stretch();
  const shared = apart ? new Map<Buffer, Buffer>() : shareInPlace(lives);
  const order = [...lives.lives]
    .filter(([b]) => !shared.has(b))
    .sort(([a, x], [b, y]) => b.bytes - a.bytes || x.from - y.from || x.to - y.to);
  if (apart) return planPieces(lives, order, alignment);
  const placed: { readonly offset: number; readonly end: number; readonly life: Life }[] = [];
  const offsets = new Map<Buffer, number>();
  let bytes = 0;
  for (const [buffer, life] of order) {
    const others = placed.filter((p) => p.life.from <= life.to && life.from <= p.life.to).sort((a, b) => a.offset - b.offset);
    let offset = 0;
    for (const o of others) {
      if (offset + buffer.bytes <= o.offset) break;
      offset = Math.max(offset, roundUp(o.end, alignment));
    }
    offsets.set(buffer, offset);
    placed.push({ offset, end: offset + Math.max(1, buffer.bytes), life });
    bytes = Math.max(bytes, offset + Math.max(1, buffer.bytes));
  }
  for (const b of shared.keys()) {
    let root = b;
    while (shared.has(root)) root = shared.get(root)!;
    offsets.set(b, offsets.get(root)!);
  }
  return { bytes: roundUp(bytes, alignment), offsets, scratch: lives.scratch, cuts: [0] };
}

/** Pieces of memory, each as large as the first buffer that takes it; others take it while it is free. */
function planPieces(lives: Lives, order: readonly (readonly [Buffer, Life])[], alignment: number): MemoryPlan {
  const pieces: { readonly offset: number; readonly lives: Life[] }[] = [];
  const offsets = new Map<Buffer, number>();
  let bytes = 0;
  for (const [buffer, life] of order) {
    const isFree = (p: { readonly lives: readonly Life[] }): boolean => p.lives.every((l) => l.from > life.to || life.from > l.to);
    // The smallest that is large enough comes last.
    let piece = buffer.pinned ? undefined : pieces.findLast(isFree);
    if (!piece) {
      piece = { offset: bytes, lives: [] };
      pieces.push(piece);
      bytes += roundUp(Math.max(16, buffer.bytes), alignment);
    }
    piece.lives.push(buffer.pinned ? { from: 0, to: Number.POSITIVE_INFINITY } : life);
    offsets.set(buffer, piece.offset);
  }
  return { bytes, offsets, scratch: lives.scratch, cuts: pieces.length > 0 ? pieces.map((p) => p.offset) : [0] };
}

/** A result takes over the bytes of an operand that dies where it is born. */
function shareInPlace(lives: Lives): Map<Buffer, Buffer> {
  const shared = new Map<Buffer, Buffer>();
  const rootOf = (b: Buffer): Buffer => {
    let root = b;
    while (shared.has(root)) root = shared.get(root)!;
    return root;
  };
  for (const { at, operand, result } of lives.inPlace) {
    const root = rootOf(operand);
    const [x, y] = [lives.lives.get(root), lives.lives.get(result)];
    if (!x || !y || root === result || operand.pinned || root.pinned || result.pinned || shared.has(result)) continue;
    if (x.to !== at || y.from !== at || root.bytes !== result.bytes) continue;
    x.to = y.to;
    shared.set(result, root);
  }
  return shared;
}
