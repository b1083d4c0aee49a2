// Draw a digit, see what the network makes of it. The model runs in this page, as WebAssembly; nothing leaves it.
import { load } from "/runtime/index.js";

const SIZE = 28;
const state = document.querySelector("#state");
const bars = document.querySelector("#bars");
const paper = document.querySelector("#paper");
const sample = document.querySelector("#sample");
const pen = paper.getContext("2d", { willReadFrequently: true });
const small = new OffscreenCanvas(SIZE, SIZE).getContext("2d", { willReadFrequently: true });

for (let digit = 0; digit < 10; digit++) {
  const row = document.createElement("li");
  row.append(`${digit}`, document.createElement("meter"), document.createElement("span"));
  bars.append(row);
}

const model = await load(new URL("/digits.sparsec/", location.href));
const { backend, variant } = model.info();
state.textContent = `Draw a digit. ${backend} (${variant}), ${SIZE} x ${SIZE} pixels.`;
const images = new Uint8Array(await (await fetch("/test-images.bin")).arrayBuffer());
sample.disabled = false;

/** The paper as the model wants it: ink from 0 to 1, [1, 1, 28, 28]. */
function image() {
  small.drawImage(paper, 0, 0, SIZE, SIZE);
  const { data } = small.getImageData(0, 0, SIZE, SIZE);
  return Float32Array.from({ length: SIZE * SIZE }, (_, i) => data[4 * i] / 255);
}

async function classify() {
  const start = performance.now();
  const { logits } = await model.run({ image: image() });
  const ms = performance.now() - start;
  const exps = Array.from(logits.data, (x) => Math.exp(x - Math.max(...logits.data)));
  const sum = exps.reduce((a, b) => a + b, 0);
  const best = exps.indexOf(Math.max(...exps));
  [...bars.children].forEach((row, digit) => {
    const p = exps[digit] / sum;
    row.classList.toggle("best", digit === best);
    row.children[0].value = p;
    row.children[1].textContent = `${(100 * p).toFixed(1)} %`;
  });
  state.textContent = `I see a ${best}. ${backend} (${variant}), ${ms.toFixed(2)} ms.`;
}

function clear() {
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, paper.width, paper.height);
}

sample.addEventListener("click", () => {
  const k = Math.floor((Math.random() * images.length) / SIZE ** 2);
  const pixels = new ImageData(SIZE, SIZE);
  for (let i = 0; i < SIZE ** 2; i++) pixels.data.set([...Array(3).fill(images[k * SIZE ** 2 + i]), 255], 4 * i);
  small.putImageData(pixels, 0, 0);
  pen.drawImage(small.canvas, 0, 0, paper.width, paper.height);
  classify();
});
document.querySelector("#clear").addEventListener("click", clear);

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
paper.addEventListener("pointerup", classify);
clear();
document.body.dataset.ready = "true";
