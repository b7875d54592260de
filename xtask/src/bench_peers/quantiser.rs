//! The quantisers whose int8 models are measured.

/// Who makes an int8 model of the float one. `xtask/peers/bench_quantize.py` runs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantiser {
    /// ONNX Runtime's static quantiser: QDQ, u8 activations, s8 weights per channel.
    Ort,
    /// ONNX Runtime's dynamic quantiser: integer operators behind ranges taken at run time.
    OrtDynamic,
    /// NNCF, what OpenVINO recommends.
    Nncf,
    /// ai-edge-quantizer, static int8.
    LiteRt,
    /// ncnn2table and ncnn2int8.
    Ncnn,
    /// mnnquant.
    Mnn,
}

impl Quantiser {
    /// As the script calls it.
    pub fn name(self) -> &'static str {
        match self {
            Quantiser::Ort => "ort",
            Quantiser::OrtDynamic => "ort-dynamic",
            Quantiser::Nncf => "nncf",
            Quantiser::LiteRt => "litert",
            Quantiser::Ncnn => "ncnn",
            Quantiser::Mnn => "mnn",
        }
    }

    /// The file that it makes; ncnn's two files add `.param` and `.bin`.
    pub fn file(self) -> &'static str {
        match self {
            Quantiser::Ort => "ort-int8.onnx",
            Quantiser::OrtDynamic => "ort-dynamic-int8.onnx",
            Quantiser::Nncf => "nncf-int8.xml",
            Quantiser::LiteRt => "litert-int8.tflite",
            Quantiser::Ncnn => "int8.ncnn",
            Quantiser::Mnn => "int8.mnn",
        }
    }

    /// The Python packages that it needs.
    pub fn packages(self) -> &'static [&'static str] {
        match self {
            Quantiser::Ort | Quantiser::OrtDynamic => &["onnx"],
            Quantiser::Nncf => &["nncf"],
            Quantiser::LiteRt => &["ai-edge-quantizer"],
            Quantiser::Ncnn | Quantiser::Mnn => &[],
        }
    }
}
