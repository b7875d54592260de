//! Building the QDQ graph.
//!
//! A value of the float graph can exist in three forms here: as float, as bytes, and dequantised
//! from the bytes. Integer nodes read the dequantised form and their result is quantised again, so
//! that literal execution computes what integer execution does. Forms are made when first asked
//! for and shared by all readers.
//!
//! Their names end with `.q`, `.dq`, `.scale` and `.zero`. They are short because there are some twenty
//! for each layer: in a network for a microcontroller, longer ones outweigh the weights.

use std::collections::{BTreeMap, BTreeSet};

use edgecut_graph::{Gemm, Graph, Node, Op, Tensor, ValueId};

use crate::Result;
use crate::params::Params;
use crate::placement::{Roles, reads_bytes};
use crate::weights::LayerWeights;

/// The graph under construction.
pub(crate) struct Emitter<'a> {
    old: &'a Graph,
    roles: &'a Roles,
    /// By group of values.
    params: &'a BTreeMap<usize, Params>,
    pub new: Graph,
    node_names: BTreeSet<String>,
    /// Scale and zero point constants by group.
    constants: BTreeMap<usize, [ValueId; 2]>,
    /// Forms of each value of the float graph.
    float: Vec<Option<ValueId>>,
    bytes: Vec<Option<ValueId>>,
    dequantised: Vec<Option<ValueId>>,
}

impl<'a> Emitter<'a> {
    pub fn new(old: &'a Graph, roles: &'a Roles, params: &'a BTreeMap<usize, Params>) -> Self {
        let mut new = Graph::new(old.name.clone());
        new.metadata = old.metadata.clone();
        let mut float = vec![None; old.values().len()];
        for &id in &old.inputs {
            let value = old.value(id);
            float[id.index()] =
                Some(new.add_input(value.name.clone(), value.dtype, value.shape.clone()));
        }
        let none = vec![None; old.values().len()];
        Emitter {
            old,
            roles,
            params,
            new,
            node_names: old.nodes.iter().map(|n| n.name.clone()).collect(),
            constants: BTreeMap::new(),
            float,
            bytes: none.clone(),
            dequantised: none,
        }
    }

    /// Scale and zero point of a value.
    pub fn params_of(&self, id: ValueId) -> Params {
        self.params[&self.roles.group(id)]
    }

    /// Copies a node: it reads floats and computes floats.
    pub fn float_node(&mut self, node: &Node) -> Result<()> {
        let inputs = node.inputs.clone();
        let inputs = inputs.into_iter().map(|id| id.map(|id| self.float_form(id)).transpose());
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        let output = self.new.add_node(node.name.clone(), node.op.clone(), &inputs)?;
        self.float[node.output().index()] = Some(output);
        Ok(())
    }

    /// A node whose inputs and result are bytes, and the `chain` of nodes behind it.
    pub fn integer_node(&mut self, node: &Node, chain: &[&Node]) -> Result<()> {
        let mut inputs = vec![];
        for &input in node.inputs.iter().flatten() {
            inputs.push(Some(match reads_bytes(self.old, node, input) {
                true => self.dequantised_form(input)?,
                false => self.float_form(input)?,
            }));
        }
        let output = self.new.add_node(node.name.clone(), node.op.clone(), &inputs)?;
        self.finish_step(node, chain, output)
    }

    /// A node with integer weights, and the `chain` of nodes behind it.
    pub fn weighted_node(
        &mut self,
        node: &Node,
        chain: &[&Node],
        weights: LayerWeights,
    ) -> Result<()> {
        let x = self.dequantised_form(node.input(0)?)?;
        let x_scale = self.params_of(node.input(0)?).scale;
        let stem = self.old.value(node.input(1)?).name.clone();
        let zeros = Tensor::vector(vec![0i8; weights.scales.len()]);
        let scales = Tensor::vector(weights.scales.clone());
        let weight =
            self.dequantised_constant(&stem, weights.codes, scales, Some(zeros), weights.axis)?;
        let mut inputs = vec![Some(x), Some(weight)];
        if let Some(bias) = weights.bias {
            let scales = weights.scales.iter().map(|s| x_scale * s).collect::<Vec<f32>>();
            let stem = format!("{}.bias", node.name);
            let (bias, scales) = (Tensor::vector(bias), Tensor::vector(scales));
            inputs.push(Some(self.dequantised_constant(&stem, bias, scales, None, 0)?));
        }
        let op = match &node.op {
            // The factors are in the weights and the bias.
            Op::Gemm(gemm) => Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, ..*gemm }),
            op => op.clone(),
        };
        let output = self.new.add_node(node.name.clone(), op, &inputs)?;
        self.finish_step(node, chain, output)
    }

    /// A node with integer weights that reads and computes floats.
    pub fn weights_only_node(&mut self, node: &Node, weights: LayerWeights) -> Result<()> {
        let x = self.float_form(node.input(0)?)?;
        let stem = self.old.value(node.input(1)?).name.clone();
        let zeros = Tensor::vector(vec![0i8; weights.scales.len()]);
        let scales = Tensor::vector(weights.scales);
        let weight =
            self.dequantised_constant(&stem, weights.codes, scales, Some(zeros), weights.axis)?;
        let mut inputs = vec![Some(x), Some(weight)];
        let bias = node.inputs.get(2).copied().flatten();
        inputs.extend(bias.map(|bias| self.float_form(bias).map(Some)).transpose()?);
        let op = match &node.op {
            // The factor of the product is in the weights.
            Op::Gemm(gemm) => Op::Gemm(Gemm { alpha: 1.0, ..*gemm }),
            op => op.clone(),
        };
        let output = self.new.add_node(node.name.clone(), op, &inputs)?;
        self.float[node.output().index()] = Some(output);
        Ok(())
    }

    /// Computes the `chain` behind `node`, whose float result is `output`, and quantises the end
    /// of it, unless it stays float. A clamp at the end is left out where quantisation saturates
    /// at its bounds anyway.
    fn finish_step(&mut self, node: &Node, chain: &[&Node], output: ValueId) -> Result<()> {
        let end = chain.last().unwrap_or(&node).output();
        let quantised = self.roles.quantised[end.index()];
        let (mut output, mut old) = (output, node.output());
        for absorbed in chain {
            let implied = absorbed.op.clamp_bounds().is_some_and(|(low, high)| {
                quantised && self.params_of(end).implies_clamp(low, high)
            });
            if !implied {
                let mut inputs = vec![];
                for &input in absorbed.inputs.iter().flatten() {
                    let is_result = input == old;
                    inputs.push(Some(if is_result {
                        output
                    } else {
                        self.dequantised_form(input)?
                    }));
                }
                output = self.new.add_node(absorbed.name.clone(), absorbed.op.clone(), &inputs)?;
            }
            old = absorbed.output();
        }
        if quantised {
            self.bytes[end.index()] = Some(self.quantize_node(end, output)?);
        } else {
            self.float[end.index()] = Some(output);
        }
        Ok(())
    }

    /// Names the graph's outputs as they were and removes what is not used.
    pub fn finish(mut self) -> Result<Graph> {
        let outputs = self.old.outputs.clone();
        for &id in &outputs {
            let output = self.float_form(id)?;
            let name = self.old.value(id).name.clone();
            if let Some(other) = self.new.find_value(&name).filter(|&other| other != output) {
                let free = self.new.unique_name(&format!("{name}.float"));
                self.new.value_mut(other).name = free;
            }
            self.new.value_mut(output).name = name;
            self.new.outputs.push(output);
        }
        self.new.remove_unused();
        self.new.validate()?;
        Ok(self.new)
    }

    /// The value as float, whatever computes it.
    fn float_form(&mut self, id: ValueId) -> Result<ValueId> {
        if let Some(float) = self.float[id.index()] {
            return Ok(float);
        }
        let Some(tensor) = self.old.constant(id) else { return self.dequantised_form(id) };
        let name = self.new.unique_name(&self.old.value(id).name);
        let copy = self.new.add_constant(name, tensor.clone());
        self.float[id.index()] = Some(copy);
        Ok(copy)
    }

    /// The value as float that came out of bytes.
    fn dequantised_form(&mut self, id: ValueId) -> Result<ValueId> {
        if let Some(dequantised) = self.dequantised[id.index()] {
            return Ok(dequantised);
        }
        let bytes = match (self.bytes[id.index()], self.old.constant(id)) {
            (Some(bytes), _) => bytes,
            (None, Some(tensor)) => self.constant_bytes(id, tensor)?,
            (None, None) => {
                let float = self.float_form(id)?;
                self.quantize_node(id, float)?
            }
        };
        let [scale, zero_point] = self.group_constants(id)?;
        let name = self.node_name(&format!("{}.dq", self.old.value(id).name));
        let inputs = [Some(bytes), Some(scale), Some(zero_point)];
        let result = self.new.add_node(name, Op::Dequantize { axis: 0 }, &inputs)?;
        self.bytes[id.index()] = Some(bytes);
        self.dequantised[id.index()] = Some(result);
        Ok(result)
    }

    /// A constant operand of an integer node as bytes.
    fn constant_bytes(&mut self, id: ValueId, tensor: &Tensor) -> Result<ValueId> {
        let params = self.params_of(id);
        let codes: Vec<u8> = tensor.f32s()?.iter().map(|&x| params.quantize(x)).collect();
        let name = format!("{}.q", self.old.value(id).name);
        Ok(self.add_constant(&name, Tensor::new(tensor.shape().to_vec(), codes)?))
    }

    fn quantize_node(&mut self, id: ValueId, float: ValueId) -> Result<ValueId> {
        let [scale, zero_point] = self.group_constants(id)?;
        let name = self.node_name(&format!("{}.q", self.old.value(id).name));
        let inputs = [Some(float), Some(scale), Some(zero_point)];
        Ok(self.new.add_node(name, Op::Quantize { axis: 0 }, &inputs)?)
    }

    /// Scale and zero point of the group of `id` as constants.
    fn group_constants(&mut self, id: ValueId) -> Result<[ValueId; 2]> {
        let group = self.roles.group(id);
        if let Some(&pair) = self.constants.get(&group) {
            return Ok(pair);
        }
        let (params, stem) = (self.params_of(id), self.old.value(id).name.clone());
        let scale = self.add_constant(&format!("{stem}.scale"), Tensor::scalar(params.scale));
        let zero_point = Tensor::new(vec![], vec![params.zero_point])?;
        let zero_point = self.add_constant(&format!("{stem}.zero"), zero_point);
        self.constants.insert(group, [scale, zero_point]);
        Ok([scale, zero_point])
    }

    /// An integer constant behind a DequantizeLinear.
    fn dequantised_constant(
        &mut self,
        stem: &str,
        codes: Tensor,
        scales: Tensor,
        zeros: Option<Tensor>,
        axis: usize,
    ) -> Result<ValueId> {
        let codes = self.add_constant(&format!("{stem}.q"), codes);
        let scales = self.add_constant(&format!("{stem}.scale"), scales);
        let zeros = zeros.map(|z| self.add_constant(&format!("{stem}.zero"), z));
        let name = self.node_name(&format!("{stem}.dq"));
        let inputs = [Some(codes), Some(scales), zeros];
        let given = if zeros.is_some() { 3 } else { 2 };
        Ok(self.new.add_node(name, Op::Dequantize { axis }, &inputs[..given])?)
    }

    fn add_constant(&mut self, name: &str, tensor: Tensor) -> ValueId {
        let name = self.new.unique_name(name);
        self.new.add_constant(name, tensor)
    }

    /// A node name that is not in use.
    fn node_name(&mut self, stem: &str) -> String {
        let mut name = stem.to_string();
        let mut number = 1;
        while !self.node_names.insert(name.clone()) {
            name = format!("{stem}_{number}");
            number += 1;
        }
        name
    }
}
