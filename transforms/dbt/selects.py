"""What a query says of whose its rows are: selects, set operations and what stands in them."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from transforms.dbt.equal import Classes, not_null
from transforms.dbt.froms import Ctes, Equal, From
from transforms.dbt.groups import SCHEDULED, check_distinct, check_window, grouped
from transforms.dbt.names import Scope, named
from transforms.dbt.owned import NotLocalError, Out, Relation, Rows, chosen, distinct_names, stacked

SELECT = {"with_", "expressions", "from_", "joins", "where", "group", "having", "qualify", "windows", "distinct"}
SELECT |= {"order", "limit", "offset", "sample"}
STACK = {"with_", "this", "expression", "distinct", "by_name", "order", "limit", "offset"}
WRAP = {"with_", "this", "alias", "order", "limit", "offset"}
"""What is understood of a select, of a set operation, and of brackets around them."""


class Reader:
    """Reads queries. `relation` gives the project's tables and models."""

    def __init__(self, relation: Callable[[exp.Table], Relation]) -> None:
        self.relation = relation
        self._from = From(self)

    def query(self, node: exp.Expr, outer: Scope | None, ctes: Ctes) -> Relation:
        """The relation that a query gives. Raises NotLocalError."""
        ctes = self._with(node, outer, ctes)
        match node:
            case exp.Select():
                return self._select(node, outer, ctes)
            case exp.SetOperation():
                made = self._stack(node, outer, ctes)
            case exp.Subquery(this=exp.Query()):
                _only(node, WRAP)
                made = self.query(node.this, outer, ctes)
            case _:
                raise NotLocalError(node, f"says `{node.key}`, which ringup cannot follow", "Write it as a `select`.")
        self._limits(node, made.local, Scope(outer), ctes)
        return made

    def _with(self, node: exp.Expr, outer: Scope | None, ctes: Ctes) -> Ctes:
        known = dict(ctes)
        for cte in (node.args.get("with_") or exp.With()).expressions:
            name, alias = cte.alias.lower(), cte.args["alias"]
            columns = [column.name.lower() for column in alias.args.get("columns") or ()]
            if node.args["with_"].recursive and any(
                table.name.lower() == name and not table.db for table in cte.this.find_all(exp.Table)
            ):
                before = {**known, name: Relation(False, tuple(map(Out, columns)), open=True)}
                made = self.query(cte.this, outer, before)
                if made.local:
                    raise NotLocalError(
                        cte,
                        f"follows customers' rows recursively in `{name}`",
                        f"Write it without `recursive`, {SCHEDULED}.",
                    )
            else:
                made = self.query(cte.this, outer, known)
            known[name] = made.renamed(columns)
        return known

    def _select(self, node: exp.Select, outer: Scope | None, ctes: Ctes) -> Relation:
        _only(node, SELECT)
        scope = Scope(outer)
        items = node.expressions
        scope.aliases = {item.alias.lower(): item.this for item in items if isinstance(item, exp.Alias)}
        scope.windows = {window.name.lower(): window for window in node.args.get("windows") or ()}
        where = node.args["where"].this if node.args.get("where") else None
        equal = self._from.read(node, where, scope, ctes)
        self.expression(where, scope, ctes, holds=True)
        self._settle(scope, where, equal)
        scope.rows = grouped(node, scope)
        for part in (*items, *scope.windows.values(), node.args.get("distinct")):
            self.expression(part, scope, ctes)
        for word in ("group", "having", "qualify"):
            if part := node.args.get(word):
                self.expression(part if word == "group" else part.this, scope, ctes, holds=True)
        columns, more = scope.selected(items)
        cells = [value.cells if value and value.scope is scope and value.tags else () for _, value in columns]
        covers = chosen(scope.rows.covers, cells) if scope.rows.local else frozenset()
        check_distinct(node, scope, bool(covers))
        self._limits(node, scope.rows.local, scope, ctes)
        made = named(columns, scope) if scope.rows.local else tuple(Out(name) for name, _ in columns)
        return Relation(scope.rows.local, distinct_names(made), covers, more)

    def _settle(self, scope: Scope, where: exp.Expr | None, equal: tuple[Equal, ...]) -> None:
        """Take account of `where`: rows of the profile of a row outside are the same for whoever looks at that row."""
        rows = scope.rows
        if rows.local:
            sure = {frozenset(value.cells) for value in not_null(where, scope) if value.tags}
            pinned = Classes(equal).pinned(scope)
            scope.rows = Rows(not pinned, rows.tags, rows.covers | sure)

    def _stack(self, node: exp.SetOperation, outer: Scope | None, ctes: Ctes) -> Relation:
        _only(node, STACK)
        left, right = (self.query(side, outer, ctes) for side in (node.this, node.expression))
        words = node.key
        by_name = bool(node.args.get("by_name"))
        if not left.local and not right.local:
            return stacked(left, right, by_name)
        if isinstance(node, exp.Union):
            if left.local is not right.local:
                odd = node.expression if left.local else node.this
                raise NotLocalError(
                    odd,
                    "stacks customers' rows and rows that are the same for all",
                    "Join these to the customers instead.",
                )
            made = stacked(left, right, by_name)
            enough = bool(made.covers) or not node.args.get("distinct")
        else:
            made = left if left.local else right.renamed([column.name for column in left.columns])
            both = stacked(left, right, False) if left.local and right.local else made
            enough = bool(both.covers) and not by_name and (left.local or isinstance(node, exp.Intersect))
        if not enough:
            raise NotLocalError(
                node.expression,
                f"says `{words}` of rows of all customers",
                f"Select profile_id at the same place of both, {SCHEDULED}.",
            )
        return made

    def expression(self, node: exp.Expr | None, scope: Scope, ctes: Ctes, holds: bool = False) -> None:
        """Refuse an expression that depends on other profiles' rows.

        `holds` says that null is as good as false here.
        """
        match node:
            case None:
                return
            case exp.And() | exp.Or() | exp.Paren():
                pass
            case exp.In() if query := node.args.get("query"):
                self.expression(node.this, scope, ctes)
                self._in(node, query, scope, ctes, holds)
                return
            case exp.Query():
                if self.query(node, scope, ctes).local:
                    raise NotLocalError(
                        node,
                        "asks about rows of all customers in a subquery",
                        f"Add `where` with the profile_id of both, {SCHEDULED}.",
                    )
                return
            case exp.Window():
                check_window(node, scope)
                holds = False
            case _:
                holds = False
        for part in node.iter_expressions():
            self.expression(part, scope, ctes, holds)

    def _limits(self, node: exp.Expr, local: bool, scope: Scope, ctes: Ctes) -> None:
        """Order is for whoever looks; a limit takes rows of some customers for others'."""
        for word in ("order", "limit", "offset", "sample"):
            part = node.args.get(word)
            self.expression(part, scope, ctes)
            if part is not None and local and word != "order":
                raise NotLocalError(
                    part,
                    f"takes a `{word}` of the rows of all customers",
                    "For some rows of each customer write `qualify row_number() over (partition by profile_id ...)`, "
                    f"{SCHEDULED}.",
                )

    def _in(self, node: exp.In, query: exp.Expr, scope: Scope, ctes: Ctes, holds: bool) -> None:
        """A value looked for in a subquery: among the rows of its own profile, or such as are the same for all."""
        relation = self.query(query, scope, ctes)
        if not relation.local:
            return
        parts = node.this.unnest()
        values = [scope.value(part) for part in (parts.expressions if isinstance(parts, exp.Tuple) else [parts])]
        pairs = zip(values, relation.columns, strict=False)
        if not holds or not any(value and value.tags & column.tags for value, column in pairs):
            raise NotLocalError(
                node,
                "looks for a value among rows of all customers",
                f"Write `exists (...)`, or `not exists (...)`, with `where` on the profile_id of both, {SCHEDULED}.",
            )


def _only(node: exp.Expr, known: set[str]) -> None:
    """Refuse what nobody thought of."""
    for word, value in node.args.items():
        if value and word not in known:
            raise NotLocalError(
                node, f"says `{word.strip('_')}`, which ringup cannot follow", f"Write it without, {SCHEDULED}."
            )
