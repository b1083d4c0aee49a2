// What a schedule may say: each broken one is refused with its place in the manifest and the reason.

import { expect, test } from "vitest";
import type { Command, Condition } from "../../runtime/artifact.ts";
import { parseManifest } from "../../runtime/manifest.ts";
import { pieceOf } from "../../runtime/schedule.ts";
import { toyWebGPU } from "./toy-webgpu.ts";

const { json } = toyWebGPU();
type Node = { [key: string]: Node };
/** The toy's manifest with the value at a path in its schedule, or its variant, replaced. */
const changed = (path: string, value: unknown): unknown => {
  const manifest = JSON.parse(json);
  const keys = path.split(".");
  const parent = keys.slice(0, -1).reduce<Node>((node, key) => node[key]!, manifest.variants[0]);
  parent[keys.at(-1)!] = value as Node;
  return manifest;
};

test("a good one comes back the same, with whatever conditions", () => {
  const given = JSON.parse(json);
  const body: Command[] = given.variants[0].schedule.commands;
  const flag = { region: "arena", offset: 257, bytes: 1 } as const;
  const extent = { region: "arena", offset: 512, bytes: 8 } as const;
  const cond: Condition = { kind: "both", a: { kind: "flag", flag }, b: { kind: "less", a: extent, b: -3 } };
  given.variants[0].schedule.weightCuts = [0, 256, 512];
  given.variants[0].schedule.commands = [
    { kind: "if", cond, then: body, else: [] },
    { kind: "while", cond: { kind: "flag", flag: 0 }, body },
  ];
  expect(JSON.parse(JSON.stringify(parseManifest(given, "toy")))).toEqual(given);
});

const nested = (depth: number): unknown =>
  depth ? { kind: "while", cond: { kind: "flag", flag: 1 }, body: [nested(depth - 1)] } : { kind: "while", cond: 1, body: [] };
const at = "toy (variants[0].schedule";

test.each<[string, unknown, string]>([
  ["schedule", 3, `${at}): expected an object, found 3`],
  ["schedule.cuts", [], `${at}.cuts): expected at least the cut at 0`],
  ["schedule.cuts.0", 8, `${at}.cuts[0]): 8; expected 0, then larger multiples of 8 below 1088`],
  ["schedule.cuts.1", 252, `${at}.cuts[1]): 252; expected`],
  ["schedule.cuts.1", 512, `${at}.cuts[2]): 512; expected`],
  ["schedule.cuts.4", 1088, `${at}.cuts[4]): 1088; expected`],
  ["schedule.cuts.1", 8, `${at}.commands[0].bind[0]): bytes 256 to 260 of a buffer from 8 on cannot be bound`],
  ["schedule.weightCuts", [0, 776], `${at}.weightCuts[1]): 776; expected 0, then larger multiples of 8 below 776`],
  ["schedule.weightCuts", [0, 248], `${at}.commands[1].bind[1]): bytes 256 to 276 of a buffer from 248 on cannot be bound`],
  ["schedule.weightCuts", [0, 16], `${at}.commands[1].bind[0]): bytes 0 to 20 of weights, where a buffer ends at 16`],
  ["schedule.kernels.1.name", "product", `${at}.kernels[1]): the name "product" is taken, or none`],
  ["schedule.kernels.1.name", "a\nb", `${at}.kernels[1]): the name`],
  ["schedule.kernels.1.access.0", "write", `${at}.kernels[1].access[0]): expected "read" or "readwrite", found "write"`],
  ["schedule.kernels.1.workgroups", 65535 ** 2 + 1, `${at}.kernels[1].workgroups): expected an integer`],
  ["schedule.commands.0.kind", "jump", `${at}.commands[0].kind): expected "dispatch" or "if" or "while", found "jump"`],
  ["schedule.commands.0.kernel", 3, `${at}.commands[0].kernel): 3 of 3 kernels`],
  ["schedule.commands.0.step", 3, `${at}.commands[0].step): 3 of 3 steps`],
  ["schedule.commands.0.cost", -1, `${at}.commands[0].cost): expected an integer`],
  ["schedule.commands.0.bind", [], `${at}.commands[0].bind): 0 places for 2 bindings`],
  ["schedule.commands.0.bind.1.bytes", 8, `${at}.commands[0].bind[1]): the fault word has 4 bytes`],
  ["schedule.commands.0.bind.0.bytes", 260, `${at}.commands[0].bind[0]): bytes 256 to 516 of arena, where a buffer ends at 512`],
  ["schedule.commands.0.bind.0.offset", 260, `${at}.commands[0].bind[0]): bytes 260 to 264 of a buffer from 256 on cannot be bound`],
  ["schedule.commands.0.bind.0.bytes", 0, "of a buffer from 256 on cannot be bound"],
  ["schedule.commands.1.bind.0.bytes", 780, "bytes 0 to 780 of weights, where a buffer ends at 776"],
  ["schedule.commands.1.bind.0.bytes", 18, "of a buffer from 0 on cannot be bound"],
  ["schedule.commands.1.bind.4", { region: "weights", offset: 0, bytes: 12 }, `${at}.commands[1].bind[4]): weights are not written`],
  ["schedule.commands.1.bind.3.offset", 768, `${at}.commands[1].bind[4]): the buffer is written, and bound twice`],
  ["schedule.commands.0", { kind: "if", cond: { kind: "maybe" }, then: [], else: [] }, `${at}.commands[0].cond.kind): expected "flag"`],
  ["schedule.commands.0", { kind: "while", cond: { kind: "flag", flag: 0.5 }, body: [] }, `.cond.flag): expected an integer, found 0.5`],
  [
    "schedule.commands.0",
    { kind: "while", cond: { kind: "less", a: 1, b: { region: "arena", offset: 4, bytes: 8 } }, body: [] },
    `${at}.commands[0].cond.b): expected 8 aligned bytes of weights or arena`,
  ],
  ["schedule.commands.0", nested(70), "nested more than 64 deep"],
])("%s = %j", (path, value, reason) => {
  expect(() => parseManifest(changed(path, value), "toy")).toThrow(reason);
});

test("the piece in which a byte lies", () => {
  expect([0, 7, 8, 15, 16, 99].map((offset) => pieceOf([0, 8, 16], offset))).toEqual([0, 0, 1, 1, 2, 2]);
  expect(pieceOf([], 0)).toBe(-1);
});
