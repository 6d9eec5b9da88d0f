"""Any cell in JAX: `jax.lax.scan` over its step, the input's products before it, under jit.

JAX is no dependency of Elman; `why_not` says whether it is there.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial, reduce
from importlib import import_module
from typing import Any

import torch

from elman.ir.costs import stepped
from elman.ir.graph import Graph, Node, Op, apply, sum_terms, topological
from elman.ir.rewrite import rewrite
from elman.ir.stacks import places, stacks, unstack
from elman.lab.bench.subjects import Batch, Training
from elman.nn import Recurrent

Values = dict[Node, Any]


def why_not() -> str | None:
    """Why JAX cannot be measured here; None when it can."""
    try:
        import_module("jax")
    except ImportError as error:
        return f"JAX cannot be imported ({error}); pip install 'elman[bench]' brings it"
    return None


@cache
def functions() -> dict[Op, Callable[..., Any]]:
    """One row an op."""
    jax, jnp = import_module("jax"), import_module("jax.numpy")
    return {
        Op.ADD: jnp.add,
        Op.SUB: jnp.subtract,
        Op.MUL: jnp.multiply,
        Op.DIV: jnp.divide,
        Op.MAXIMUM: jnp.maximum,
        Op.MINIMUM: jnp.minimum,
        Op.NEG: jnp.negative,
        Op.SIGMOID: jax.nn.sigmoid,
        Op.TANH: jnp.tanh,
        Op.RELU: jax.nn.relu,
        Op.EXP: jnp.exp,
        Op.LOG: jnp.log,
        Op.SQRT: jnp.sqrt,
        Op.ABS: jnp.abs,
        Op.SOFTPLUS: jax.nn.softplus,
        Op.IDENTITY: lambda value: value,
        Op.POSITIVE: lambda value: (value > 0).astype(value.dtype),
        Op.MEAN: lambda value: value.mean(-1, keepdims=True),
    }


def train(layer: Recurrent, batch: Batch) -> Training:
    """One training step with the weights of a layer, over a batch of rows of equal length."""
    jax = import_module("jax")
    to_jax = import_module("jax.numpy").asarray
    steps, rows, input_size, size = batch.shape
    scan = _Scan(layer.cell.graph, batch.shape.hidden_size)
    weights = {
        name.removesuffix("_l0"): to_jax(value.detach().numpy())
        for name, value in layer.named_parameters()
    }
    data = to_jax(batch.data.detach().numpy()).reshape(steps, rows, input_size)
    grad_output = to_jax(batch.grad_output.numpy()).reshape(steps, rows, size)
    # XLA's own generator of random bits: the default one is many times slower on a CPU.
    key = jax.random.key(0, impl="rbg")

    def loss(data: Any, weights: Any) -> tuple[Any, Any]:
        output = scan(weights, data, key)
        return (output * grad_output).sum(), output

    compiled = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))

    def step() -> Any:
        (_, output), (grad, grads) = jax.block_until_ready(compiled(data, weights))
        return output, (grad, *grads.values())

    return step


def to_torch(value: Any) -> torch.Tensor:
    """A JAX array as a tensor."""
    return torch.from_numpy(import_module("numpy").array(value))


class _Scan:
    """The forward pass of one cell."""

    def __init__(self, graph: Graph, hidden_size: int) -> None:
        self.graph = graph = _known_first(graph)
        self.hidden_size = hidden_size
        self.nodes = topological([*graph.next_states, graph.output])
        self.looped = stepped(graph)
        self.joint: dict[Node, list[Node]] = {}
        place = places(graph)
        for node in self.nodes:
            if node.op is Op.PRODUCT:
                self.joint.setdefault(node.inputs[0], []).append(node)
        for group in self.joint.values():
            group.sort(key=lambda product: place[str(product.attr)])

    def __call__(self, weights: Mapping[str, Any], data: Any, key: Any) -> Any:
        jax, jnp = import_module("jax"), import_module("jax.numpy")
        if "projection" in weights:
            data = data @ weights["projection"].T
        matrices = self._matrices(weights)
        whole = self._leaves(weights, data, key)
        self._evaluate([node for node in self.nodes if node not in self.looped], whole, matrices)
        wanted = {operand for node in self.looped for operand in node.inputs} - self.looped
        wanted |= set(self.graph.next_states) - self.looped
        # What each token has is cut into steps; the rest is the same for all.
        sliced = {
            str(at): whole[node]
            for at, node in enumerate(self.nodes)
            if node in wanted and whole[node].ndim == 3
        }
        fixed = {node: value for node, value in whole.items() if value.ndim < 3}
        shape = (data.shape[1], self.hidden_size)

        def step(states: Any, parts: Any) -> Any:
            values = dict(fixed)
            values.update((self.nodes[int(at)], part) for at, part in parts.items())
            values.update(zip(self.graph.states, states, strict=True))
            self._evaluate([node for node in self.nodes if node in self.looped], values, matrices)
            nexts = [jnp.broadcast_to(values[node], shape) for node in self.graph.next_states]
            return tuple(nexts), values[output] if output in self.looped else None

        output = self.graph.output
        first = tuple(jnp.zeros(shape, data.dtype) for _ in self.graph.states)
        _, outputs = jax.lax.scan(step, first, sliced)
        if output not in self.looped:
            return jnp.broadcast_to(whole[output], (data.shape[0], *shape))
        return outputs

    def _matrices(self, weights: Mapping[str, Any]) -> dict[Node, Any]:
        """The matrices of each operand side by side, (columns, G * H)."""
        jnp = import_module("jax.numpy")
        single = unstack(self.graph, weights, self.hidden_size)
        matrices = {}
        for operand, group in self.joint.items():
            names = [str(node.attr) for node in group]
            whole = [
                stack.name
                for stack in stacks(self.graph)
                if [parameter.name for parameter in stack.parameters] == names
            ]
            rows = weights[whole[0]] if whole else jnp.concatenate([single[n] for n in names])
            matrices[operand] = rows.T
        return matrices

    def _leaves(self, weights: Mapping[str, Any], data: Any, key: Any) -> Values:
        jax, jnp = import_module("jax"), import_module("jax.numpy")
        single = unstack(self.graph, weights, self.hidden_size)
        masks = {mask.name: mask for mask in self.graph.masks}
        values: Values = {self.graph.inputs[0]: data}
        for node in self.nodes:
            if node.op is Op.CONSTANT:
                values[node] = jnp.asarray(node.attr, data.dtype)
            elif node.op is Op.PARAMETER:
                values[node] = single[str(node.attr)]
            elif node.op is Op.MASK:
                mask = masks[str(node.attr)]
                key, own = jax.random.split(key)
                counts = data.shape[:2] if mask.per == "step" else data.shape[1:2]
                kept = jax.random.bernoulli(own, mask.probability, (*counts, self.hidden_size))
                values[node] = kept.astype(data.dtype) * mask.scale
        return values

    def _evaluate(self, nodes: list[Node], values: Values, matrices: dict[Node, Any]) -> None:
        jnp = import_module("jax.numpy")
        for node in nodes:
            if node in values:
                continue
            operands = [values[operand] for operand in node.inputs]
            if node.op is not Op.PRODUCT:
                values[node] = functions()[node.op](*operands)
                continue
            group = self.joint[node.inputs[0]]
            joint = operands[0] @ matrices[node.inputs[0]]
            values.update(zip(group, jnp.split(joint, len(group), -1), strict=True))


def _known_first(graph: Graph) -> Graph:
    """Sums regrouped as one writes them by hand: biases join the products before the loop."""
    memo: dict[Node, bool] = {}

    def depends(node: Node) -> bool:
        if node not in memo:
            memo[node] = node.op is Op.STATE or any(depends(operand) for operand in node.inputs)
        return memo[node]

    def rule(node: Node) -> Node | None:
        if node.op is not Op.ADD or not depends(node):
            return None
        terms = sum_terms(node)
        constant = [term for term in terms if not depends(term)]
        rest = [term for term in terms if depends(term)]
        add = partial(reduce, partial(apply, Op.ADD))
        return add([add(constant), *rest]) if constant else None

    return rewrite(graph, [rule])
