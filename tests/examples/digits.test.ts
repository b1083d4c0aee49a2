// The digit example: drawing is deterministic, training's gradients are right, and the committed model is what its README says.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { decodeModel } from "../../compiler/onnx/proto/decode.ts";
import { drawDigits, testDigits } from "../../examples/digits/draw.ts";
import { createLayer, type Layer, type LayerSpec, planes, type View } from "../../examples/digits/layer.ts";
import { finalZeros, specs } from "../../examples/digits/network.ts";
import { between, seeded } from "../../examples/digits/random.ts";

const file = (name: string): Buffer => readFileSync(new URL(`../../examples/digits/${name}`, import.meta.url));

describe("drawing", () => {
  it("gives the same bytes for the same seed, on every engine", () => {
    const { images, labels } = drawDigits(40, 7);
    expect([...labels.subarray(0, 12)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
    expect(createHash("sha256").update(images).digest("hex")).toBe("fdea4a1d5617cfc52844ec52e709d2070c9406701159bc51d4bb1e7bc598d361");
    expect(drawDigits(40, 8).images).not.toEqual(images);
  });

  it("gives the committed test images and labels", () => {
    const { images, labels } = testDigits();
    expect(file("test-images.bin").equals(images)).toBe(true);
    expect(file("test-labels.bin").equals(labels)).toBe(true);
  });
});

describe("training", () => {
  const batch = 8;
  const shared = { inputs: 3, outputs: 4, zeros: 0 } as const;
  const cases: readonly LayerSpec[] = [
    { ...shared, name: "convolution, relu, pool", kind: "convolution", side: 7, relu: true, pool: true },
    { ...shared, name: "convolution, relu", kind: "convolution", side: 6, relu: true, pool: false },
    { ...shared, name: "fully connected", kind: "fully-connected", side: 1, relu: false, pool: false },
  ];

  /** A loss whose gradient by the layer's output is a fixed random plane, so that its value is linear in the output. */
  function probe(spec: LayerSpec): { readonly layer: Layer; readonly loss: () => number; readonly backward: () => void } {
    const random = seeded(5);
    const fill = ({ data, ...view }: View, channels: number, side: number): void => {
      for (let b = 0; b < batch; b++)
        for (let c = 0; c < channels; c++)
          for (let y = 0; y < side; y++)
            for (let x = 0; x < side; x++)
              data[view.start + b * view.batch + c * view.channel + y * view.row + x * view.column] = between(random, -1, 1);
    };
    const layer = createLayer(spec, batch, random);
    layer.bias.forEach((_, k) => {
      layer.bias[k] = between(random, -0.1, 0.1);
    });
    const outSide = spec.pool ? Math.floor(spec.side / 2) : spec.side;
    const out = planes(spec.kind, spec.outputs, outSide, batch);
    const gradient = planes(spec.kind, spec.outputs, outSide, batch);
    fill(layer.input, spec.inputs, spec.side);
    fill(gradient, spec.outputs, outSide);
    const loss = (): number => {
      layer.forward(out);
      return out.data.reduce((sum, v, k) => sum + v * gradient.data[k]!, 0);
    };
    return { layer, loss, backward: () => layer.backward(gradient, true) };
  }

  it.each(cases)("has the gradient of finite differences: $name", (spec) => {
    const { layer, loss, backward } = probe(spec);
    layer.prune(Math.floor(layer.weight.length / 3));
    loss();
    backward();
    const check = (values: Float64Array, gradient: Float64Array, k: number): void => {
      const value = values[k]!;
      values[k] = value + 1e-6;
      const above = loss();
      values[k] = value - 1e-6;
      const below = loss();
      values[k] = value;
      expect((above - below) / 2e-6).toBeCloseTo(gradient[k]!, 6);
    };
    const kept = layer.kept();
    expect(kept.length).toBe(layer.weight.length - Math.floor(layer.weight.length / 3));
    for (const k of kept) check(layer.weight, layer.weightGradient, k);
    for (const k of layer.bias.keys()) check(layer.bias, layer.biasGradient, k);
    const { start, batch: stride } = layer.input;
    for (const b of [0, batch - 1]) check(layer.input.data, layer.inputGradient.data, start + b * stride);
  });

  it("prunes the smallest weights, exactly as many as asked", () => {
    const { layer } = probe(cases[0]!);
    const before = layer.weight.slice();
    layer.prune(30);
    const removed = before.filter((_, k) => layer.weight[k] === 0);
    const left = before.filter((_, k) => layer.weight[k] !== 0);
    expect(removed.length).toBe(30);
    expect(Math.max(...removed.map(Math.abs))).toBeLessThan(Math.min(...left.map(Math.abs)));
  });
});

describe("digits.onnx", () => {
  const { graph, opsets } = decodeModel(file("digits.onnx"), { file: "digits.onnx" });

  it("takes a batch of images and gives logits, in opset 13", () => {
    expect(opsets.get("")).toBe(13);
    expect(graph.inputs.map(({ name, elemType, dims }) => ({ name, elemType, dims }))).toEqual([
      { name: "image", elemType: 1, dims: ["N", 1, 28, 28] },
    ]);
    expect(graph.outputs.map(({ name, elemType, dims }) => ({ name, elemType, dims }))).toEqual([
      { name: "logits", elemType: 1, dims: ["N", 10] },
    ]);
  });

  it("has the promised zeros in each layer", () => {
    const counts = specs.map((spec) => {
      const bytes = graph.initializers.get(`${spec.name}.weight`)!.bytes();
      const weight = new Float32Array(bytes.slice().buffer);
      return { spec, length: weight.length, zeros: weight.filter((v) => v === 0).length };
    });
    for (const { spec, length, zeros } of counts) {
      expect({ layer: spec.name, zeros }).toEqual({ layer: spec.name, zeros: finalZeros(spec, length) });
      expect(length).toBe(spec.outputs * spec.inputs * (spec.kind === "convolution" ? 9 : 1));
    }
    const total = (of: "length" | "zeros"): number => counts.reduce((sum, count) => sum + count[of], 0);
    expect(total("zeros") / total("length")).toBeGreaterThanOrEqual(0.9);
  });

  it("reads at least 98 % of the test images right under onnxruntime", async () => {
    const { InferenceSession, Tensor, env } = await import("onnxruntime-web");
    env.wasm.numThreads = 1;
    const session = await InferenceSession.create(file("digits.onnx"));
    const labels = file("test-labels.bin");
    const image = new Tensor(
      "float32",
      Float32Array.from(file("test-images.bin"), (byte) => byte / 255),
      [labels.length, 1, 28, 28],
    );
    const logits = (await session.run({ image }))["logits"]!;
    expect(logits.dims).toEqual([labels.length, 10]);
    const data = logits.data as Float32Array;
    const right = labels.filter((label, k) => {
      const row = data.subarray(10 * k, 10 * k + 10);
      return row.indexOf(Math.max(...row)) === label;
    });
    expect(right.length / labels.length).toBeGreaterThanOrEqual(0.98);
  });
});
