// The browser example, served as its README says: a page that classifies, without a complaint in its console.

import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { load } from "../../runtime/index.ts";
import { projectRoot } from "../support/shared.ts";
import { chromiumPath, launchChromium } from "./chromium.ts";

const digits = (name: string): string => join(projectRoot, "examples", "digits", name);

describe.skipIf(chromiumPath() === undefined)("examples/browser", () => {
  let server: ChildProcess;
  let address: string;
  beforeAll(async () => {
    server = spawn(process.execPath, [join(projectRoot, "examples", "browser", "serve.mjs"), "0"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    address = await new Promise<string>((resolve, reject) => {
      server.stdout!.once("data", (line: Buffer) => resolve(line.toString().trim()));
      server.once("exit", (code) => reject(new Error(`serve.mjs ended with ${code}`)));
    });
  }, 60_000);
  afterAll(() => {
    server.kill();
  });

  test("shows what Node computes for the image on its canvas", { timeout: 60_000 }, async () => {
    const browser = await launchChromium();
    try {
      const page = await browser.newPage();
      const complaints: string[] = [];
      page.on("pageerror", (e) => complaints.push(e.message));
      page.on("console", (m) => m.type() === "error" && complaints.push(m.text()));
      await page.goto(address);
      await page.waitForSelector("body[data-ready]");
      await page.evaluate(() => {
        Math.random = () => 0;
      });
      await page.click("#sample");
      await page.waitForFunction(() => document.querySelector("#state")?.textContent?.startsWith("I see"));
      const seen = await page.textContent("#state");
      const model = await load(await compile(digits("digits.onnx"), { dims: { N: 1 } }));
      const image = Float32Array.from(readFileSync(digits("test-images.bin")).subarray(0, 784), (byte) => byte / 255);
      const scores = Array.from((await model.run({ image }))["logits"]!.data as Float32Array);
      model.dispose();
      expect(seen).toMatch(new RegExp(`^I see a ${scores.indexOf(Math.max(...scores))}\\. wasm \\(`));
      expect(complaints).toEqual([]);
    } finally {
      await browser.close();
    }
  });
});
