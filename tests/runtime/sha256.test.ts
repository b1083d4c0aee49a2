// SHA-256 of the runtime against Node's, around every block boundary, with its help, by WebCrypto, and without either.

import { createHash } from "node:crypto";
import { afterEach, expect, test, vi } from "vitest";
import { sha256, sha256Portable } from "../../runtime/sha256.ts";

const bytesOf = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 167 + (i >> 8) * 13) & 255);

afterEach(() => void vi.restoreAllMocks());
const withoutNode = () => vi.spyOn(process, "getBuiltinModule").mockReturnValue(undefined as never);

test.each([0, 1, 3, 55, 56, 57, 63, 64, 65, 119, 120, 128, 1000, 70_001])("%i bytes", async (length) => {
  const bytes = bytesOf(length);
  const expected = createHash("sha256").update(bytes).digest("hex");
  expect(sha256Portable(bytes)).toBe(expected);
  expect(await sha256(bytes)).toBe(expected);
  withoutNode();
  expect(await sha256(bytes)).toBe(expected);
});

test("a part of a buffer, and shared memory that WebCrypto refuses", async () => {
  const shared = new Uint8Array(new SharedArrayBuffer(300));
  shared.set(bytesOf(300));
  const part = shared.subarray(7, 250);
  withoutNode();
  expect(await sha256(part)).toBe(createHash("sha256").update(bytesOf(300).subarray(7, 250)).digest("hex"));
});
