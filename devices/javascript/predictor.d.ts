/** Numbers in rows, with the size of each axis. */
export interface NumberArray {
  data: ArrayBufferView & ArrayLike<number | bigint>;
  dims: readonly number[];
}

/** Numbers of an output. */
export interface OutputArray extends NumberArray {
  type: string;
}

/** What the browser calls ImageData, or a picture with one channel or three. */
export interface Picture {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
  channels?: 1 | 3;
}

export interface Canvas {
  width: number;
  height: number;
  getContext(kind: "2d"): unknown;
}

/** The address of a file, its bytes, or a File that a user chose. */
export type Source = string | URL | Uint8Array | ArrayBuffer | Blob;

/** Answer for one sample. */
export interface Prediction {
  /** Name of the class with the largest score, or the names of the labels that are present. */
  label: string;
  /** The largest score. */
  score: number;
  /** The scores of all classes. */
  scores: ArrayBufferView & ArrayLike<number | bigint>;
}

/** Largest difference of one output over a suite; infinite if its shape or NaN differ. */
export interface Check {
  output: string;
  suite: string;
  samples: number;
  maxAbs: number;
  allowed: number;
  passed: boolean;
}

export interface Verdict {
  passed: boolean;
  checks: Check[];
  sha256: string;
  /** What computed the sealed outputs. */
  reference: string;
  /** Why the first execution provider is not used any more, or null. */
  fellBack: string | null;
}

/** An exported model that is ready to run. Each method throws an Error that says what is wrong. */
export class Predictor {
  private constructor();

  /**
   * Loads a file that keras-capsules exported.
   *
   * @param source The file.
   * @param options.seal The file's seal, for `verify`. Defaults to `<address>.golden.npz`.
   * @param options.executionProviders Names for onnxruntime-web, best first. Defaults to WebGPU and
   *     wasm where the browser has a GPU, and to wasm elsewhere.
   */
  static load(
    source: Source,
    options?: { seal?: Source; executionProviders?: readonly (string | { name: string })[] },
  ): Promise<Predictor>;

  /** Names of the classes, or null. */
  readonly labels: string[] | null;
  /** The inputs for a black and a white pixel. */
  readonly range: [number, number];
  /** "classes", "labels", "binary", or another task. */
  readonly task: string;
  /** Smallest score of a label that is present. */
  readonly threshold: number;
  readonly layout: "channels_last" | "channels_first";
  /** Type of each input by name. */
  readonly types: Record<string, string>;
  /** Shape of one sample of each input. Open axes have names. */
  readonly shapes: Record<string, (number | string)[]>;
  /** Size of the batches that the file takes, or null if it takes any. */
  readonly batch: number | null;
  /** Names of the outputs. */
  readonly outputs: string[];
  readonly executionProviders: string[];

  /**
   * Classifies a picture, or samples in an array. If the model takes floats, Uint8Arrays are
   * pixels, which are scaled. A file with preprocessing takes nothing else.
   */
  predict(images: Picture | Canvas | NumberArray | ArrayBufferView): Promise<Prediction[]>;

  /** Runs the model once on unscaled arrays by input name, and returns the outputs by name. */
  run(arrays: Record<string, NumberArray | ArrayBufferView>): Promise<Record<string, OutputArray>>;

  /** Returns what `predict` gives to the model: fitted to its sizes, scaled, of its type. */
  prepare(images: Picture | Canvas | NumberArray | ArrayBufferView): {
    data: ArrayBufferView & ArrayLike<number | bigint>;
    dims: number[];
  };

  /**
   * Checks the file against its seal. An execution provider that computes otherwise is replaced by
   * wasm, which a warning and `fellBack` say.
   */
  verify(): Promise<Verdict>;

  /** Frees the memory of the model. */
  release(): Promise<void>;
}
