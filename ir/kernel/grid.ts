// Runs the workgroups of a grid one after the other, and judges their races.

import type { Counts } from "./evaluate.ts";
import type { Window } from "./memory.ts";
import { type Member, Races, type Watch } from "./team.ts";
import { type Grid, MEMORY_BYTES } from "./types.ts";

/**
 * Calls `run` for one workgroup after the other, with the windows of each of its threads. Threads of a workgroup race between barriers,
 * workgroups through the whole call. `inStep` threads run in step, where that divides their number.
 */
export function runGrid(
  grid: Grid,
  windows: readonly Window[],
  counts: Counts | undefined,
  inStep: number,
  run: (windows: (rank: number) => readonly Window[], members: readonly Member[], races: Races) => void,
): void {
  const { workgroups, size } = grid;
  const lanes = size % inStep === 0 ? inStep : 1;
  const [threads, groups] = [new Races(), new Races()];
  const loaded = counts && ((n: number) => void (counts.loads += n));
  const sharedLoaded = counts && ((n: number) => void (counts.sharedLoads += n));
  // Parameters may share a buffer: what is watched is the buffer.
  const watched = new Map<ArrayBufferLike, { readonly threads: Watch[]; readonly groups: Watch[] }>();
  for (const { view } of windows) {
    if (watched.has(view.buffer)) continue;
    const bytes = view.buffer.byteLength;
    watched.set(view.buffer, { threads: threads.watches(bytes, size), groups: groups.watches(bytes, workgroups) });
  }
  const ofShared = grid.shared.map((a) => threads.watches(a.length * MEMORY_BYTES[a.memory], size));
  for (let group = 0; group < workgroups; group++) {
    const arrays = grid.shared.map((a) => new DataView(new ArrayBuffer(a.length * MEMORY_BYTES[a.memory])));
    const own = (rank: number): readonly Window[] => [
      ...windows.map((w): Window => {
        const { threads: thread, groups: other } = watched.get(w.view.buffer)!;
        const start = w.view.byteOffset;
        const watch: Watch = (func, at, count, write) => {
          thread[rank]!(func, start + at, count, write);
          other[group]!(func, start + at, count, write);
        };
        return { ...w, watch, whole: true, loaded };
      }),
      ...arrays.map(
        (view, k): Window => ({ view, base: 0, bytes: view.byteLength, watch: ofShared[k]![rank], whole: true, loaded: sharedLoaded }),
      ),
    ];
    const members = Array.from({ length: size }, (_, rank): Member => ({ rank, size, group, lanes }));
    run(own, members, threads);
    threads.meet();
  }
}
