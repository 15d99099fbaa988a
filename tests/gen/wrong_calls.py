#!/usr/bin/env python3
"""wrong_calls.py - writes wrong_calls.inc: every implemented function with every kind of wrong argument.

Usage: wrong_calls.py OUTPUT

From the description of the API come one call per function with good arguments, and from it one call
per parameter and wrong value. wrong_calls.c runs them and looks at the error class, the handler that was
invoked and the text. A kind that has checks but no wrong value here is an error: tests of new kinds
are not forgotten.
"""

import pathlib
import sys

import generator
import kinds
from entry_body import Body, may_be_in_place
from model import DescriptionError

NULL = [("NULL", "MPI_ERR_ARG")]
NEGATIVE = [("-1", "MPI_ERR_ARG"), ("-2147483647 - 1", "MPI_ERR_ARG")]
LONG_KEY, LONG_VALUE = "too_long_key", "too_long_value"

# A good value of each kind; the variables are wrong_calls.c's.
GOOD = {
    "int": "1", "flag": "0", "length": "1", "dest": "MPI_PROC_NULL", "source": "MPI_PROC_NULL",
    "send_tag": "0", "recv_tag": "0", "root": "me", "rank": "0", "keyval": "keyval",
    "error_code": "MPI_ERR_OTHER", "color": "0", "aint": "0", "memory_size": "8",
    "large_count": "1", "count": "1", "byte_count": "8", "attach_size": "4096",
    "counts": "ones", "local_counts": "ones", "displs": "zeros", "rank_list": "ranks",
    "rank_ranges": "ranges", "int_list": "ranks", "int_list_any": "ranks",
    "int_list_inout": "list", "weights": "unweighted", "weights_out": "unweighted",
    "int_list_out": "list", "rank_list_out": "list",
    "datatypes": "many_types", "neighbor_datatypes": "many_types",
    "neighbor_counts": "ones", "neighbor_displs": "zeros", "neighbor_byte_displs": "zeros_aint",
    "send_buffer": "data", "recv_buffer": "room", "inout_buffer": "room", "memory": "room",
    "location": "data", "attach_buffer": "room", "pointer_out": "&pointer",
    "attribute_value": "data", "attribute_value_out": "&pointer", "extra_state": "NULL",
    "string": '"name"', "info_key": '"key"', "info_value": '"value"', "string_out": "text",
    "optional_string_out": "text", "argument_count": "0", "argument_vector": "NULL",
    "request_array_inout": "requests", "started_array_inout": "requests",
    "request_array": "requests", "status": "&status", "status_inout": "&status",
    "status_out": "&status", "status_array_out": "statuses", "optional_callback": "NULL",
    "large_count_out": "&count", "address_out": "&address", "keyval_inout": "&keyval",
    "int_inout": "&number", "comm": "MPI_COMM_WORLD", "intra_comm": "MPI_COMM_WORLD",
    "inter_comm": "MPI_COMM_WORLD", "comm_raw": "MPI_COMM_WORLD", "group_raw": "group",
    "comm_or_null": "MPI_COMM_WORLD", "fortran_logical": "room",
    "session": "session", "session_inout": "&session", "group": "group", "datatype": "MPI_INT",
    "any_datatype": "MPI_INT", "any_datatype_or_null": "MPI_INT", "op": "MPI_SUM", "info": "info",
    "info_or_null": "MPI_INFO_NULL", "raw_info_or_null": "MPI_INFO_NULL",
    "errhandler": "MPI_ERRORS_RETURN", "request": "request", "request_or_null": "request",
    "stride": "1", "byte_stride": "8", "count_list": "ones", "displacement_list": "zeros",
    "byte_displacement_list": "zeros_aint", "datatype_list": "types", "external_size": "8",
    "aint_list_out": "addresses", "count_list_out": "wide_list", "datatype_list_out": "types_out",
    "const_memory": "data", "string_array": '"external32"', "datatype_inout": "&new_datatype",
    "comm_inout": "&new_comm", "group_inout": "&new_group", "op_inout": "&new_op",
    "info_inout": "&new_info", "errhandler_inout": "&new_errhandler",
    "error_codes_out": "MPI_ERRCODES_IGNORE", "argument_vectors": "MPI_ARGVS_NULL",
    "command_list": "commands", "info_list": "infos",
    "request_inout": "&good_request", "message_inout": "&good_message",
}
for _name in ("int_out", "flag_out", "rank_out", "index_out", "string_length_out", "keyval_out",
              "error_code_out"):
    GOOD[_name] = "&number"
for _stem in kinds.HANDLES:
    GOOD.setdefault(_stem + "_out", f"&new_{_stem}")

# Wrong values and the error class of each.
BAD = {
    "length": NEGATIVE, "memory_size": NEGATIVE, "byte_count": NEGATIVE,
    "argument_count": NEGATIVE,
    "count": [("-1", "MPI_ERR_COUNT")], "large_count": [("-1", "MPI_ERR_COUNT")],
    "dest": [(v, "MPI_ERR_RANK") for v in ("size", "MPI_ANY_SOURCE", "MPI_ROOT", "-100")],
    "source": [(v, "MPI_ERR_RANK") for v in ("size", "MPI_ROOT", "-100")],
    "send_tag": [(v, "MPI_ERR_TAG") for v in ("MPI_ANY_TAG", "-1", "-100")],
    "recv_tag": [(v, "MPI_ERR_TAG") for v in ("-1", "-100")],
    "root": [(v, "MPI_ERR_ROOT") for v in ("size", "-1", "MPI_ROOT", "MPI_PROC_NULL")],
    "color": [("-1", "MPI_ERR_ARG")],
    "counts": [("NULL", "MPI_ERR_ARG"), ("minus_ones", "MPI_ERR_COUNT")],
    "local_counts": [("NULL", "MPI_ERR_ARG"), ("minus_ones", "MPI_ERR_COUNT")],
    "datatypes": NULL + [("bad_types", "MPI_ERR_TYPE")], "fortran_logical": NULL,
    "neighbor_datatypes": NULL + [("bad_types", "MPI_ERR_TYPE")],
    "neighbor_counts": [("NULL", "MPI_ERR_ARG"), ("minus_ones", "MPI_ERR_COUNT")],
    "neighbor_displs": NULL, "neighbor_byte_displs": NULL,
    "displs": NULL, "rank_list": NULL, "rank_ranges": NULL, "int_list": NULL,
    "int_list_inout": NULL, "int_list_out": NULL,
    "rank_list_out": NULL, "attach_buffer": [(v, "MPI_ERR_BUFFER") for v in
                                             ("NULL", "MPI_IN_PLACE")],
    "pointer_out": NULL, "attribute_value_out": NULL, "memory": NULL, "string": NULL,
    "string_out": NULL, "keyval_inout": NULL, "int_inout": NULL, "address_out": NULL,
    "info_key": [(v, "MPI_ERR_INFO_KEY") for v in ("NULL", '""', LONG_KEY)],
    "info_value": [(v, "MPI_ERR_INFO_VALUE") for v in ("NULL", LONG_VALUE)],
    "status": NULL, "status_inout": NULL, "large_count_out": NULL, "count_out": NULL,
    "byte_count_out": NULL, "extent_out": NULL, "callback": NULL,
    "request_array_inout": NULL + [("bad_requests", "MPI_ERR_REQUEST")],
    "request_array": NULL + [("bad_requests", "MPI_ERR_REQUEST")],
    "started_array_inout": NULL + [(v, "MPI_ERR_REQUEST") for v in
                                   ("bad_requests", "null_requests")],
    "external_size": NEGATIVE, "const_memory": NULL, "string_array": NULL, "position": NULL,
    "external_position": NULL, "aint_list_out": NULL, "count_list_out": NULL,
    "datatype_list": NULL, "datatype_list_out": NULL, "displacement_list": NULL,
    "byte_displacement_list": NULL, "command_list": NULL, "info_list": NULL,
    "count_list": [("NULL", "MPI_ERR_ARG"), ("minus_ones", "MPI_ERR_COUNT")],
    "inter_comm": [("MPI_COMM_WORLD", "MPI_ERR_COMM")],
}
for _name in ("int_out", "flag_out", "rank_out", "index_out", "string_length_out", "keyval_out",
              "error_code_out", *(stem + "_out" for stem in kinds.HANDLES)):
    BAD[_name] = NULL
CALLBACKS = {"MPI_User_function": "user_function", "MPI_User_function_c": "user_function_c",
             "MPI_Comm_errhandler_function": "user_handler",
             "MPI_Session_errhandler_function": "user_session_handler"}


def null_handle(handle):
    name = "DATATYPE" if handle.stem == "datatype" else handle.stem.upper()
    return f"MPI_{name}_NULL"


# Kinds of handles of which wrong_calls.c has a freed one.
FREED = ("comm", "group", "info", "errhandler", "request", "datatype", "op", "session")


def bad_handles(parameter):
    """Null, unknown, of another kind, freed, and addresses that lead nowhere or to no object."""
    handle = parameter.kind.handle
    other = "MPI_INT" if handle.stem != "datatype" else "MPI_COMM_WORLD"
    values = [f"({handle.c_type}){v}" for v in ("0", "0x3ff", other, "data", "0x10000", "-16")]
    if handle.stem in FREED:
        values.append(f"freed_{handle.stem}")
    if not parameter.kind.name.endswith("_or_null") and "null_ok" not in parameter.flags:
        values.append(null_handle(handle))
    if parameter.kind.name == "op":
        values += ["MPI_REPLACE", "MPI_NO_OP"]
    if parameter.kind.handling != kinds.HANDLE_INOUT:
        return [(v, handle.error) for v in values]
    pointers = [(f"&({handle.c_type}){{{v}}}", handle.error) for v in values]
    return NULL + pointers


def bad_values(parameter):
    kind = parameter.kind
    if kind.handling == kinds.BUFFER:
        values = [("NULL", "MPI_ERR_BUFFER"), ("MPI_BUFFER_AUTOMATIC", "MPI_ERR_BUFFER")]
        return values if may_be_in_place(parameter) else \
            values + [("MPI_IN_PLACE", "MPI_ERR_BUFFER")]
    if "null_ok" in parameter.flags and kind.handling != kinds.HANDLE_INOUT:
        return []
    if kind.handle and kind.handling in (kinds.OBJECT, kinds.HANDLE_INOUT, kinds.PASS):
        return BAD.get(kind.name, []) + bad_handles(parameter)
    if kind.check and kind.name not in BAD:
        raise DescriptionError(parameter.where, f"no wrong value of the kind '{kind.name}' is known "
                                                "to tests/gen/wrong_calls.py")
    return BAD.get(kind.name, [])


def wide(value, parameter, is_large):
    """The variable for a value in the plain function or the large-count variant."""
    if value in ("ones", "minus_ones") and is_large:
        return value + "_wide"
    if value == "zeros_aint" and is_large and parameter.kind.name != "neighbor_byte_displs":
        return "zeros_wide"
    if value == "zeros" and is_large:
        return "zeros_aint" if parameter.kind.name.endswith("displs") else "zeros_wide"
    return value


def good_value(parameter, is_large):
    kind = parameter.kind
    if kind.name == "callback":
        return CALLBACKS[parameter.argument]
    if kind.name in ("count_out", "byte_count_out", "extent_out", "position", "external_position"):
        c_type = parameter.c_type(is_large).replace(" *{}", "")
        return {"int": "&number", "MPI_Count": "&count", "MPI_Aint": "&address"}[c_type]
    if kind.name not in GOOD:
        raise DescriptionError(parameter.where, f"no good value of the kind '{kind.name}' is known "
                                                "to tests/gen/wrong_calls.py")
    return wide(GOOD[kind.name], parameter, is_large)


class Cases:
    """The calls for one function."""

    def __init__(self, function):
        self.function = function
        self.good = {p.name: good_value(p, function.is_large) for p in function.parameters}
        self.body = Body(function)
        self.world = "MPI_COMM_WORLD"
        if "eighbor_" in function.name:  # A communicator with neighbours.
            self.world = self.good["comm"] = "ring"

    def call(self, **changed):
        arguments = [changed.get(p.name, self.good[p.name]) for p in self.function.parameters]
        return f"{self.function.name}({', '.join(arguments)})"

    def handler(self, parameter):
        """Whose error handler hears of a wrong value of the parameter."""
        comm = self.body.comm
        first = self.body.first
        if self.function.raise_given and parameter.kind.name != "errhandler":
            return "NOBODY"  # MPI_ERRORS_RETURN, the good value of that parameter.
        if first and first.kind.name == "session" and parameter is not first:
            return "SESSION"
        wrong_comm = parameter is comm and parameter.kind.name != "inter_comm"
        return self.world if comm and not wrong_comm else "MPI_COMM_SELF"

    def needs_intercomm(self):
        return any(p.kind.name == "inter_comm" for p in self.function.parameters)

    def lines(self):
        for p in self.function.parameters:
            if self.needs_intercomm() and p.kind.name != "inter_comm":
                continue  # There is no good value for the communicator, and it is checked first.
            for value, error in bad_values(p):
                value = wide(value, p, self.function.is_large)
                handler = self.handler(p)
                if p.kind.name == "inter_comm" and value != "MPI_COMM_WORLD":
                    handler = "MPI_COMM_SELF"
                yield self.line(error, handler, p, self.call(**{p.name: value}))
            if "in_place_at_root" in p.flags:
                yield "  if (size > 1) {"
                yield "  " + self.line("MPI_ERR_BUFFER", "MPI_COMM_WORLD", p,
                                       self.call(root="other", **{p.name: "MPI_IN_PLACE"}))
                yield "  }"
        if self.body.overlap_check():
            send, recv = self.body.buffers
            yield self.line("MPI_ERR_BUFFER", "MPI_COMM_WORLD", send,
                            self.call(**{send.name: "room", recv.name: "room"}))

    @staticmethod
    def line(error, handler, parameter, call):
        return f'  BAD({error}, {handler}, "{parameter.name}", {call});'


def program():
    api = generator.reader.read_api(generator.API)
    functions = [f for f in api.functions() if f.implemented and not f.custom]
    cases = [Cases(f) for f in functions]
    out = ["/* Generated by tests/gen/wrong_calls.py; do not edit. */", ""]
    for case in cases:
        out += [f"static void bad_{case.function.name}(void) {{", *case.lines(), "}", ""]
    out += ["static void all_bad_calls(void) {", *[f"  bad_{c.function.name}();" for c in cases], "}", ""]
    out += ["static void all_calls_out_of_time(void) {",
            *[f"  OUT_OF_TIME({c.call()});" for c in cases if not c.function.anytime], "}"]
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    try:
        pathlib.Path(sys.argv[1]).write_text(program(), encoding="utf-8")
    except DescriptionError as error:
        sys.exit(str(error))
