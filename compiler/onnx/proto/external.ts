// External tensor data, read only from plain files inside the model's own folder: the one place of the importer that touches the disk.

import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, realpathSync, type Stats } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";
import type { Loc } from "../../../ir/diagnostics.ts";
import { onnxErrors } from "./diagnostics.ts";

export interface ExternalRange {
  /** Path relative to the model's folder, with slashes, as the model gives it. */
  readonly location: string;
  readonly offset: number;
  /** Bytes, where the model says. */
  readonly length: number | undefined;
}

export interface ExternalData {
  /**
   * Checks that `size` bytes stand at `range`, and returns how to read them.
   * Throws `external-disabled`, `external-path`, `external-missing` or `external-range`.
   */
  open(range: ExternalRange, size: number, loc: Loc): () => Uint8Array;
}

/** Refuses every external tensor; `why` completes "the data is in an external file, and ...". */
export const noExternalData = (why: string): ExternalData => ({
  open: ({ location }, _size, loc) => {
    throw onnxErrors.externalDisabled(location, why, loc);
  },
});

/** The path's parts, or why it is refused. Nothing here looks at the disk. */
function splitLocation(location: string): readonly string[] | string {
  if (location === "") return "the path is empty";
  if (location.length > 4096) return "the path is too long";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  if (/[\u0000-\u001f]/.test(location)) return "the path holds control characters";
  if (location.includes("\\")) return "the path holds a backslash";
  if (isAbsolute(location) || location.startsWith("/") || /^[a-z][a-z0-9+.-]*:/i.test(location)) return "the path is absolute";
  const parts = location.split("/").filter((p, i, all) => !(p === "." && i < all.length - 1));
  if (parts.some((p) => p === "" || p === "." || p === "..")) return "the path leaves its folder or has an empty part";
  return parts;
}

const message = (e: unknown): string => (e instanceof Error && "code" in e ? String(e.code) : "unreadable");

/** The files below the folder of the model at `modelPath`. The folder is resolved once; below it no link of any kind is followed. */
export function externalDataBeside(modelPath: string): ExternalData {
  let folder: string | undefined;

  /** The path of a plain, singly linked file inside the folder, with what it was when looked at. */
  const locate = (location: string, loc: Loc): { path: string; stats: Stats } => {
    const parts = splitLocation(location);
    if (typeof parts === "string") throw onnxErrors.externalPath(location, parts, loc);
    const look = <T>(read: () => T): T => {
      try {
        return read();
      } catch (e) {
        throw onnxErrors.externalMissing(location, message(e), loc);
      }
    };
    folder ??= look(() => realpathSync(dirname(resolve(modelPath))));
    let path = folder;
    let stats: Stats | undefined;
    for (const [i, name] of parts.entries()) {
      path = join(path, name);
      stats = look(() => lstatSync(path));
      if (stats.isSymbolicLink()) throw onnxErrors.externalPath(location, "it goes through a symbolic link", loc);
      if (i < parts.length - 1 ? !stats.isDirectory() : !stats.isFile())
        throw onnxErrors.externalPath(
          location,
          i < parts.length - 1 ? "it goes through something not a folder" : "it is not a plain file",
          loc,
        );
    }
    // Case-folding or otherwise aliasing file systems: the canonical path must be the one just walked.
    if (look(() => realpathSync(path)) !== path) throw onnxErrors.externalPath(location, "its canonical path is another", loc);
    return { path, stats: stats! };
  };

  /** Opens, checks that the opened file is the one looked at and holds the range, and hands the descriptor to `use`. */
  const withFile = <T>({ location, offset }: ExternalRange, size: number, loc: Loc, use: (fd: number) => T): T => {
    const { path, stats } = locate(location, loc);
    let fd: number;
    try {
      fd = openSync(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
    } catch (e) {
      throw onnxErrors.externalMissing(location, message(e), loc);
    }
    try {
      const opened = fstatSync(fd);
      if (!opened.isFile() || opened.ino !== stats.ino || opened.dev !== stats.dev)
        throw onnxErrors.externalPath(location, "it changed while it was being opened", loc);
      if (opened.nlink !== 1) throw onnxErrors.externalPath(location, `it has ${opened.nlink} hard links`, loc);
      if (offset + size > opened.size)
        throw onnxErrors.externalRange(location, `bytes ${offset} to ${offset + size} are wanted, and it has ${opened.size}`, loc);
      return use(fd);
    } finally {
      closeSync(fd);
    }
  };

  return {
    open: (range, size, loc) => {
      if (!Number.isSafeInteger(range.offset + size))
        throw onnxErrors.externalRange(range.location, `offset ${range.offset} is out of range`, loc);
      withFile(range, size, loc, () => undefined);
      return () =>
        withFile(range, size, loc, (fd) => {
          const bytes = new Uint8Array(size);
          for (let done = 0; done < size; ) {
            const count = readSync(fd, bytes, done, size - done, range.offset + done);
            if (count <= 0) throw onnxErrors.externalRange(range.location, `it ends after ${done} of ${size} bytes`, loc);
            done += count;
          }
          return bytes;
        });
    },
  };
}
