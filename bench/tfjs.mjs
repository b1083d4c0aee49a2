// TensorFlow.js on its wasm backend (XNNPACK), for chains of layers: it reads no ONNX.

import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);

/** [1, c, h, w] to [1, h, w, c], or back. */
function moved(data, [, c, h, w], back) {
  const out = new Float32Array(data.length);
  for (let i = 0; i < c; i++)
    for (let j = 0; j < h * w; j++) {
      if (back) out[i * h * w + j] = data[j * c + i];
      else out[j * c + i] = data[i * h * w + j];
    }
  return out;
}

/** The competitor for a `chain`: products, or convolutions with channels last, which is the only order it has. */
export async function tfjsChain({ form, constants }, feeds) {
  const tf = require("@tensorflow/tfjs-core");
  const { setThreadsCount, setWasmPaths } = require("@tensorflow/tfjs-backend-wasm");
  setWasmPaths(join(dirname(require.resolve("@tensorflow/tfjs-backend-wasm/package.json")), "dist/"));
  setThreadsCount(1);
  await tf.setBackend("wasm");
  const images = form === "conv";
  const weights = constants.map(({ data, shape }) => {
    if (!images) return tf.tensor(data, shape);
    const t = tf.tensor(data, shape);
    const last = tf.transpose(t, [2, 3, 1, 0]);
    t.dispose();
    return last;
  });
  const inputs = feeds.map(({ x }) => {
    const [n, c, h, w] = x.shape;
    return images ? tf.tensor(moved(x.data, x.shape), [n, h, w, c]) : tf.tensor(x.data, x.shape);
  });
  const layer = (x, w) => (images ? tf.conv2d(x, w, 1, "same") : tf.matMul(x, w));
  return {
    name: "tfjs",
    run: async (i) => {
      const y = tf.tidy(() => weights.reduce(layer, inputs[i & 1]));
      const data = y.dataSync();
      y.dispose();
      // Taken apart only where somebody looks.
      return {
        get y() {
          const { shape } = feeds[0].x;
          return images ? moved(data, shape, true) : data;
        },
      };
    },
    dispose: async () => tf.dispose([...weights, ...inputs]),
  };
}
