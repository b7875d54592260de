//! Early exits: the network stays as it is, each exit can be trained alone, and a cut has both.

use edgecut_collab::Halves;
use edgecut_collab::exits::{adopt, alone, attach, learners, output_name};
use edgecut_graph::{Builder, Graph, Tensor, Window, interpret};

fn network() -> Graph {
    let mut b = Builder::new("plain", 1);
    let mut x = b.input("image", ["n".into(), 3.into(), 8.into(), 8.into()]);
    for (name, maps) in [("a", 4), ("b", 6), ("c", 8)] {
        x = b.conv(x, name, maps, Window::same(3, 1), 1, true).unwrap();
        x = b.relu(x).unwrap();
        b.rename(x, &format!("{name}.out"));
    }
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let x = b.linear(x, "classes", 5).unwrap();
    b.finish(&[x]).unwrap()
}

fn picture() -> Vec<Tensor> {
    vec![edgecut_testkit::random_tensor(&[1, 3, 8, 8], 4)]
}

#[test]
fn exits_are_added_and_nothing_else_changes() {
    let graph = network();
    let at = ["a.out", "b.out"].map(|name| graph.find_value(name).unwrap());
    let with = attach(&graph, &at, 5, 3).unwrap();
    let before = interpret::run(&graph, &picture()).unwrap();
    let outputs = interpret::run(&with, &picture()).unwrap();
    assert_eq!((outputs.len(), &outputs[2]), (3, &before[0]));
    assert!(outputs.iter().all(|output| output.shape() == [1, 5]));
    assert!(learners(&with).iter().all(|name| name.starts_with("exit.")));
    // Alone, an exit says the same, and what it learns goes back.
    let mut first = alone(&with, 0).unwrap();
    assert_eq!(interpret::run(&first, &picture()).unwrap()[0], outputs[0]);
    assert!(first.nodes.len() < with.nodes.len() - 4);
    let bias = first.find_value("exit.0.linear.bias").unwrap();
    first.set_constant(bias, Tensor::vector(vec![1.0f32, 2.0, 3.0, 4.0, 5.0]));
    let mut learned = with.clone();
    adopt(&mut learned, &first, 0);
    let now = interpret::run(&learned, &picture()).unwrap();
    assert_eq!(now[0], interpret::run(&first, &picture()).unwrap()[0]);
    assert_eq!(now[1..], outputs[1..]);
}

#[test]
fn cut_at_an_exit_the_device_has_an_answer_of_its_own() {
    let graph = network();
    let at = graph.find_value("b.out").unwrap();
    let with = attach(&graph, &[at], 5, 3).unwrap();
    // What the exit needs is the device's, the rest the server's.
    let mut needed = vec![false; with.values().len()];
    needed[with.find_value(&output_name(0)).unwrap().index()] = true;
    let mut device = vec![false; with.nodes.len()];
    for (node, here) in with.nodes.iter().zip(&mut device).rev() {
        *here = node.outputs.iter().any(|id| needed[id.index()]);
        node.inputs.iter().flatten().filter(|_| *here).for_each(|id| needed[id.index()] = true);
    }
    let halves = Halves::of(&with, &device).unwrap();
    let (head, tail) = (halves.head.clone().unwrap(), halves.tail.clone().unwrap());
    let inputs = picture();
    let made = interpret::run(&head, &halves.head_inputs(&inputs)).unwrap();
    let outputs = interpret::run(&tail, &halves.crossing(&inputs, &made)).unwrap();
    assert_eq!(halves.answer(&inputs, &made, &outputs), interpret::run(&with, &inputs).unwrap());
    assert!(head.outputs.iter().any(|id| head.value(*id).name == output_name(0)));
}

#[test]
fn places_that_cannot_have_exits_are_explained() {
    let graph = network();
    let at = graph.find_value("a.out").unwrap();
    let fails = |graph: &Graph, at: &[_], says: &str| {
        let error = attach(graph, at, 5, 1).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    fails(&graph, &[], "0 of them");
    fails(&graph, &[graph.outputs[0]], "no image");
    let with = attach(&graph, &[at], 5, 1).unwrap();
    fails(&with, &[with.find_value("a.out").unwrap()], "some already");
    assert!(alone(&graph, 0).unwrap_err().to_string().contains("no output 'exit.0'"));
}
