// What `detect-sparsity` says about one constant operand.

/** How the zeros of a matrix lie. `block` is rows x columns of the matrix that the kernels see: one row for each output channel. */
export type Pattern =
  | { readonly kind: "dense" }
  | { readonly kind: "zero" }
  | { readonly kind: "unstructured" }
  | {
      readonly kind: "block";
      readonly rows: number;
      readonly columns: number;
      /** Non-zeros in the blocks that are kept, as a fraction. */
      readonly fill: number;
    }
  | {
      readonly kind: "n-of-m";
      readonly n: number;
      readonly m: number;
      /** Neighbours along a row, or input channels in one tap of a convolution. */
      readonly along: "rows" | "channels";
    }
  | { readonly kind: "rows"; readonly empty: number }
  | { readonly kind: "columns"; readonly empty: number }
  | { readonly kind: "channels"; readonly empty: number }
  | { readonly kind: "diagonal" }
  | { readonly kind: "banded"; readonly bandwidth: number }
  | { readonly kind: "repeated"; readonly distinct: number };

export interface SparsityFinding {
  /** The node that uses the constant, as the model calls it. */
  readonly node: string;
  readonly op: string;
  /** The constant, as the model calls it. */
  readonly tensor: string;
  readonly shape: readonly number[];
  /** Zeros as a fraction of all elements. */
  readonly zeros: number;
  readonly pattern: Pattern;
  /** Name of the layout, or "dense". */
  readonly format: string;
  /** A sentence: why that format, for hosts. */
  readonly why: string;
  /** The same for devices; absent where it is chosen there. */
  readonly whyOnDevices?: string;
  /** Time of the dense kernel over time of the chosen one, predicted; 1 where dense. */
  readonly predictedGain: number;
}

export function patternToString(p: Pattern): string {
  switch (p.kind) {
    case "dense":
    case "zero":
    case "unstructured":
    case "diagonal":
      return p.kind;
    case "block":
      return `${p.rows}x${p.columns} blocks`;
    case "n-of-m":
      return `${p.n}:${p.m}${p.along === "channels" ? " along channels" : ""}`;
    case "rows":
      return `${p.empty} empty rows`;
    case "columns":
      return `${p.empty} empty columns`;
    case "channels":
      return `${p.empty} empty input channels`;
    case "banded":
      return `banded, width ${p.bandwidth}`;
    case "repeated":
      return `${p.distinct} distinct rows`;
  }
}
