// Reads the members of a .tar.gz in memory: unpacked once per file, members served as views.

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

export interface Archive {
  /** Plain files in archive order. */
  readonly names: readonly string[];
  /** The bytes of a member; throws if there is none of that name. */
  read(name: string): Uint8Array;
  has(name: string): boolean;
}

const BLOCK = 512;
const REGULAR = new Set(["0", "\0", "7"]);
const text = new TextDecoder();

const field = (block: Uint8Array, start: number, length: number): string => {
  const bytes = block.subarray(start, start + length);
  const end = bytes.indexOf(0);
  return text.decode(end < 0 ? bytes : bytes.subarray(0, end));
};

/** The `path` record of a pax header, if it has one: lines of "<length> key=value". */
const paxPath = (body: Uint8Array): string | undefined => /^\d+ path=(.*)$/m.exec(text.decode(body))?.[1];

/** Members of an uncompressed tar (ustar, with GNU long names and pax paths). */
export function readTar(tar: Uint8Array): Archive {
  const members = new Map<string, Uint8Array>();
  let longName: string | undefined;
  for (let at = 0; at + BLOCK <= tar.length && tar[at] !== 0; ) {
    const header = tar.subarray(at, at + BLOCK);
    const size = Number.parseInt(field(header, 124, 12).trim(), 8);
    if (!Number.isSafeInteger(size)) throw new Error(`tar: no size in the header at byte ${at}`);
    const body = tar.subarray(at + BLOCK, at + BLOCK + size);
    const type = String.fromCharCode(header[156]!);
    const prefix = field(header, 257, 6).startsWith("ustar") && header[262] === 0 ? field(header, 345, 155) : "";
    if (type === "L") longName = field(body, 0, size);
    else if (type === "x") longName = paxPath(body) ?? longName;
    else {
      const name = longName ?? (prefix === "" ? field(header, 0, 100) : `${prefix}/${field(header, 0, 100)}`);
      if (REGULAR.has(type)) members.set(name, body);
      longName = undefined;
    }
    at += BLOCK * (1 + Math.ceil(size / BLOCK));
  }
  return {
    names: [...members.keys()],
    has: (name) => members.has(name),
    read: (name) => {
      const found = members.get(name);
      if (!found) throw new Error(`tar: no member ${name}`);
      return found;
    },
  };
}

const opened = new Map<string, Archive>();

/** Opens a .tar.gz; a second call for the same path returns the first's archive. */
export function openTarGz(path: string): Archive {
  const known = opened.get(path);
  if (known) return known;
  const archive = readTar(gunzipSync(readFileSync(path)));
  opened.set(path, archive);
  return archive;
}
