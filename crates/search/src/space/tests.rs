use std::collections::HashSet;

use edgecut_graph::rng::Rng;
use num_bigint::BigUint;
use proptest::prelude::*;

use super::*;

/// Number of choices, whether they are ordered, and genes and choices to depend on.
type Draft = (usize, bool, Vec<(usize, u8)>);

/// Spaces of up to six genes with up to three choices, and conditions on earlier genes.
pub fn spaces() -> impl Strategy<Value = Space> {
    let gene = (1usize..4, any::<bool>(), prop::collection::vec((0usize..6, 1u8..7), 0..3));
    prop::collection::vec(gene, 1..7).prop_map(|drafts| {
        let counts: Vec<usize> = drafts.iter().map(|d| d.0).collect();
        let gene = |(index, (count, ordered, wishes)): (usize, &Draft)| {
            let names: Vec<String> = (0..*count).map(|c| format!("c{c}")).collect();
            let when = wishes.iter().filter(|_| index > 0).map(|&(other, mask)| {
                let gene = other % index;
                let mut choices: Vec<u16> =
                    (0..counts[gene] as u16).filter(|c| mask >> c & 1 == 1).collect();
                if choices.is_empty() {
                    choices.push(0);
                }
                Condition { gene, choices }
            });
            let when = when.collect();
            Gene { name: format!("g{index}"), choices: names, ordered: *ordered, when }
        };
        Space::new(drafts.iter().enumerate().map(gene).collect()).unwrap()
    })
}

/// All genomes, by trying all choices.
pub fn all_genomes(space: &Space) -> HashSet<Genome> {
    let mut all = vec![vec![]];
    for gene in space.genes() {
        let extend = |begin: &Vec<u16>| {
            let begin = begin.clone();
            (0..gene.choices.len() as u16).map(move |c| [begin.clone(), vec![c]].concat())
        };
        all = all.iter().flat_map(extend).collect();
    }
    all.into_iter().map(|choices| space.genome(choices).unwrap()).collect()
}

proptest! {
    #[test]
    fn the_size_is_the_number_of_distinct_genomes(space in spaces()) {
        prop_assert_eq!(space.size().unwrap(), BigUint::from(all_genomes(&space).len()));
    }

    #[test]
    fn what_is_drawn_changed_or_crossed_is_a_genome(space in spaces(), seed: u64) {
        let mut rng = Rng::new(seed);
        let all = all_genomes(&space);
        let (a, b) = (space.sample(&mut rng), space.sample(&mut rng));
        let mut made = vec![space.mutate_each(&a, 0.3, &mut rng), space.cross(&a, &b, &mut rng)];
        made.extend([space.mutate(&a, &mut rng), a.clone(), b]);
        let neighbours = space.neighbours(&a);
        prop_assert!(neighbours.iter().all(|n| *n != a));
        made.extend(neighbours);
        prop_assert!(made.iter().all(|genome| all.contains(genome)));
        prop_assert_eq!(space.mutate(&a, &mut rng) == a, all.len() == 1 || is_stuck(&space, &a));
    }

    #[test]
    fn features_tell_genomes_apart(space in spaces(), seed: u64) {
        let mut rng = Rng::new(seed);
        let (a, b) = (space.sample(&mut rng), space.sample(&mut rng));
        prop_assert_eq!(space.features(&a) != space.features(&b), a != b);
        prop_assert_eq!(space.features(&a).len(), space.feature_genes().len());
    }
}

/// Whether no active gene has another choice.
fn is_stuck(space: &Space, genome: &Genome) -> bool {
    space.neighbours(genome).is_empty()
}

#[test]
fn sizes_leave_128_bits_behind() {
    let names: Vec<String> = (0..100).map(|i| i.to_string()).collect();
    let genes: Vec<Gene> = names.iter().map(|n| Gene::unordered(n, &["a", "b", "c"])).collect();
    assert_eq!(Space::new(genes).unwrap().size().unwrap(), BigUint::from(3u8).pow(100));
}

#[test]
fn genes_that_make_no_sense_are_named() {
    let error = |genes: Vec<Gene>| Space::new(genes).unwrap_err().to_string();
    let gene = |name: &str| Gene::ordered(name, &["1", "2"]);
    assert!(error(vec![gene("width"), gene("width")]).contains("`width`: occurs twice"));
    assert!(error(vec![gene("width").when(0, &[1])]).contains("no earlier one"));
    assert!(error(vec![gene("depth"), gene("width").when(0, &[2])]).contains("`depth` does not"));
    assert!(error(vec![Gene::ordered("kernel", &[])]).contains("has 0 choices"));
    assert!(error(vec![Gene::ordered("kernel", &["3", "3"])]).contains("same choice twice"));
    assert!(error(vec![]).contains("not 0"));
}

#[test]
fn descriptions_name_active_genes() {
    let depth = Gene::ordered("depth", &["1", "2"]);
    let kernel = Gene::ordered("kernel2", &["3", "5"]).when(0, &[1]);
    let space = Space::new(vec![depth, kernel]).unwrap();
    let spell = |choices: &[u16]| space.describe(&space.genome(choices.to_vec()).unwrap());
    assert_eq!(spell(&[0, 1]), "depth=1");
    assert_eq!(spell(&[1, 1]), "depth=2 kernel2=5");
    assert!(space.genome(vec![0]).is_err() && space.genome(vec![0, 2]).is_err());
}
