"""The small changes that `mutants.py` tries: mutmut's, but for those that no test should notice.

Not changed are annotations, decorators, docstrings, `__all__`, what is for type checkers alone,
the words of an error that is raised, whatever concerns progress bars, how many threads there are
and what is prefetched, and `strict=` of a zip (it guards against mistakes elsewhere).
"""

import libcst
from libcst.metadata import MetadataWrapper, ParentNodeProvider, PositionProvider
from mutmut.mutation.mutators import mutation_operators

QUIET = {"progress", "strict", "num_parallel_calls"}
QUIET_CALLS = {"ThreadPoolExecutor": 0, "prefetch": 0, "tqdm": 1}  # from which argument on


def every(source: str) -> list[tuple[int, int, object]]:
    """Every change: first and last line of the statement, and what makes the changed source."""
    wrapper = MetadataWrapper(libcst.parse_module(source), unsafe_skip_copy=True)
    module = wrapper.module
    parents, places = wrapper.resolve_many([ParentNodeProvider, PositionProvider]).values()
    found, seen = [], set()

    def name(node) -> str:
        return getattr(getattr(node, "attr", node), "value", "")

    def quiet(call) -> list:
        first = QUIET_CALLS.get(name(call.func), len(call.args))
        named = [a for a in call.args[:first] if name(a.keyword or a.value) in QUIET]
        return [*named, *call.args[first:]]

    def skipped(node, raised: bool) -> bool:
        parent = parents.get(node)
        if isinstance(node, libcst.Annotation | libcst.Decorator):
            return True
        if isinstance(node, libcst.Arg) and isinstance(parent, libcst.Call):
            return any(node is a for a in quiet(parent))
        if isinstance(node, libcst.Param):
            return node.name.value in QUIET
        if isinstance(node, libcst.Assign):
            return name(node.targets[0].target) == "__all__"
        if isinstance(node, libcst.If):
            return name(node.test) == "TYPE_CHECKING"
        if isinstance(node, libcst.Expr):
            return isinstance(node.value, libcst.BaseString)
        return raised and isinstance(node, libcst.BaseString)

    def lines(node) -> tuple[int, int]:
        """Of the statement; of a compound one what was meant; of a function its whole."""
        inner = node
        while node is not None and not isinstance(node, libcst.BaseStatement):
            node = parents.get(node)
        simple = libcst.SimpleStatementLine | libcst.FunctionDef
        place = places[node if isinstance(node, simple) else inner]
        return place.start.line, place.end.line

    def visit(node, raised=False):
        if skipped(node, raised):
            return
        for kind, operator in mutation_operators:
            for new in operator(node) if isinstance(node, kind) else ():
                if isinstance(node, libcst.Call) and isinstance(new, libcst.Call):
                    gone = [a for a in node.args if not any(a is b for b in new.args)]
                    if gone and all(any(a is b for b in quiet(node)) for a in gone):
                        continue
                key = id(node), module.code_for_node(new) if node in places else repr(new)
                if key not in seen:
                    seen.add(key)
                    at = node if node in places else parents[node]
                    found.append((*lines(at), lambda a=node, b=new: module.deep_replace(a, b).code))
        for child in node.children:
            visit(child, raised or isinstance(node, libcst.Raise))

    visit(module)
    return found
