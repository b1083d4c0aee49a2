// The browser example, served as its README says: a page that classifies on each device, without a complaint in its console.

import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { load } from "../../runtime/index.ts";
import { projectRoot } from "../support/shared.ts";
import { chromiumPath, launchChromium } from "./chromium.ts";

/** One of the 500 test images, on which the network is of two minds. */
const IMAGE = 135;
const digits = (name: string): string => join(projectRoot, "examples", "digits", name);

/** What the page shows. */
interface Shown {
  readonly state: string;
  readonly refused: string;
  readonly runs: string;
  readonly why: string;
  readonly skipped: string;
  readonly latency: string;
  /** The switch's position. */
  readonly device: string;
  /** The probability of each digit, in per cent. */
  readonly bars: readonly number[];
}

const shown = (page: Page): Promise<Shown> =>
  page.evaluate(() => {
    const text = (id: string): string => document.getElementById(id)!.textContent!;
    return {
      state: text("state"),
      refused: document.getElementById("refused")!.hidden ? "" : text("refused"),
      runs: text("runs"),
      why: text("why"),
      skipped: text("skipped"),
      latency: text("latency"),
      device: document.querySelector<HTMLInputElement>("input[name=device]:checked")!.value,
      bars: [...document.querySelectorAll("#bars span")].map((span) => Number.parseFloat(span.textContent!)),
    };
  });

/** Moves the switch, and waits until the page has done as it says. */
const choose = async (page: Page, device: string): Promise<Shown> => {
  await page.click(`input[value=${device}]`);
  await page.waitForSelector("#devices:enabled", { timeout: 60_000 });
  return shown(page);
};

describe.skipIf(chromiumPath() === undefined)("examples/browser", () => {
  let server: ChildProcess;
  let address: string;
  /** What Node takes the image for. */
  let expected: number;
  beforeAll(async () => {
    server = spawn(process.execPath, [join(projectRoot, "examples", "browser", "serve.mjs"), "0"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    address = await new Promise<string>((resolve, reject) => {
      server.stdout!.once("data", (line: Buffer) => resolve(line.toString().trim()));
      server.once("exit", (code) => reject(new Error(`serve.mjs ended with ${code}`)));
    });
    const model = await load(await compile(digits("digits.onnx"), { dims: { N: 1 } }), { device: "wasm" });
    const image = Float32Array.from(readFileSync(digits("test-images.bin")).subarray(784 * IMAGE, 784 * (IMAGE + 1)), (byte) => byte / 255);
    const logits = Array.from((await model.run({ image }))["logits"]!.data as Float32Array);
    model.dispose();
    expected = logits.indexOf(Math.max(...logits));
  }, 120_000);
  afterAll(() => {
    server.kill();
  });

  /** The page with the image on its canvas; fails on whatever it complains of. */
  const open = async (webgpu: boolean, use: (page: Page) => Promise<void>): Promise<void> => {
    const browser = await launchChromium({ webgpu });
    try {
      const page = await browser.newPage();
      const complaints: string[] = [];
      page.on("pageerror", (e) => complaints.push(e.message));
      page.on("console", (m) => m.type() === "error" && complaints.push(m.text()));
      await page.goto(address);
      await page.waitForSelector("body[data-ready]");
      await page.evaluate(
        (random) => {
          Math.random = () => random;
        },
        (IMAGE + 0.5) / 500,
      );
      await page.click("#sample");
      await page.waitForFunction(() => document.querySelector("#latency")?.textContent !== "");
      await use(page);
      expect(complaints).toEqual([]);
    } finally {
      await browser.close();
    }
  };
  const classified = (seen: Shown): void => {
    expect(seen).toMatchObject({
      state: `I see a ${expected}.`,
      refused: "",
      latency: expect.stringMatching(/^\d+\.\d\d ms, the median of 9$/),
    });
    expect(seen.bars.indexOf(Math.max(...seen.bars))).toBe(expected);
  };

  test("classifies on each device, and says which variant runs and why", { timeout: 180_000 }, async () => {
    await open(true, async (page) => {
      const auto = await shown(page);
      classified(auto);
      expect(auto).toMatchObject({
        device: "auto",
        runs: expect.stringMatching(/^wasm:/),
        why: expect.stringMatching(/'auto' \(for latency/),
      });
      for (const device of ["webgpu", "js", "wasm"]) {
        const seen = await choose(page, device);
        classified(seen);
        // Shown to a tenth of a per cent, which may fall either way.
        for (const [digit, bar] of seen.bars.entries()) expect(Math.abs(bar - auto.bars[digit]!)).toBeLessThan(0.11);
        expect(seen).toMatchObject({ device, why: expect.stringContaining(`the device asked for is '${device}'`) });
        expect(seen.runs).toMatch(new RegExp(`^${device}:\\w+${device === "webgpu" ? " on .*, in software" : ""}$`));
      }
    });
  });

  test("without WebGPU says so, stays where it was, and runs as wasm or js", { timeout: 120_000 }, async () => {
    await open(false, async (page) => {
      classified(await shown(page));
      const refused = await choose(page, "webgpu");
      expect(refused.refused).toMatch(/^Not on webgpu: WebGPU finds no adapter \[no-webgpu\]\n {2}hint: /);
      expect(refused).toMatchObject({ device: "auto", runs: expect.stringMatching(/^wasm:/) });
      for (const device of ["js", "wasm"]) classified(await choose(page, device));
    });
  });
});
