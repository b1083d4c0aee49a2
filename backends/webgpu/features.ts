// What devices may have besides the least that all have: extensions, which a device is asked for, and features of the language.

/** Features by their names in WebGPU, with the directive by which a module says that it uses them. */
const DIRECTIVES = {
  "shader-f16": "enable f16;",
  subgroups: "enable subgroups;",
  subgroup_id: "requires subgroup_id;",
  packed_4x8_integer_dot_product: "requires packed_4x8_integer_dot_product;",
} as const;

export type Feature = keyof typeof DIRECTIVES;

/** All of them, in the order in which they are named in needs and modules. */
export const FEATURES = Object.keys(DIRECTIVES) as readonly Feature[];

/** Lines that a module begins with. */
export const directivesOf = (used: ReadonlySet<Feature>): string =>
  FEATURES.filter((f) => used.has(f))
    .map((f) => `${DIRECTIVES[f]}\n`)
    .join("");
