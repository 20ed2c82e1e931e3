"""A template's tree, changed before it is compiled, so that what Jinja does by itself passes the environment too.

Jinja's sandbox sees operators, calls and attributes. It does not see loops, `~`, comparisons and slices: here they get
filters of our own, whose names begin with a space, so that none of Jinja's or of an operator's is like them.
"""

from jinja2 import Environment, nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.visitor import NodeTransformer

from bridge.edges.jinja._internals import Parser

COUNTED, JOINED, OPERAND, SEARCHED, METHOD, DECIMAL = (
    " counted",
    " joined",
    " operand",
    " searched",
    " method",
    " decimal",
)


def template(environment: Environment, text: str) -> nodes.Template:
    """The tree of a template. Raises TemplateSyntaxError."""
    return _changed(environment, environment.parse(text))


def expression(environment: Environment, text: str) -> nodes.Template:
    """The tree of a template that sets `result` to an expression. Raises TemplateSyntaxError."""
    parser = Parser(environment, text, state="variable")
    parsed = parser.parse_expression()
    if not parser.stream.eos:
        raise TemplateSyntaxError("chunk after expression", parser.stream.current.lineno, None, None)
    assigned = nodes.Assign(nodes.Name("result", "store"), parsed, lineno=1)
    return _changed(environment, nodes.Template([assigned], lineno=1))


def _changed(environment: Environment, tree: nodes.Template) -> nodes.Template:
    _Changes().visit(tree)
    tree.set_environment(environment)
    return tree


class _Changes(NodeTransformer):
    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = _through(COUNTED, node.iter)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _through(JOINED, *node.nodes)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        node.expr = _operand(node.expr)
        for operand in node.ops:
            searched = operand.op in ("in", "notin")
            operand.expr = _through(SEARCHED, operand.expr) if searched else _operand(operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _through(SEARCHED, node.node)
        return node

    def visit_Call(self, node: nodes.Call) -> nodes.Node:
        called = node.node
        self.generic_visit(node)
        if isinstance(called, nodes.Getattr):
            node.node = _through(METHOD, called.node, nodes.Const(called.attr))
        return node

    def visit_Const(self, node: nodes.Const) -> nodes.Expr:
        return _through(DECIMAL, nodes.Const(repr(node.value))) if isinstance(node.value, float) else node


def _operand(node: nodes.Expr) -> nodes.Expr:
    return node if isinstance(node, nodes.Const) else _through(OPERAND, node)


def _through(name: str, node: nodes.Node, *more: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(more), [], None, None, lineno=node.lineno)
