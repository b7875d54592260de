//! What the device computes alone is the model, whether behind a head or from the beginning.

mod rig;

use edgecut_edge::engine::Warm;
use edgecut_edge::plans::Plans;

#[test]
fn whole_and_halves_give_the_models_bits() {
    let folder = tempfile::tempdir().unwrap();
    rig::write_plans(folder.path(), 1);
    let plans = Plans::read(folder.path()).unwrap();
    let mut warm = Warm::load(folder.path(), &plans, 1).unwrap();
    let pictures = rig::pictures(&warm.inputs()[0].shape);
    let expected = rig::local_answers(folder.path(), &pictures);
    for (input, expected) in pictures.iter().zip(&expected) {
        let inputs = std::slice::from_ref(input);
        assert_eq!(&warm.whole(inputs).unwrap()[0], expected, "whole");
        for (index, _) in plans.plans.iter().enumerate().filter(|(_, plan)| plan.cut.is_some()) {
            let made = warm.head(index, inputs).unwrap();
            assert_eq!(&warm.rest(index, inputs, &made).unwrap()[0], expected, "plan {index}");
        }
    }
}
