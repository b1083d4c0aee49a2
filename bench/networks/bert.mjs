// BERT-base, as exporters write it: embeddings, twelve layers with a mask of attention, the last hidden state as output.

import { createGraph } from "./graph.mjs";
import { random } from "./prune.mjs";

const [WIDTH, HEADS, INNER, LAYERS] = [768, 12, 3072, 12];
/** Far fewer words than BERT's 30522: looking up takes the same time, and the model is 90 MB smaller. */
const WORDS = 1024;

export function bertBase({ batch = 1, tokens = 128, layers = LAYERS, ...pruning }) {
  const g = createGraph(pruning);
  const shape = [batch, tokens, WIDTH];
  const table = (rows) => g.constant(Float32Array.from({ length: rows * WIDTH }, g.next), [rows, WIDTH]);
  const ones = () => g.constant(new Float32Array(WIDTH).fill(1), [WIDTH]);
  const zeros = () => g.constant(new Float32Array(WIDTH), [WIDTH]);
  const norm = (x) => g.node("LayerNormalization", [x, ones(), zeros()], x.shape, { axis: { int: -1 }, epsilon: { float: 1e-12 } });
  const heads = (x, perm) => g.transpose(g.reshape(x, [batch, tokens, HEADS, WIDTH / HEADS]), perm);
  const gelu = (x) => {
    const erf = g.node("Erf", [g.node("Div", [x, g.scalar(Math.SQRT2)], x.shape)], x.shape);
    const twice = g.node("Mul", [x, g.node("Add", [erf, g.scalar(1)], x.shape)], x.shape);
    return g.node("Mul", [twice, g.scalar(0.5)], x.shape);
  };

  const ids = g.input("input_ids", [batch, tokens], "i64");
  const attended = g.input("attention_mask", [batch, tokens], "i64");
  const axes = g.constant([1n, 2n], [2], "i64");
  const rows = [batch, 1, 1, tokens];
  const kept = g.node("Cast", [g.node("Unsqueeze", [attended, axes], rows)], rows, { to: { int: 1 } });
  const mask = g.node("Mul", [g.node("Sub", [g.scalar(1), kept], rows), g.scalar(-10000)], rows);

  let x = norm(g.add(g.add(g.node("Gather", [table(WORDS), ids], shape), table(tokens)), table(1)));
  for (let layer = 0; layer < layers; layer++) {
    const q = heads(g.linear(x, WIDTH), [0, 2, 1, 3]);
    const k = heads(g.linear(x, WIDTH), [0, 2, 3, 1]);
    const v = heads(g.linear(x, WIDTH), [0, 2, 1, 3]);
    const pairs = [batch, HEADS, tokens, tokens];
    const scores = g.node("Div", [g.node("MatMul", [q, k], pairs), g.scalar(Math.sqrt(WIDTH / HEADS))], pairs);
    const weights = g.node("Softmax", [g.add(scores, mask)], pairs, { axis: { int: -1 } });
    const context = g.node("MatMul", [weights, v], v.shape);
    x = norm(g.add(g.linear(g.reshape(g.transpose(context, [0, 2, 1, 3]), shape), WIDTH), x));
    x = norm(g.add(g.linear(gelu(g.linear(x, INNER)), WIDTH), x));
  }
  return g.finish({ last_hidden_state: x });
}

/** Two feeds; the last eighth of each sequence is masked out. */
export const bertFeeds = ({ batch = 1, tokens = 128 }) =>
  [1, 2].map((seed) => {
    const next = random(200 + seed);
    const shape = [batch, tokens];
    const ids = BigInt64Array.from({ length: batch * tokens }, () => BigInt(Math.floor(((next() + 1) / 2) * WORDS)));
    const kept = BigInt64Array.from({ length: batch * tokens }, (_, i) => (i % tokens < (tokens * 7) / 8 ? 1n : 0n));
    return { input_ids: { data: ids, shape }, attention_mask: { data: kept, shape } };
  });
