"""The body of an entry point: one C++ function that serves MPI_X and MPI_X_c.

It does, in this order:

    lock -> handles to objects -> checks (initialized? arguments?) -> impl::x() -> handles back

and sends every failure to the error handler in force: that of the first communicator (or session)
among the arguments, else that of MPI_COMM_SELF (MPI-5.0 section 9.3). The helpers it calls are in
mpi_api/entry.h, checks.h and errors.h.
"""

import kinds
from cxx_text import COLUMNS, cxx, fold, wrap
from kinds import BUFFER, COUNT_INOUT, COUNT_OUT, HANDLE_INOUT, HANDLE_OUT, INT_ARRAY, OBJECT
from model import DescriptionError
from reader import communicator

# Names of local variables: a parameter of that name would hide them.
LOCALS = ("function", "guard", "failure", "role")

PLACES = {"at_root": "role.root", "at_members": "role.member",
          "at_all": "(role.root || role.member)"}


def object_name(parameter):
    return parameter.name + "_object"


def result_name(parameter):
    return parameter.name + "_result"


def used_name(buffer):
    return "use_" + buffer.name


def may_be_in_place(buffer):
    return "in_place" in buffer.flags or "in_place_at_root" in buffer.flags


def shares_body(function):
    """Whether this is a large-count variant that the body of the plain function serves, too."""
    return function.is_large and not function.separate


def body_name(function):
    name = function.name.removesuffix("_c") if shares_body(function) else function.name
    return name.removeprefix("MPI_").lower()


class Body:
    """Generates the text for one function. One use: Body(function, is_p2p).text()."""

    def __init__(self, function, is_p2p=False):
        self.function = function
        self.is_p2p = is_p2p  # The communicator's lane (lanes.h) has to be locked, too.
        self.parameters = function.parameters
        self.comm = communicator(function)
        session = next((p for p in self.parameters if p.kind.name == "session"), None)
        # MPI_Comm_free, MPI_Session_finalize: errors go to what is to be freed.
        freed = next((p for p in self.parameters
                      if p.kind.name in ("comm_inout", "session_inout")), None)
        self.first = self.comm or session or freed  # Whose error handler is in force.
        self.root = next((p for p in self.parameters if p.kind.name == "root"), None)
        self.buffers = [p for p in self.parameters if p.kind.handling == BUFFER]
        self.has_role = any(self.place(p) for p in self.parameters)
        self.lines = []
        self.refuse_unknown()

    def refuse_unknown(self):
        """Kinds without entry code yet: better a message now than a wrong entry point."""
        for p in self.parameters:
            if p.kind.name.startswith("tool"):
                raise DescriptionError(p.where,
                                       f"{self.function.name} is marked implemented, but the entry "
                                       f"code for the kind '{p.kind.name}' of parameter '{p.name}' "
                                       "is not written yet (mpi_api/gen/entry_body.py)")
            if p.name in LOCALS or p.name.endswith(("_object", "_result")):
                raise DescriptionError(p.where, f"{self.function.name}: the parameter name "
                                                f"'{p.name}' is used by the generated code")

    def text(self):
        apart = self.function.lanes and not self.function.at_once
        self.lines = [self.declaration("_locked" if apart else "")]
        if not apart:
            self.try_lanes()
        if not self.function.nolock:
            self.add(f"const P2pGuard guard({self.comm.name});" if self.is_p2p and self.comm
                     else "const EntryGuard guard(function);")
        self.find_first()
        early = self.early_checks()
        late = self.late_checks()
        if self.has_role:
            # The role needs the communicator and the root, everything else needs the role.
            self.check_block(early, [self.check_of(self.root)])
            self.add(f"const Role role = role_of({self.root.name}, *{object_name(self.comm)});")
            early = []
        self.find_used()
        self.find_objects()
        self.check_block(early, late)
        self.call()
        self.lines.append("}")
        if apart:
            self.choose_way()
        return "\n".join(self.lines) + "\n"

    def choose_way(self):
        """The parallel way before the other one, in a function of its own: arguments that are kept
        for a second try would cost programs without threads."""
        name = body_name(self.function)
        passed = ["function", *(p.name for p in self.parameters)]
        self.lines.append(self.declaration("_threaded", "[[gnu::noinline]]"))
        self.try_lanes()
        self.lines += [wrap(f"return {name}_locked", passed, ";", "  "), "}", self.declaration(),
                       wrap(f"if (entry_state.threaded) [[unlikely]] return {name}_threaded", passed,
                            ";", "  "),
                       wrap(f"return {name}_locked", passed, ";", "  "), "}"]

    def try_lanes(self):
        """The parallel way. Of the functions of lanes.h, recv alone may fail by itself."""
        if not self.function.lanes:
            return
        own_error = self.function.impl == "recv"
        arguments = [p.name for p in self.parameters]
        if own_error:
            arguments = ["function", *arguments, "&failed"]
            self.add("int failed = MPI_SUCCESS;")
        call = wrap(f"if (entry_state.threaded && lanes::{self.function.impl}", arguments,
                    ") [[unlikely]] {", "  ")
        self.lines.append(call)
        self.add(f"return {'failed' if own_error else 'MPI_SUCCESS'};", 2)
        self.add("}")

    def add(self, line, depth=1):
        self.lines.append("  " * depth + line)

    def declaration(self, suffix="", head=None):
        parameters = ["const char* function"]
        for p in self.parameters:
            if p.kind.handling in (COUNT_OUT, COUNT_INOUT):
                text = f"auto* {p.name}"
            elif p.kind.handling in (kinds.COUNT, INT_ARRAY):
                text = p.kind.impl.replace("{}", p.name)
            else:
                text = cxx(p.declaration(self.function.is_large))
            parameters.append(text)
        inline = "[[gnu::always_inline]] inline" if self.function.hot or suffix else "inline"
        if self.function.at_once:  # Its frame would be a cost of the short way.
            inline = "[[gnu::noinline]]"
        return wrap(f"{head or inline} int {body_name(self.function)}{suffix}", parameters, " {")

    def raise_failure(self):
        if self.function.no_handler:
            return "failure"
        if self.first:
            return f"raise({object_name(self.first)}, failure, function)"
        if self.function.raise_given:
            return "raise_given(errhandler, failure, function)"
        return "raise_default(failure, function)"

    # --- Objects ----------------------------------------------------------------------------------

    def find_first(self):
        first = self.first
        if not first:
            return
        handle = first.kind.handle
        if first.kind.handling == OBJECT:
            self.add(f"{handle.cls}* const {object_name(first)} = to_{handle.stem}({first.name});")
        else:
            self.add(f"{handle.cls}* const {object_name(first)} = "
                     f"{first.name} == nullptr ? nullptr : to_{handle.stem}(*{first.name});")

    def place(self, parameter):
        """The condition of a parameter that is significant at some processes only, or nothing."""
        return next((PLACES[flag] for flag in parameter.flags if flag in PLACES), "")

    def find_used(self):
        """Which buffers this process uses, by its role and MPI_IN_PLACE."""
        for buffer in self.buffers:
            conditions = [self.place(buffer)] if self.place(buffer) else []
            if may_be_in_place(buffer):
                conditions.append(f"{buffer.name} != MPI_IN_PLACE")
            if conditions:
                self.add(f"const bool {used_name(buffer)} = {' && '.join(conditions)};")

    def significant(self, parameter):
        """The condition under which the parameter means something here, "" where it always does."""
        if parameter.kind.handling == BUFFER:
            has = self.place(parameter) or may_be_in_place(parameter)
            return used_name(parameter) if has else ""
        if parameter.placed:
            return self.significant(parameter.placed)
        if parameter.buffers:
            conditions = [self.significant(b) for b in parameter.buffers]
            if "" in conditions:
                return ""
            return conditions[0] if len(conditions) == 1 else f"({' || '.join(conditions)})"
        return self.place(parameter)

    def find_objects(self):
        for p in self.parameters:
            if p.kind.handling != OBJECT or p is self.first:
                continue
            find = f"to_{p.kind.handle.stem}({p.name})"
            condition = self.significant(p)
            if condition:
                find = f"{condition} ? {find} : nullptr"
            self.add(f"{p.kind.handle.cls}* const {object_name(p)} = {find};")

    # --- Checks -----------------------------------------------------------------------------------

    def early_checks(self):
        """What is checked before an error handler is known: (condition of failure, what to do)."""
        out = []
        if not self.function.anytime:
            out.append(("!is_initialized()", "raise_uninitialized(function)"))
        first = self.first
        if first and first.kind.handling == OBJECT:
            stem = first.kind.handle.stem
            allowed = f"{first.name} != MPI_COMM_NULL && " if first.kind.name == "comm_or_null" \
                else ""
            out.append((f"{allowed}!is_{stem}({object_name(first)}, {first.name})",
                        f'raise_default(bad_{stem}({first.name}, "{first.name}"), function)'))
        elif first:
            check = first.kind.check.format(n=first.name)
            out.append((f"const int failure = {check}", "raise_default(failure, function)"))
        return out

    def late_checks(self):
        """Conditions that are true, with `failure` set, when an argument is wrong. Buffers last:
        their checks need the count and the datatype to be right."""
        others = [p for p in self.parameters if p.kind.handling != BUFFER
                  and not (self.has_role and p is self.root)]
        checks = [self.check_of(p) for p in others]
        for buffer in self.buffers:
            checks += self.buffer_checks(buffer)
        checks.append(self.overlap_check())
        return [check for check in checks if check]

    @staticmethod
    def when(conditions, check):
        return [c for c in conditions if c] + [f"(failure = {check})"]

    def check_of(self, p):
        """The terms of a parameter's check, None where there is nothing to check."""
        check = p.kind.check
        if p is self.first and p.kind.name in ("comm", "comm_or_null", "session",
                                                   "comm_inout", "session_inout"):
            return None  # An early check.
        if "unchecked" in p.flags:
            return None
        if "null_ok" in p.flags:
            if p.kind.handling != HANDLE_INOUT:
                return None
            check = check.replace("_inout(", "_inout_or_null(")
        if not check:
            return None
        text = check.format(n=p.name, o=object_name(p), len=p.argument,
                            comm=object_name(self.comm) if self.comm else "",
                            neighbors=self.neighbors(p),
                            counts=p.buffers[0].count.name if p.buffers else "")
        return self.when([self.significant(p)], text)

    def neighbors(self, p):
        """How many neighbours an array of a neighbourhood collective is for."""
        buffer = p if p.kind.handling == BUFFER else p.placed or (p.buffers or [None])[0]
        if not buffer or not self.comm:
            return ""
        function = "destination_count" if buffer.kind.name == "send_buffer" else "source_count"
        return f"{function}(*{object_name(self.comm)})"

    def buffer_checks(self, buffer):
        arguments = [buffer.name, buffer.count.name]
        if buffer.count.kind.name == "neighbor_counts":
            arguments.append(self.neighbors(buffer.count))
        elif buffer.count.kind.handling == INT_ARRAY:
            size = "size" if buffer.count.kind.name == "local_counts" else "remote_size"
            arguments.append(f"{object_name(self.comm)}->{size}()")
        single = buffer.datatype.kind.handling == OBJECT
        arguments += [object_name(buffer.datatype) if single else buffer.datatype.name,
                      f'"{buffer.name}"']
        conditions = [self.significant(buffer)]
        checks = []
        if self.function.impl.startswith("neighbor_"):
            # Without neighbours there is nothing to send or receive.
            conditions.append(self.neighbors(buffer) + " != 0")
        if buffer.count.kind.name == "local_counts" and buffer.kind.name == "recv_buffer":
            # Only the own block is received; in place, the whole input is there, too.
            used = used_name(next(b for b in self.buffers if b is not buffer))
            own = f"{buffer.count.name}[{object_name(self.comm)}->rank()]"
            checks.append(self.when([used], f"check_buffer({buffer.name}, {own}, "
                                            f"{', '.join(arguments[3:])})"))
            conditions.append(f"!{used}")
        checks.append(self.when(conditions, f"check_buffer({', '.join(arguments)})"))
        if may_be_in_place(buffer):
            here = "role.root" if "in_place_at_root" in buffer.flags else "true"
            checks.append(self.when(
                [self.place(buffer), f"{buffer.name} == MPI_IN_PLACE"],
                f'check_in_place(*{object_name(self.comm)}, {here}, "{buffer.name}")'))
        return checks

    def overlap_check(self):
        """A collective's two buffers must differ (MPI_IN_PLACE is how to say that they do not)."""
        if len(self.buffers) != 2 or not any(may_be_in_place(b) for b in self.buffers):
            return None
        send, recv = self.buffers
        if "counts" in (send.count.kind.name, recv.count.kind.name):
            return None  # The displacements may keep them apart.
        conditions = [self.significant(send), self.significant(recv)]
        if send.datatype is not recv.datatype:
            conditions.append(f"{object_name(send.datatype)} == {object_name(recv.datatype)}")
        count = send.count.name
        if send.count.kind.handling == INT_ARRAY:
            count += "[0]"
        return self.when(conditions, f'check_distinct({send.name}, {recv.name}, {count}, '
                                     f'"{send.name}", "{recv.name}")')

    def check_block(self, early, late):
        """`if (checks_on()) { ... }` around the checks."""
        if not early and not late:
            return
        self.add("if (checks_on()) [[likely]] {")
        for condition, returned in early:
            line = f"if ({condition}) [[unlikely]] return {returned};"
            if len(line) + 4 <= COLUMNS:
                self.add(line, 2)
            else:
                self.lines += [f"    if ({condition}) [[unlikely]] {{", f"      return {returned};",
                               "    }"]
        if late:
            self.add("int failure = MPI_SUCCESS;", 2)
            for index, terms in enumerate(late):
                self.check_lines(terms, index == 0, index + 1 == len(late))
            self.add(f"return {self.raise_failure()};", 3)
            self.add("}", 2)
        self.add("}")

    def check_lines(self, terms, is_first, is_last):
        """One check: `(condition && (failure = check(...))) ||`, on several lines if it is long."""
        head = "    if (" if is_first else "        "
        tail = ") [[unlikely]] {" if is_last else " ||"
        text = terms[0] if len(terms) == 1 else f"({' && '.join(terms)})"
        if len(head + text + tail) <= COLUMNS:
            self.lines.append(head + text + tail)
            return
        if len(terms) > 1:
            self.lines.append(f"{head}({' && '.join(terms[:-1])} &&")
            head, text = " " * 9, terms[-1] + ")"
        self.lines += fold(head + text + tail, " " * 13)

    # --- The call ---------------------------------------------------------------------------------

    def call(self):
        arguments, after = [], []
        if self.function.collective:
            arguments.append(f"coll::Form{self.function.form()}")
        passed = self.function.impl_parameters()
        for p in self.parameters:
            is_passed = any(p is q for q in passed)
            if not is_passed and p.kind.handling != HANDLE_OUT:
                continue
            if p.kind.handling == OBJECT:
                arguments.append(object_name(p))
            elif p.kind.handling == HANDLE_OUT:
                self.add(f"{p.kind.handle.cls}* {result_name(p)} = nullptr;")
                if is_passed:
                    arguments.append("&" + result_name(p))
                after.append(f"*{p.name} = to_handle({result_name(p)});")
            elif p.kind.handling in (COUNT_OUT, COUNT_INOUT):
                start = f"*{p.name}" if p.kind.handling == COUNT_INOUT else "0"
                self.add(f"MPI_Count {result_name(p)} = {start};")
                arguments.append("&" + result_name(p))
                after.append(f"store_count({p.name}, {result_name(p)});")
            else:
                arguments.append(p.name)
        passes_on = self.function.raise_self or self.function.no_handler
        call = f"impl::{self.function.impl}"
        if passes_on and not after:
            self.lines.append(wrap(f"return {call}", arguments, ";", "  "))
            return
        self.lines.append(wrap(f"const int failure = {call}", arguments, ";", "  "))
        returned = "failure" if passes_on else self.raise_failure()
        self.add(f"if (failure != MPI_SUCCESS) [[unlikely]] return {returned};")
        for line in after:
            self.add(line)
        self.add("return MPI_SUCCESS;")
