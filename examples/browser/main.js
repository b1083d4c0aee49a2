// Draw a digit, see what the network makes of it. The model runs in this page, on the device of your choice; nothing leaves it.
import { load } from "/runtime/index.js";

const SIZE = 28;
/** Runs, of which the median is shown. */
const RUNS = 9;
const $ = (id) => document.getElementById(id);
const [state, bars, paper, devices] = [$("state"), $("bars"), $("paper"), $("devices")];
const pen = paper.getContext("2d", { willReadFrequently: true });
const small = new OffscreenCanvas(SIZE, SIZE).getContext("2d", { willReadFrequently: true });

for (let digit = 0; digit < 10; digit++) {
  const row = document.createElement("li");
  row.append(`${digit}`, document.createElement("meter"), document.createElement("span"));
  bars.append(row);
}

const images = new Uint8Array(await (await fetch("/test-images.bin")).arrayBuffer());
let model;
let drawn = false;
/** One thing after the other: no model is let go of while it runs. */
let last = Promise.resolve();
const inTurn = (work) => {
  last = last.then(work);
  return last;
};

/** Moves the model to a device. Where that is not to be had, says why, and leaves it where it is. */
async function move(device) {
  devices.disabled = true;
  const start = performance.now();
  try {
    const moved = await load(new URL("/digits.sparsec/", location.href), { device });
    await moved.warmup();
    model?.dispose();
    model = moved;
    const { backend, variant, adapter, why, skipped } = model.info();
    $("runs").textContent = `${backend}:${variant}${adapter ? ` on ${adapter}` : ""}`;
    $("why").textContent = why;
    $("skipped").textContent = skipped.map((s) => `${s.variant}: ${s.reason}`).join("; ") || "none";
    $("loaded").textContent = `${(performance.now() - start).toFixed(0)} ms`;
    $("latency").textContent = "";
    $("refused").hidden = true;
    devices.dataset.device = device;
    if (drawn) await classify();
    else state.textContent = "Draw a digit, or take a test image.";
  } catch (error) {
    // A SparsecError: its code is for programs, its message for people.
    $("refused").textContent = `Not on ${device}: ${error.message}`;
    $("refused").hidden = false;
    devices.querySelector(`[value=${devices.dataset.device ?? "auto"}]`).checked = true;
    if (!model) state.textContent = "The model does not run here.";
  }
  devices.disabled = false;
  $("sample").disabled = !model;
}

/** The paper as the model wants it: ink from 0 to 1, [1, 1, 28, 28]. */
function image() {
  small.drawImage(paper, 0, 0, SIZE, SIZE);
  const { data } = small.getImageData(0, 0, SIZE, SIZE);
  return Float32Array.from({ length: SIZE * SIZE }, (_, i) => data[4 * i] / 255);
}

async function classify() {
  drawn = true;
  if (!model) return;
  const input = { image: image() };
  const times = [];
  let logits;
  for (let run = 0; run < RUNS; run++) {
    const start = performance.now();
    ({ logits } = await model.run(input));
    times.push(performance.now() - start);
  }
  const exps = Array.from(logits.data, (x) => Math.exp(x - Math.max(...logits.data)));
  const sum = exps.reduce((a, b) => a + b, 0);
  const best = exps.indexOf(Math.max(...exps));
  [...bars.children].forEach((row, digit) => {
    const p = exps[digit] / sum;
    row.classList.toggle("best", digit === best);
    row.children[0].value = p;
    row.children[1].textContent = `${(100 * p).toFixed(1)} %`;
  });
  state.textContent = `I see a ${best}.`;
  $("latency").textContent = `${times.sort((a, b) => a - b)[RUNS >> 1].toFixed(2)} ms, the median of ${RUNS}`;
}

function clear() {
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, paper.width, paper.height);
  drawn = false;
}

devices.addEventListener("change", ({ target }) => inTurn(() => move(target.value)));
$("sample").addEventListener("click", () => {
  const k = Math.floor((Math.random() * images.length) / SIZE ** 2);
  const pixels = new ImageData(SIZE, SIZE);
  for (let i = 0; i < SIZE ** 2; i++) pixels.data.set([...Array(3).fill(images[k * SIZE ** 2 + i]), 255], 4 * i);
  small.putImageData(pixels, 0, 0);
  pen.drawImage(small.canvas, 0, 0, paper.width, paper.height);
  inTurn(classify);
});
$("clear").addEventListener("click", clear);

pen.lineWidth = 22;
pen.lineCap = "round";
pen.lineJoin = "round";
pen.strokeStyle = "#fff";
paper.addEventListener("pointerdown", (e) => {
  pen.beginPath();
  pen.moveTo(e.offsetX, e.offsetY);
  paper.setPointerCapture(e.pointerId);
});
paper.addEventListener("pointermove", (e) => {
  if (e.buttons !== 1) return;
  pen.lineTo(e.offsetX, e.offsetY);
  pen.stroke();
});
paper.addEventListener("pointerup", () => inTurn(classify));
clear();
await inTurn(() => move("auto"));
document.body.dataset.ready = "true";
