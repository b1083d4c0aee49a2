// Vector constants in memory: a table in the bytes that the runtime keeps free at the start, filled when the module is instantiated.

/** Where the table may lie: behind the fault number, within `RESERVED` of the runtime. */
const START = 16;
const END = 1024;

export interface ConstantTable {
  /** The address of 4 bytes, or undefined where the table is full. */
  addressOf(bits: number): number | undefined;
  /** The table as a data segment in text; "" if nothing was asked for. */
  segment(): string;
}

export function createConstantTable(): ConstantTable {
  const places = new Map<number, number>();
  return {
    addressOf(bits) {
      const known = places.get(bits);
      if (known !== undefined) return known;
      const at = START + 4 * places.size;
      if (at + 4 > END) return undefined;
      places.set(bits, at);
      return at;
    },
    segment() {
      if (places.size === 0) return "";
      const bytes = new Uint8Array(Int32Array.from(places.keys()).buffer);
      const text = Array.from(bytes, (b) => `\\${b.toString(16).padStart(2, "0")}`).join("");
      return `  (data (i32.const ${START}) "${text}")\n`;
    },
  };
}
