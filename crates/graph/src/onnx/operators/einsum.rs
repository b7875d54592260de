//! Einsum as products of matrices: operands join one after another, each pair as
//! `[shared, own, summed] x [shared, summed, own]`.

use crate::onnx::import::Importer;
use crate::onnx::node::{Meaning, NodeIn};
use crate::op::{Cut, Op, Reduction, ReshapeDim};
use crate::{DType, Result, ValueId};

/// An operand: a value whose dimensions have labels.
struct Term {
    id: ValueId,
    labels: Vec<char>,
}

/// Labels of the equation. An ellipsis is labels of its own, counted from the last dimension:
/// `'\u{1}'` for the last one.
struct Equation {
    inputs: Vec<Vec<char>>,
    output: Vec<char>,
}

pub(super) fn einsum(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let text = node.string("equation")?.unwrap_or_default().to_string();
    let ids = node.all_values(im)?;
    let ranks: Vec<usize> = ids.iter().map(|&id| node.shape(im, id).rank()).collect();
    let equation = parse(&text, &ranks)
        .ok_or_else(|| node.malformed(format!("equation '{text}' does not fit ranks {ranks:?}")))?;
    if ids.iter().any(|&id| node.dtype(im, id) != DType::F32) {
        return Err(node.unsupported("of integers: float32 is supported"));
    }
    let mut terms = vec![];
    for (&id, labels) in ids.iter().zip(equation.inputs) {
        terms.push(diagonal(im, node, Term { id, labels })?);
    }
    let mut terms = terms.into_iter();
    let Some(mut total) = terms.next() else { return Err(node.malformed("has no inputs")) };
    while let Some(next) = terms.next() {
        let later = terms.as_slice().iter().flat_map(|t| t.labels.iter());
        let kept: Vec<char> = equation.output.iter().chain(later).copied().collect();
        total = product(im, node, total, next, &kept)?;
    }
    let total = summed(im, node, total, &equation.output)?;
    let at = |label: &char| total.labels.iter().position(|l| l == label);
    match equation.output.iter().map(at).collect::<Option<Vec<usize>>>() {
        Some(perm) => Ok(Meaning::Op(Op::Transpose { perm }, vec![Some(total.id)])),
        None => Err(node.malformed(format!("equation '{text}' has a result of no input"))),
    }
}

fn parse(text: &str, ranks: &[usize]) -> Option<Equation> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let (left, right) = match text.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (text.as_str(), None),
    };
    let parts: Vec<&str> = left.split(',').collect();
    if parts.len() != ranks.len() {
        return None;
    }
    let mut widest = 0;
    let mut inputs = vec![];
    for (part, &rank) in parts.iter().zip(ranks) {
        let letters = part.replacen("...", "", 1).chars().count();
        let hidden = rank.checked_sub(letters)?;
        widest = widest.max(hidden);
        inputs.push(labels(part, hidden).filter(|labels| labels.len() == rank)?);
    }
    let output = match right {
        Some(right) => labels(right, widest)?,
        None => implicit(&inputs, widest),
    };
    let repeated = output.iter().enumerate().any(|(i, l)| output[..i].contains(l));
    (!repeated).then_some(Equation { inputs, output })
}

/// The labels of one operand whose ellipsis, if it has one, stands for `hidden` dimensions.
fn labels(part: &str, hidden: usize) -> Option<Vec<char>> {
    let (before, after) = part.split_once("...").map_or((part, None), |(b, a)| (b, Some(a)));
    if !before.chars().chain(after.unwrap_or("").chars()).all(|c| c.is_ascii_alphabetic()) {
        return None;
    }
    let mut labels: Vec<char> = before.chars().collect();
    if let Some(after) = after {
        labels.extend((1..=hidden as u32).rev().filter_map(char::from_u32));
        labels.extend(after.chars());
    }
    Some(labels)
}

/// Without an arrow: the ellipsis, then what appears once, alphabetically.
fn implicit(inputs: &[Vec<char>], widest: usize) -> Vec<char> {
    let all: Vec<char> = inputs.concat();
    let mut once: Vec<char> = all
        .iter()
        .filter(|l| l.is_ascii_alphabetic() && all.iter().filter(|o| o == l).count() == 1)
        .copied()
        .collect();
    once.sort_unstable();
    labels("...", widest).unwrap_or_default().into_iter().chain(once).collect()
}

/// Takes the diagonal where a label repeats: of `n x n` elements every `n + 1`-th.
fn diagonal(im: &mut Importer, node: &NodeIn, mut term: Term) -> Result<Term> {
    loop {
        let labels = &term.labels;
        let twin = (0..labels.len())
            .find_map(|i| labels[..i].iter().position(|l| *l == labels[i]).map(|first| (first, i)));
        let Some((first, second)) = twin else { return Ok(term) };
        let extent = node.shape(im, term.id).extent(first, &node.name)?;
        if node.shape(im, term.id).extent(second, &node.name)? != extent {
            return Err(node.malformed(format!("'{}' means two extents", labels[first])));
        }
        let mut order: Vec<usize> =
            (0..labels.len()).filter(|i| ![first, second].contains(i)).collect();
        let rest = order.len();
        order.extend([first, second]);
        let mut next: Vec<char> = order.iter().map(|&i| labels[i]).collect();
        next.pop();
        let turned = arranged(im, node, term.id, order)?;
        let mut dims = vec![ReshapeDim::Copy; rest];
        dims.push(ReshapeDim::Fixed(extent * extent));
        let flat = im.emit(node, "square", Op::Reshape { dims }, &[Some(turned)])?;
        let cut = Cut { axis: rest, start: 0, len: extent, step: extent + 1 };
        let id = im.emit(node, "diagonal", Op::Slice { cuts: vec![cut] }, &[Some(flat)])?;
        term = Term { id, labels: next };
    }
}

/// Sums over the labels that are not in `kept`.
fn summed(im: &mut Importer, node: &NodeIn, term: Term, kept: &[char]) -> Result<Term> {
    let (axes, rest): (Vec<usize>, Vec<usize>) =
        (0..term.labels.len()).partition(|&i| !kept.contains(&term.labels[i]));
    if axes.is_empty() {
        return Ok(term);
    }
    let op = Op::Reduce { kind: Reduction::Sum, axes, keep_dims: false };
    let id = im.emit(node, "sum", op, &[Some(term.id)])?;
    Ok(Term { id, labels: rest.into_iter().map(|i| term.labels[i]).collect() })
}

fn product(im: &mut Importer, node: &NodeIn, a: Term, b: Term, kept: &[char]) -> Result<Term> {
    let with = |labels: &[char]| [kept, labels].concat();
    let (b_labels, a_labels) = (b.labels.clone(), a.labels.clone());
    let (a, b) = (summed(im, node, a, &with(&b_labels))?, summed(im, node, b, &with(&a_labels))?);
    let pick = |from: &[char], test: &dyn Fn(&char) -> bool| -> Vec<char> {
        from.iter().copied().filter(|l| test(l)).collect()
    };
    let shared = pick(&a.labels, &|l| b.labels.contains(l) && kept.contains(l));
    let inner = pick(&a.labels, &|l| b.labels.contains(l) && !kept.contains(l));
    let own_a = pick(&a.labels, &|l| !b.labels.contains(l));
    let own_b = pick(&b.labels, &|l| !a.labels.contains(l));
    let (left, rows) = matrix(im, node, &a, [&shared, &own_a, &inner])?;
    let (right, columns) = matrix(im, node, &b, [&shared, &inner, &own_b])?;
    let id = im.emit(node, "product", Op::MatMul, &[Some(left), Some(right)])?;
    let mut dims = vec![ReshapeDim::Copy; shared.len()];
    dims.extend(rows[0].iter().chain(&columns[1]).map(|&n| ReshapeDim::Fixed(n)));
    let id = im.emit(node, "parts", Op::Reshape { dims }, &[Some(id)])?;
    Ok(Term { id, labels: [shared, own_a, own_b].concat() })
}

/// `term` with its labels in three groups, the last two joined to one dimension each; and the
/// extents of those two groups.
fn matrix(
    im: &mut Importer,
    node: &NodeIn,
    term: &Term,
    groups: [&[char]; 3],
) -> Result<(ValueId, [Vec<usize>; 2])> {
    let at = |l: &char| term.labels.iter().position(|own| own == l).unwrap_or(0);
    let order: Vec<usize> = groups.concat().iter().map(at).collect();
    let shape = node.shape(im, term.id);
    let extents = |group: &[char]| -> Result<Vec<usize>> {
        group.iter().map(|l| shape.extent(at(l), &node.name)).collect()
    };
    let parts = [extents(groups[1])?, extents(groups[2])?];
    let turned = arranged(im, node, term.id, order)?;
    let joined = |part: &Vec<usize>| {
        let count = part.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        count.map(ReshapeDim::Fixed).ok_or_else(|| node.malformed("its extents are huge"))
    };
    let mut dims = vec![ReshapeDim::Copy; groups[0].len()];
    dims.extend([joined(&parts[0])?, joined(&parts[1])?]);
    Ok((im.emit(node, "matrix", Op::Reshape { dims }, &[Some(turned)])?, parts))
}

/// Dimensions in another order.
fn arranged(im: &mut Importer, node: &NodeIn, x: ValueId, perm: Vec<usize>) -> Result<ValueId> {
    match perm.iter().copied().eq(0..perm.len()) {
        true => Ok(x),
        false => im.emit(node, "turned", Op::Transpose { perm }, &[Some(x)]),
    }
}
