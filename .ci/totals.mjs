// Sums up vitest's JSON report. The last line is "N passed, N failed"; a skipped test, or a run that failed outside its tests, fails too.
import { readFileSync } from "node:fs";

const [report, status] = process.argv.slice(2);
const { testResults, success } = JSON.parse(readFileSync(report, "utf8"));
const tests = testResults.flatMap(({ name, assertionResults }) => assertionResults.map((test) => ({ ...test, file: name })));
const passed = tests.filter((test) => test.status === "passed").length;
const failed = tests.filter((test) => test.status === "failed");
const skipped = tests.filter((test) => test.status !== "passed" && test.status !== "failed");
// A file that does not load has no tests to count.
const broken = testResults.filter(
  ({ status, assertionResults }) => status === "failed" && !assertionResults.some((t) => t.status === "failed"),
);

console.log();
for (const test of failed) console.log(`failed: ${test.fullName}`);
for (const test of skipped) console.log(`skipped: ${test.fullName}`);
for (const { name, message } of broken)
  console.log(`failed to load: ${name.slice(name.indexOf("/tests/") + 1)}: ${message.split("\n")[0]}`);
const other = success && status === "0" ? 0 : 1;
if (other && failed.length === 0 && broken.length === 0) console.log("failed: vitest reports errors outside its tests");
const bad = failed.length + broken.length + skipped.length;
console.log(`${passed} passed, ${Math.max(bad, other)} failed`);
process.exitCode = bad > 0 || other || passed === 0 ? 1 : 0;
