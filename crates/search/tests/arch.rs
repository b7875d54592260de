//! Described spaces: genes, networks, and the weights that these share.

use edgecut_graph::rng::Rng;
use edgecut_kernels::Isa;
use edgecut_search::arch::{ArchSpace, SPACES, SpaceFile};
use edgecut_search::supernet::{Family, SharedWeights, Subnet};
use proptest::prelude::*;

const SPACE: &str = r#"
name = "all-families"
resolution = [16, 24]
stem = { channels = [8, 16] }
activation = ["relu", "hard-swish"]
last = [0, 48]

[[stage]]
block = ["mobilenet-v1", "fire"]
channels = "16..24"
depth = [1, 2]
kernel = [3, 5]

[[stage]]
block = ["mobilenet-v2", "mobilenet-v3", "shufflenet-v1", "shufflenet-v2"]
channels = [32, 40]
depth = [1, 2, 3]
stride = 2
kernel = [3, 5, 7]
expansion = [2, 4]
excite = [false, true]
"#;

fn space() -> ArchSpace {
    ArchSpace::new(SpaceFile::parse(SPACE).unwrap(), [1, 24], 10).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Every network can be built, and is a part of the shared weights; equal genomes are equal graphs.
    #[test]
    fn every_network_is_a_part_of_the_shared_weights(seed: u64) {
        let space = space();
        let weights = SharedWeights::new(&space.whole().unwrap()).unwrap();
        let genome = space.draw(&mut Rng::new(seed)).unwrap();
        let graph = space.graph(&genome, 0).unwrap();
        prop_assert!(Subnet::new(graph, &weights, 1, (1, Isa::detect())).is_ok());
    }
}

#[test]
fn genes_are_what_the_file_leaves_open() {
    let space = space();
    let names: Vec<&str> = space.space().genes().iter().map(|gene| gene.name.as_str()).collect();
    assert_eq!(
        names[..6],
        ["resolution", "stem", "activation", "last", "stage1.block", "stage1.channels"]
    );
    assert!(names.contains(&"stage2.3.excite") && !names.contains(&"stage1.1.expansion"));
    // Of stage 1: 3 kernels' worth per depth for V1 (2 + 4), one each for fire, times 2 widths:
    // (2 + 4 + 2) * 2 = 16. Of stage 2: V2 has 6 (kernel, expansion) a block, V3 12, V1 and V2's
    // units 3: sums over depths 258 + 1884 + 39 + 39 = 2220, times 2 widths. 16 others.
    assert_eq!(space.space().size().unwrap().to_string(), (16 * 16 * 2220 * 2).to_string());
}

#[test]
fn a_network_is_what_its_genes_say() {
    let space = space();
    let smallest = space.smallest().unwrap();
    assert_eq!(smallest.value(smallest.inputs[0]).shape.to_string(), "[batch, 1, 16, 16]");
    let largest = space.largest().unwrap();
    assert_eq!(largest.len(), 4);
    let names: Vec<&str> = largest[1].nodes.iter().map(|node| node.name.as_str()).collect();
    assert!(names.iter().any(|name| name.starts_with("stages.1.2.")), "{names:?}");
    assert!(names.iter().any(|name| name.contains("excite")));
}

/// Those that come along, at both usual sizes of small pictures: every network takes part.
#[test]
fn spaces_that_come_along_share_their_weights() {
    for ((name, _), input) in SPACES.into_iter().zip([[1, 28], [3, 32]]) {
        let space = ArchSpace::new(SpaceFile::named(name).unwrap(), input, 10).unwrap();
        let weights = SharedWeights::new(&space.whole().unwrap()).unwrap();
        for seed in 0..10 {
            let graph = space.random(&mut Rng::new(seed)).unwrap();
            Subnet::new(graph, &weights, 1, (1, Isa::detect())).unwrap();
        }
        Subnet::new(space.smallest().unwrap(), &weights, 1, (1, Isa::detect())).unwrap();
    }
    assert!(
        SpaceFile::named("marble").unwrap_err().to_string().contains("mobile, mixed, families")
    );
}

#[test]
fn mistakes_are_named() {
    let said = |from: &str, to: &str| {
        let text = SPACE.replacen(from, to, 1);
        assert_ne!(text, SPACE);
        SpaceFile::parse(&text).unwrap_err().to_string()
    };
    assert!(said("\"16..24\"", "\"24..16\"").contains("is no value and no range"));
    assert!(said("[32, 40]", "[32, 36]").contains("stage 2: channels: 36 is no multiple of 8"));
    assert!(said("kernel = [3, 5]\n", "kernel = [3, 4]\n").contains("stage 1: kernel: 4"));
    assert!(said("stride = 2", "stride = 1").contains("stage 2: block: ShuffleNet's units"));
    assert!(
        said("depth = [1, 2]\n", "depth = [0]\n").contains("stage 1: depth: 0 is not within 1")
    );
    assert!(said("kernel", "kernels").contains("kernels"));
    assert!(
        said("\"fire\"", "\"water\"").contains("expected"),
        "{}",
        said("\"fire\"", "\"water\"")
    );
    assert!(said("[16, 24]", "[]").contains("at least one value"));
}

#[test]
fn a_space_loses_what_no_network_within_the_limits_has() {
    let space = space();
    let cost = |net: &edgecut_zoo::BlockNet| {
        edgecut_graph::cost::cost(&net.build(0).unwrap(), 1).unwrap().macs
    };
    let drawn = |space: &ArchSpace, seed| space.net(&space.draw(&mut Rng::new(seed)).unwrap());
    let mut costs: Vec<u64> = (0..60).map(|seed| cost(&drawn(&space, seed))).collect();
    costs.sort_unstable();
    let limit = costs[6];
    let shrunk = space.shrunk(&mut |genome| cost(&space.net(genome)) <= limit).unwrap();
    assert!(!shrunk.dropped.is_empty());
    let small = ArchSpace::new(shrunk.file.clone(), [1, 24], 10).unwrap();
    assert!(small.space().size().unwrap() < space.space().size().unwrap());
    // Each network that fits is still there: what it is made of has not been dropped.
    for seed in 0..300 {
        let genome = space.draw(&mut Rng::new(1000 + seed)).unwrap();
        if cost(&space.net(&genome)) <= limit {
            // Genes of blocks choose among their stage's values: stage2.1.kernel among stage2.kernel.
            let values = space.space().describe(&genome);
            let stage = |gene: &str| match gene.split('.').collect::<Vec<_>>()[..] {
                [stage, _, field] => format!("{stage}.{field}"),
                _ => gene.to_string(),
            };
            let gone = values.split(' ').map(stage).find(|value| shrunk.dropped.contains(value));
            assert_eq!(gone, None, "{values}");
        }
    }
    let whole = space.shrunk(&mut |_| true).unwrap();
    assert!(whole.dropped.is_empty());
    let none = space.shrunk(&mut |_| false).unwrap();
    assert!(none.dropped.is_empty(), "a space of nothing is no space");
}
