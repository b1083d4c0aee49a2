// What a user is told of quantization: layer by layer, and of the whole model.

import type { Scheme } from "./scheme.ts";

/** One layer's part of the report. */
export interface LayerReport {
  readonly node: string;
  readonly op: string;
  readonly shape: readonly number[];
  /** Type of the weights; f32 where they stayed. */
  readonly dtype: string;
  /** What shares a scale: "tensor", "channel", or weights in a block. */
  readonly block: string;
  /** Whether zero is the middle of the levels. */
  readonly symmetric: boolean;
  /** Signal to noise of the weights themselves, in dB; absent where they stayed, and where the model came quantized. */
  readonly rounding?: number;
  /** Signal to noise of the layer's result against the float model's on the calibration samples, in dB; absent without samples. */
  readonly noise?: number;
}

export interface QuantizationReport {
  /** What was asked for; absent where the model came quantized. */
  readonly scheme?: Scheme;
  readonly layers: readonly LayerReport[];
  /** Bytes of the layers' weights with their scales, as a part of what they take as f32. */
  readonly size: number;
  /** Activations that are rounded, counted as values. */
  readonly activations: number;
  /** Signal to noise of the first output in dB, and points lost, on the calibration samples. */
  readonly output?: number;
  readonly loss?: number;
  /** Right answers in a hundred, on the samples given for that. */
  readonly accuracy?: { readonly samples: number; readonly before: number; readonly after: number };
}
