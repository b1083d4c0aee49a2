// The value that a reduction starts from.

import { DTYPES } from "../../../ir/dtype.ts";
import type { ScalarType } from "../../../ir/scalar/types.ts";

export function identityOf(op: "sum" | "prod" | "min" | "max" | "and" | "or", type: ScalarType): number | bigint {
  switch (op) {
    case "sum":
      return 0;
    case "or":
      return 0;
    case "prod":
      return 1;
    case "and":
      return type === "bool" ? 1 : -1;
    case "min":
    case "max": {
      if (type === "f32" || type === "f64") return op === "min" ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
      if (type === "bool") return op === "min" ? 1 : 0;
      return op === "min" ? DTYPES[type].max! : DTYPES[type].min!;
    }
  }
}
