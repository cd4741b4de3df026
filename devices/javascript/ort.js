// The one import of onnxruntime-web. A page without a bundler puts its build in place of this file.

export { InferenceSession, Tensor } from "onnxruntime-web";
