// How everything here is timed: competitors in turn in one process, processor time, two inputs in turn, every result checked.

/** Milliseconds of processor time of this process, all its threads. */
export function cpu() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** The median. */
export const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];

export const geometricMean = (numbers) => Math.exp(numbers.reduce((sum, x) => sum + Math.log(x), 0) / numbers.length);

/** Distance of a from b, relative to the length of b. */
export function relativeError(a, b) {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let [d, n] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    d += (Number(a[i]) - Number(b[i])) ** 2;
    n += Number(b[i]) ** 2;
  }
  return Math.sqrt(d) / (Math.sqrt(n) || 1);
}

/** Throws where outputs are further from the reference than allowed, or the reference is nothing to compare with. */
export function expectClose(who, outputs, reference, allowed = 1e-4) {
  for (const [name, want] of Object.entries(reference)) {
    if (!want.some((x) => Number(x) !== 0)) throw new Error(`${who}: the reference of ${name} is all zeros`);
    const error = relativeError(outputs[name] ?? [], want);
    if (!(error <= allowed)) throw new Error(`${who}: ${name} is off by ${error}, allowed ${allowed}`);
  }
}

/**
 * Median milliseconds of processor time per run of each competitor: half a second of warm-up each, then rounds in which each gives one
 * sample. `run(i)` runs input i % 2 and resolves to its outputs; `verify(outputs, i)`, called for both inputs before and once after every
 * sample, throws where they are wrong.
 *
 * @param {readonly { run(i: number): Promise<unknown>, verify?(outputs: unknown, i: number): void }[]} competitors
 * @param {{ seconds?: number, warm?: number, sample?: number, least?: number }} options seconds of rounds, ms of warm-up, ms a sample, least samples
 */
export async function interleave(competitors, { seconds = 3, warm = 500, sample = 20, least = 7 } = {}) {
  const counts = [];
  for (const { run, verify } of competitors) {
    for (const i of [0, 1]) verify?.(await run(i), i);
    let n = 0;
    const start = cpu();
    do await run(n++);
    while (cpu() - start < warm);
    const from = cpu();
    const slow = (from - start) / n > sample;
    n = slow ? 1 : 0;
    while (!slow && cpu() - from < sample) await run(n++);
    counts.push(n);
  }
  const samples = competitors.map(() => []);
  const until = performance.now() + seconds * 1000;
  for (let turn = 0; turn < least || performance.now() < until; turn++) {
    for (const [k, { run, verify }] of competitors.entries()) {
      let outputs;
      const from = cpu();
      for (let i = 0; i < counts[k]; i++) outputs = await run(turn + i);
      samples[k].push((cpu() - from) / counts[k]);
      verify?.(outputs, turn + counts[k] - 1);
    }
  }
  return samples.map(median);
}
