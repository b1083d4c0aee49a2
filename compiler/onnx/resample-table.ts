// Where each element of a resized axis comes from: source positions and weights, after the modes of ONNX's Resize.

export interface ResizeModes {
  readonly mode: "nearest" | "linear" | "cubic";
  readonly coordinates: string;
  readonly nearest: string;
  /** The `a` of the cubic convolution kernel. */
  readonly cubicA: number;
  readonly excludeOutside: boolean;
  readonly antialias: boolean;
}

export interface ResizedAxis {
  readonly from: number;
  readonly to: number;
  /** Output over input, as given; it need not be `to / from`. */
  readonly scale: number;
  /** Region of interest, in units of the input's extent. */
  readonly start: number;
  readonly end: number;
}

export interface AxisTable {
  /** Per output element, one position per tap. */
  readonly index: readonly (readonly number[])[];
  readonly weight: readonly (readonly number[])[];
  /** Output elements off the input, for `tf_crop_and_resize`. */
  readonly outside: readonly boolean[];
}

/** The source coordinate of output element x, or undefined where the transformation has no such name. */
function coordinate(mode: string, x: number, { from, to, scale, start, end }: ResizedAxis): number | undefined {
  const width = scale * from;
  switch (mode) {
    case "half_pixel":
      return (x + 0.5) / scale - 0.5;
    case "pytorch_half_pixel":
      return to === 1 ? -0.5 : (x + 0.5) / scale - 0.5;
    case "half_pixel_symmetric":
      return (from / 2) * (1 - to / width) + (x + 0.5) / scale - 0.5;
    case "asymmetric":
      return x / scale;
    case "align_corners":
      return width === 1 ? 0 : (x * (from - 1)) / (width - 1);
    case "tf_crop_and_resize":
      return to === 1 ? 0.5 * (start + end) * (from - 1) : start * (from - 1) + (x * (end - start) * (from - 1)) / (to - 1);
    default:
      return undefined;
  }
}

/** `simple` is what Resize-10 and Upsample did. */
function nearest(mode: string, x: number, scale: number): number | undefined {
  switch (mode) {
    case "round_prefer_floor":
      return Math.ceil(x - 0.5);
    case "round_prefer_ceil":
      return Math.floor(x + 0.5);
    case "floor":
      return Math.floor(x);
    case "ceil":
      return Math.ceil(x);
    case "simple":
      return scale < 1 ? Math.ceil(x) : Math.trunc(x);
    default:
      return undefined;
  }
}

/** The interpolation kernel at distance t. */
function kernel({ mode, cubicA: a }: ResizeModes, t: number): number {
  if (mode === "linear") return Math.max(0, 1 - t);
  if (t <= 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  return t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a : 0;
}

/** Downsampling with antialiasing stretches the kernel over what one output element covers. */
const stretchOf = (scale: number, { antialias, mode }: ResizeModes): number => (antialias && mode !== "nearest" ? Math.min(scale, 1) : 1);
/** The first tap before the source position's floor, as a number <= 0. */
const firstTap = (scale: number, modes: ResizeModes): number => Math.floor(-(modes.mode === "cubic" ? 2 : 1) / stretchOf(scale, modes)) + 1;

/** Source elements that one output element may need. */
export const tapsOf = (scale: number, modes: ResizeModes): number => (modes.mode === "nearest" ? 1 : 2 - 2 * firstTap(scale, modes));

/** The table of one axis, or the name of a mode that is unknown. */
export function axisTable(axis: ResizedAxis, modes: ResizeModes): AxisTable | string {
  const index: number[][] = [];
  const weight: number[][] = [];
  const outside: boolean[] = [];
  const last = axis.from - 1;
  const stretch = stretchOf(axis.scale, modes);
  const first = firstTap(axis.scale, modes);
  const taps = tapsOf(axis.scale, modes);
  for (let o = 0; o < axis.to; o++) {
    const x = coordinate(modes.coordinates, o, axis);
    if (x === undefined) return modes.coordinates;
    outside.push(modes.coordinates === "tf_crop_and_resize" && (x < 0 || x > last));
    if (modes.mode === "nearest") {
      const at = nearest(modes.nearest, x, axis.scale);
      if (at === undefined) return modes.nearest;
      index.push([Math.min(Math.max(at, 0), last)]);
      weight.push([1]);
      continue;
    }
    const positions = Array.from({ length: taps }, (_, t) => Math.ceil(x) - 1 + first + t);
    const kernels = positions.map((p) => (modes.excludeOutside && (p < 0 || p > last) ? 0 : kernel(modes, Math.abs(p - x) * stretch)));
    const total = modes.excludeOutside || stretch < 1 ? kernels.reduce((a, b) => a + b, 0) : 1;
    index.push(positions.map((p) => Math.min(Math.max(p, 0), last)));
    weight.push(kernels.map((w) => w / total));
  }
  return { index, weight, outside };
}
