// Run by deno: reads a JSON list of WGSL texts, and prints what its front end says against each, or null.

const texts = JSON.parse(Deno.readTextFileSync(Deno.args[0]));
const adapter = await navigator.gpu.requestAdapter();
const device = await adapter.requestDevice({ requiredFeatures: ["shader-f16", "subgroups"].filter((name) => adapter.features.has(name)) });
const problems = [];
for (const code of texts) {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code });
  device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
  problems.push((await device.popErrorScope())?.message ?? null);
}
console.log(JSON.stringify(problems));
Deno.exit(0);
