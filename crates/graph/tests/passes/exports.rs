//! What real exporters write: models exported by PyTorch become the operators they mean.

use edgecut_graph::{Data, Graph, onnx};
use edgecut_testkit::Python;

use crate::canonical::canonical;
use crate::count;

/// Saves each named model, exported at an opset, as the bytes of an ONNX file.
const SCRIPT: &str = "
import sys, io, warnings, numpy as np, torch, torch.nn as nn
warnings.filterwarnings('ignore')
torch.manual_seed(1)
def excite():
    class Excite(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 8), nn.Hardsigmoid())
        def forward(self, x):
            b, c, _, _ = x.shape
            y = nn.functional.adaptive_avg_pool2d(x, 1).view(b, c)
            return x * self.fc(y).view(b, c, 1, 1)
    return Excite()
class Gelu(nn.Module):
    def forward(self, x): return nn.functional.gelu(x, approximate='tanh')
class Shuffle(nn.Module):
    def forward(self, x):
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 3)
    def forward(self, x): return self.fc(x.mean([2, 3]))
small = {'hardswish': nn.Hardswish(), 'hardsigmoid': nn.Hardsigmoid(), 'silu': nn.SiLU(),
         'mish': nn.Mish(), 'gelu': nn.GELU(), 'gelu_tanh': Gelu(), 'norm': nn.LayerNorm(6),
         'shuffle': Shuffle(), 'pixels': nn.PixelShuffle(2), 'excite': excite(), 'head': Head()}
def whole(name):
    if name == 'mobilevit_xxs':
        import timm
        return timm.create_model(name)
    import torchvision
    return getattr(torchvision.models, name)()
for item in sys.argv[1:]:
    name, opset = item.split('@')
    model = small[name] if name in small else whole(name)
    shape = (1, 8, 4, 6) if name in small else (1, 3, 64, 64)
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.2); m.running_var.uniform_(0.5, 1.5)
    file = io.BytesIO()
    torch.onnx.export(model.eval(), torch.randn(shape), file, opset_version=int(opset), dynamo=False)
    np.save(f'{name}_{opset}.npy', np.frombuffer(file.getvalue(), np.uint8))
";

/// Exports `name@opset`, imports it and returns the graph.
fn export(python: &Python, item: &str) -> Graph {
    let files = python.run(SCRIPT, &[item], &[]).unwrap();
    let (name, tensor) = files.iter().next().unwrap();
    let Data::U8(bytes) = tensor.data() else { panic!("{name}: bytes") };
    onnx::from_bytes(name, bytes).unwrap_or_else(|e| panic!("{item}: {e}"))
}

#[test]
fn layers_of_pytorch() {
    let Some(python) = Python::with(&["torch", "onnx"]) else { return };
    for (item, op) in [
        ("hardswish@12", "HardSwish"),
        ("hardswish@14", "HardSwish"),
        ("hardsigmoid@12", "HardSigmoid"),
        ("silu@13", "Swish"),
        ("mish@13", "Mish"),
        ("gelu@13", "Gelu"),
        ("gelu_tanh@13", "Gelu"),
        ("norm@13", "LayerNormalization"),
        ("norm@17", "LayerNormalization"),
        ("shuffle@13", "ChannelShuffle"),
        ("pixels@13", "DepthToSpace"),
    ] {
        let rewritten = canonical(&export(&python, item), 1e-5);
        let names = crate::ops(&rewritten);
        assert_eq!(rewritten.nodes.len(), 1, "{item}: {names:?} should be {op}");
    }
    let excite = canonical(&export(&python, "excite@13"), 1e-5);
    let expected = ["GlobalAveragePool", "Conv", "Relu", "Conv", "HardSigmoid", "Mul"];
    assert_eq!(crate::ops(&excite), expected);
    let head = canonical(&export(&python, "head@13"), 1e-5);
    assert_eq!(crate::ops(&head), ["GlobalAveragePool", "Flatten", "Gemm"]);
}

#[test]
fn networks_of_pytorch() {
    let Some(python) = Python::with(&["torch", "torchvision", "onnx"]) else { return };
    let v3 = canonical(&export(&python, "mobilenet_v3_small@12"), 1e-4);
    assert_eq!((count(&v3, "HardSwish"), count(&v3, "HardSigmoid")), (19, 9));
    assert_eq!((count(&v3, "GlobalAveragePool"), count(&v3, "Div")), (10, 0));
    let shuffle = canonical(&export(&python, "shufflenet_v2_x0_5@12"), 1e-4);
    assert_eq!((count(&shuffle, "ChannelShuffle"), count(&shuffle, "Transpose")), (16, 0));
}

#[test]
fn a_transformer_of_timm() {
    let Some(python) = Python::with(&["torch", "timm", "onnx"]) else { return };
    let vit = canonical(&export(&python, "mobilevit_xxs@13"), 1e-4);
    assert_eq!(count(&vit, "Pow"), 0);
    assert_eq!(count(&vit, "Sigmoid"), 0);
}
