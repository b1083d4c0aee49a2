// Text tables and numbers for people.

/** Columns padded to their widest cell; those in `right` to the right. The last column is left as it is. */
export function table(rows: readonly (readonly string[])[], right: ReadonlySet<number> = new Set()): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, k) => (right.has(k) ? cell.padStart(widths[k]!) : k === row.length - 1 ? cell : cell.padEnd(widths[k]!)))
      .join("  ")
      .trimEnd(),
  );
}

/** At most `width` characters, the end cut. */
export const cut = (text: string, width: number): string => (text.length <= width ? text : `${text.slice(0, width - 3)}...`);

export const bytes = (n: number): string =>
  n < 1024 ? `${n} B` : n < 1024 * 1024 ? `${(n / 1024).toFixed(1)} KB` : `${(n / 1024 / 1024).toFixed(1)} MB`;

export const percent = (part: number, whole: number): string => (whole === 0 ? "" : `${((100 * part) / whole).toFixed(1)} %`);

/** Six significant digits, for elements of tensors. */
export const number = (x: number | bigint): string =>
  typeof x === "bigint" || Number.isInteger(x) ? String(x) : String(Number(x.toPrecision(6)));
