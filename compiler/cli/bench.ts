// `sparsec bench`: how fast a model runs, what starting it costs, and how other engines do beside it.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Tensor } from "../../ir/tensor.ts";
import type { Inputs, Model } from "../../runtime/index.ts";
import { SparsecError } from "../../runtime/index.ts";
import { coldStart } from "./bench/cold.ts";
import { constantInputs } from "./bench/constant-inputs.ts";
import { energyMeter, joulesPerRun } from "./bench/energy.ts";
import { openPeer, type PeerModel, peers } from "./bench/peers.ts";
import { type Measured, print } from "./bench/print.ts";
import { type Contestant, interleave, percentile, type Times } from "./bench/sampling.ts";
import { flopsOf, variantOf } from "./bench/sizes.ts";
import { runStreams } from "./bench/streams.ts";
import { matching } from "./bench/tfjs.ts";
import type { Run } from "./commands.ts";
import { relativeError } from "./compare.ts";
import { feed, givenInputs, seedOf } from "./feed.ts";
import { type Flags, integer, threadsOf, usage } from "./flags.ts";
import { type Opened, open } from "./open.ts";
import { isFolder, type Settings, settings } from "./options.ts";
import type { Terminal } from "./terminal.ts";

type Feed = ReadonlyMap<string, Tensor>;

interface Plan {
  readonly path: string;
  readonly scenario: "sync" | "async";
  readonly streams: number;
  readonly seconds: number;
  readonly vs: readonly Versus[];
}

interface Versus {
  readonly name: string;
  readonly argument?: string;
}

/** `ort-web`, or `tfjs=model.json`. */
function vsOf(text: string): Versus {
  const [name, ...rest] = text.split("=") as [string, ...string[]];
  if (!peers.has(name)) throw usage(`--vs is '${text}'`, `one or more of ${[...peers.keys()].join(", ")}`);
  const argument = rest.join("=");
  if ((name === "tfjs") !== (argument !== ""))
    throw usage(
      `--vs is '${text}'`,
      name === "tfjs" ? "TensorFlow.js reads no ONNX: give the converted graph model, tfjs=model.json" : name,
    );
  return argument === "" ? { name } : { name, argument };
}

function planOf(flags: Flags): Plan {
  const path = flags.positionals[0]!;
  const scenario = flags.one("scenario") === "async" ? "async" : "sync";
  const text = flags.one("seconds") ?? "3";
  const seconds = Number(text);
  if (!(seconds > 0 && seconds <= 3600)) throw usage(`--seconds is '${text}', and a number above 0 is expected`);
  const vs = flags.list("vs").map(vsOf);
  if (scenario === "async" && vs.length > 0)
    throw usage("--vs compares in the sync scenario only: other engines have streams of their own");
  if (vs.length > 0 && !path.endsWith(".onnx")) throw usage("--vs needs the model, an .onnx file: other engines cannot read an artifact");
  return { path, scenario, streams: integer("streams", flags.one("streams") ?? "1", 1), seconds, vs };
}

/** Two sets of inputs, to be taken in turn: nothing of one run helps the next. One where all are given. */
function feedsFor(model: Model, given: Feed, flags: Flags): readonly Feed[] {
  const seed = seedOf(flags) ?? 1;
  const seeds = model.inputs.every((p) => given.has(p.name)) ? [seed] : [seed, seed + 1];
  return seeds.map((s) => feed(model.inputs, given, flags, s));
}

/** The runtime's arrays are on plain buffers, as all of ours are. */
const asInputs = (f: Feed): Inputs => Object.fromEntries(f) as unknown as Inputs;

/** Runs synchronously where the executor can. */
async function runner(models: readonly Model[], feeds: readonly Feed[]): Promise<Contestant["run"]> {
  const inputs = feeds.map(asInputs);
  let k = 0;
  const sync = (): unknown => models[k % models.length]!.runSync(inputs[k++ % inputs.length]!);
  try {
    sync();
    return sync;
  } catch (e) {
    if (!(e instanceof SparsecError) || e.code !== "not-synchronous") throw e;
    return () => models[k % models.length]!.run(inputs[k++ % inputs.length]!);
  }
}

interface Rival {
  readonly name: string;
  readonly model: PeerModel;
  /** How far its results lie from ours, relative; undefined where it calls them otherwise. */
  readonly difference: number | undefined;
}

async function openRivals(plan: Plan, model: Model, feeds: readonly Feed[], set: Settings, terminal: Terminal): Promise<readonly Rival[]> {
  if (plan.vs.length === 0) return [];
  const constants = await constantInputs(plan.path, set.options);
  const inputs = feeds.map((f) => new Map([...f, ...constants]));
  const rivals: Rival[] = [];
  for (const { name, argument } of plan.vs) {
    terminal.stage(`open ${name}`);
    const job = { model: plan.path, inputs, ...(argument === undefined ? {} : { argument }) };
    const opened = await openPeer(peers.get(name)!, job, process.cwd());
    let difference: number | undefined;
    for (const [k, f] of feeds.entries()) {
      const ours = await model.run(asInputs(f));
      const theirs = await opened.outputs(k);
      for (const { name: output } of model.outputs) {
        const own = ours[output]! as Tensor;
        const their = matching(theirs, output, own);
        if (their) difference = Math.max(difference ?? 0, relativeError(own, their));
      }
    }
    rivals.push({ name, model: opened, difference });
  }
  return rivals;
}

const measured = (t: Times, batch: number, rate = 1 / t.mean): Measured => ({
  rate: rate * batch,
  mean: 1000 * t.mean,
  margin: 1000 * t.margin,
  median: 1000 * percentile(t.samples, 0.5),
  p90: 1000 * percentile(t.samples, 0.9),
  p99: 1000 * percentile(t.samples, 0.99),
  least: 1000 * t.samples[0]!,
  samples: t.samples.length,
  runsPerSample: t.runsPerSample,
  busy: t.busy,
});

/** The artifact as a folder: other processes and threads load it, too. */
async function asFolder({ artifact }: Opened): Promise<{ readonly folder: string; remove(): Promise<void> }> {
  if (typeof artifact === "string") return { folder: artifact, remove: async () => {} };
  const folder = await mkdtemp(join(tmpdir(), "sparsec-bench-"));
  await artifact.write(folder);
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

export const run: Run = async (flags, terminal) => {
  const plan = planOf(flags);
  const set = await settings(flags, terminal);
  const given = await givenInputs(flags);
  const batch = set.options.batch ?? 1;
  if (batch > 1 && (await isFolder(plan.path))) throw usage("--batch is for models: an artifact's batch was fixed when it was compiled");
  const opened = await open(plan.path, given, set, terminal, threadsOf(flags));
  const models = [await opened.load()];
  const { folder, remove } = await asFolder(opened);
  try {
    const [model] = models as [Model];
    const feeds = feedsFor(model, given, flags);
    const info = model.info();
    if (info.parts) throw usage("a model in parts is not measured: its figures are of no one program", "compile it without place");
    const { sizes, report, manifest } = await variantOf(folder, info.backend, info.variant);
    const own = set.config.executors ?? [];
    const device = `${info.backend}:${info.variant}`;

    terminal.stage("cold start");
    const cold =
      own.length > 0
        ? "an executor of the config cannot be taken to another process"
        : await coldStart({ folder, device, turbo: info.turbo.on, inputs: asInputs(feeds[0]!) });

    const rivals = await openRivals(plan, model, feeds, set, terminal);
    terminal.stage(`measure for ${plan.seconds} s`);
    const rows: (Measured & { readonly name: string; readonly difference?: number })[] = [];
    let joules: number | string;
    const meter = energyMeter();
    if (plan.scenario === "async") {
      if (own.length > 0) throw usage("streams are threads, and an executor of the config cannot be taken there", "--scenario sync");
      const t = await runStreams(plan.streams, { folder, device, inputs: feeds.map(asInputs), seconds: plan.seconds });
      rows.push({ name: "sparsec", ...measured(t, batch, t.rate) });
      joules = "measured in the sync scenario only";
    } else {
      while (models.length < plan.streams) models.push(await opened.load());
      let k = 0;
      const contestants: Contestant[] = [
        { name: "sparsec", run: await runner(models, feeds) },
        ...rivals.map((r) => ({ name: r.name, run: () => r.model.run(k++ % feeds.length) })),
      ];
      const times = await interleave(contestants, plan.seconds);
      contestants.forEach(({ name }, i) => {
        rows.push({
          name,
          ...measured(times[i]!, batch),
          ...(i > 0 && rivals[i - 1]!.difference !== undefined ? { difference: rivals[i - 1]!.difference! } : {}),
        });
      });
      joules = typeof meter === "string" ? meter : (await joulesPerRun(meter, contestants[0]!.run)) / batch;
    }
    for (const r of rivals) await r.model.dispose();
    terminal.done();
    print(terminal, {
      ...plan,
      batch,
      device,
      threads: info.threads,
      rows,
      cold,
      sizes,
      arena: manifest.arena,
      image: manifest.weights,
      flops: flopsOf(report ?? opened.report?.variants.find((v) => v.backend === info.backend && v.variant === info.variant)),
      joules,
    });
    return 0;
  } finally {
    for (const m of models) m.dispose();
    await remove();
  }
};
