//! The table behind the catalogue.

use crate::catalogue::{Architecture, Family};
use crate::squeezenet::SqueezeNetVersion::{V1_0, V1_1};
use crate::{
    DsCnn, EfficientNetLite, LeNet5, MobileNetV1, MobileNetV2, MobileNetV3, ResNet, ResNetCifar,
    ShuffleNetV1, ShuffleNetV2, SqueezeNet,
};

const LENET: Family = Family {
    summary: "two convolutions and two fully connected layers, in Caffe's form",
    paper: "LeCun et al. 1998; this form in Han et al. 2016",
    arxiv: "1510.00149",
};
const V1: Family = Family {
    summary: "depthwise separable convolutions; the width is the paper's alpha",
    paper: "Howard et al. 2017",
    arxiv: "1704.04861",
};
const V2: Family = Family {
    summary: "inverted residuals with linear bottlenecks",
    paper: "Sandler et al. 2018",
    arxiv: "1801.04381",
};
const V3: Family = Family {
    summary: "inverted residuals with squeeze-and-excitation and hard-swish",
    paper: "Howard et al. 2019",
    arxiv: "1905.02244",
};
const V3_MINIMAL: Family =
    Family { summary: "MobileNetV3 of 3x3 windows and ReLU alone, for plain accelerators", ..V3 };
const SHUFFLE_V1: Family = Family {
    summary: "grouped pointwise convolutions and channel shuffle; g groups",
    paper: "Zhang et al. 2017",
    arxiv: "1707.01083",
};
const SHUFFLE_V2: Family = Family {
    summary: "half of the channels convolved, then both halves shuffled",
    paper: "Ma et al. 2018",
    arxiv: "1807.11164",
};
const SQUEEZE: Family = Family {
    summary: "fire modules: squeezed by 1x1, expanded by 1x1 and 3x3; no BatchNorm",
    paper: "Iandola et al. 2016",
    arxiv: "1602.07360",
};
const LITE: Family = Family {
    summary: "EfficientNet with ReLU6 and without squeeze-and-excitation",
    paper: "Tan and Le 2019",
    arxiv: "1905.11946",
};
const RESIDUAL: Family =
    Family { summary: "residual network", paper: "He et al. 2015", arxiv: "1512.03385" };
const TINY: Family = Family {
    summary: "residual network of MLPerf Tiny",
    paper: "Banbury et al. 2021",
    arxiv: "2106.07597",
};
const KEYWORDS: Family = Family {
    summary: "keyword spotting on a spectrogram by separable convolutions",
    paper: "Zhang et al. 2017",
    arxiv: "1711.07128",
};

/// Input and classes.
type Task = ([usize; 3], usize);

const IMAGENET: Task = imagenet(224);
const CIFAR: Task = ([3, 32, 32], 10);
/// MNIST and Fashion-MNIST.
const GREY: Task = ([1, 28, 28], 10);
/// 49 frames of 10 cepstral coefficients; ten words, silence and unknown.
const SPEECH: Task = ([1, 49, 10], 12);

const fn imagenet(size: usize) -> Task {
    ([3, size, size], 1000)
}

/// By family, in the order of their years.
pub(crate) const ALL: &[Architecture] = &[
    LENET.named("lenet-5", GREY, |s| LeNet5.build(s)),
    V1.named("mobilenet-v1", IMAGENET, |s| MobileNetV1.build(s)),
    V2.named("mobilenet-v2", IMAGENET, |s| MobileNetV2::imagenet().with(s).build()),
    V2.named("mobilenet-v2-s32", CIFAR, |s| MobileNetV2::small_image().with(s).build()),
    V2.named("mobilenet-v2-s28", GREY, |s| MobileNetV2::tiny_image().with(s).build()),
    V3.named("mobilenet-v3-small", IMAGENET, |s| MobileNetV3::Small.build(s)),
    V3.named("mobilenet-v3-large", IMAGENET, |s| MobileNetV3::Large.build(s)),
    V3.named("mobilenet-v3-s28", GREY, |s| MobileNetV3::Tiny.build(s)),
    V3_MINIMAL
        .named("mobilenet-v3-small-minimal", IMAGENET, |s| MobileNetV3::Small.build_minimal(s)),
    V3_MINIMAL
        .named("mobilenet-v3-large-minimal", IMAGENET, |s| MobileNetV3::Large.build_minimal(s)),
    SHUFFLE_V1.named("shufflenet-v1-g1", IMAGENET, |s| ShuffleNetV1 { groups: 1 }.build(s)),
    SHUFFLE_V1.named("shufflenet-v1-g2", IMAGENET, |s| ShuffleNetV1 { groups: 2 }.build(s)),
    SHUFFLE_V1.named("shufflenet-v1-g3", IMAGENET, |s| ShuffleNetV1 { groups: 3 }.build(s)),
    SHUFFLE_V1.named("shufflenet-v1-g4", IMAGENET, |s| ShuffleNetV1 { groups: 4 }.build(s)),
    SHUFFLE_V1.named("shufflenet-v1-g8", IMAGENET, |s| ShuffleNetV1 { groups: 8 }.build(s)),
    SHUFFLE_V2.named("shufflenet-v2-0.5", IMAGENET, |s| ShuffleNetV2::X0_5.build(s)),
    SHUFFLE_V2.named("shufflenet-v2-1.0", IMAGENET, |s| ShuffleNetV2::X1_0.build(s)),
    SHUFFLE_V2.named("shufflenet-v2-1.5", IMAGENET, |s| ShuffleNetV2::X1_5.build(s)),
    SHUFFLE_V2.named("shufflenet-v2-2.0", IMAGENET, |s| ShuffleNetV2::X2_0.build(s)),
    SQUEEZE.named("squeezenet-1.0", IMAGENET, |s| squeezenet(V1_0, false).build(s)),
    SQUEEZE.named("squeezenet-1.0-bypass", IMAGENET, |s| squeezenet(V1_0, true).build(s)),
    SQUEEZE.named("squeezenet-1.1", IMAGENET, |s| squeezenet(V1_1, false).build(s)),
    SQUEEZE.named("squeezenet-1.1-bypass", IMAGENET, |s| squeezenet(V1_1, true).build(s)),
    LITE.named("efficientnet-lite0", imagenet(224), |s| EfficientNetLite::VARIANTS[0].build(s)),
    LITE.named("efficientnet-lite1", imagenet(240), |s| EfficientNetLite::VARIANTS[1].build(s)),
    LITE.named("efficientnet-lite2", imagenet(260), |s| EfficientNetLite::VARIANTS[2].build(s)),
    LITE.named("efficientnet-lite3", imagenet(280), |s| EfficientNetLite::VARIANTS[3].build(s)),
    LITE.named("efficientnet-lite4", imagenet(300), |s| EfficientNetLite::VARIANTS[4].build(s)),
    TINY.named("resnet-8", CIFAR, |s| ResNetCifar::Tiny.build(s)),
    RESIDUAL.named("resnet-20", CIFAR, |s| ResNetCifar::Deep { blocks: 3 }.build(s)),
    RESIDUAL.named("resnet-56", CIFAR, |s| ResNetCifar::Deep { blocks: 9 }.build(s)),
    RESIDUAL.named("resnet-18", IMAGENET, |s| ResNet::R18.build(s)),
    RESIDUAL.named("resnet-50", IMAGENET, |s| ResNet::R50.build(s)),
    KEYWORDS.named("ds-cnn-s", SPEECH, |s| DsCnn::Small.build(s)),
    KEYWORDS.named("ds-cnn-m", SPEECH, |s| DsCnn::Medium.build(s)),
    KEYWORDS.named("ds-cnn-l", SPEECH, |s| DsCnn::Large.build(s)),
];

const fn squeezenet(version: crate::SqueezeNetVersion, bypass: bool) -> SqueezeNet {
    SqueezeNet { version, bypass }
}
