// Energy that the processor has used, where the kernel exposes its counters (powercap).

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface EnergyMeter {
  /** Joules so far, over all packages. */
  read(): number;
}

const number = (file: string): number => Number(readFileSync(file, "utf8"));

/** The meter of this machine, or why there is none. `root` is where the kernel puts its counters. */
export function energyMeter(root = "/sys/class/powercap"): EnergyMeter | string {
  if (!existsSync(root)) return `the kernel has no ${root}`;
  // A package's counter counts its cores too: domains within domains (rapl:0:1) are left out.
  const zones = readdirSync(root).filter((name) => /^[a-z-]+:\d+$/.test(name));
  if (zones.length === 0) return `${root} has no energy counters`;
  const counters: { readonly file: string; readonly range: number; last: number }[] = [];
  try {
    for (const zone of zones) {
      const file = join(root, zone, "energy_uj");
      counters.push({ file, range: number(join(root, zone, "max_energy_range_uj")), last: number(file) });
    }
  } catch (e) {
    return `the energy counters cannot be read: ${(e as NodeJS.ErrnoException).code ?? String(e)}`;
  }
  let joules = 0;
  return {
    read() {
      for (const c of counters) {
        const now = number(c.file);
        // Counters begin again at 0.
        joules += (now >= c.last ? now - c.last : now - c.last + c.range) / 1e6;
        c.last = now;
      }
      return joules;
    },
  };
}

/** Joules for each run, over a second of runs. */
export async function joulesPerRun(meter: EnergyMeter, run: () => unknown, seconds = 1): Promise<number> {
  const [before, until] = [meter.read(), performance.now() + 1000 * seconds];
  let runs = 0;
  for (; runs === 0 || performance.now() < until; runs++) await run();
  return (meter.read() - before) / runs;
}
