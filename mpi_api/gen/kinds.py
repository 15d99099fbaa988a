"""The kinds a parameter of an MPI function can have.

A kind says what a parameter means: from it follow the C type in mpi.h (and in the large-count
variant), the type the implementation receives, the argument checks and the conversion between the
two. mpi_api/api/README.md lists the kinds for people who edit the description; this file is their
definition. It knows no particular function and writes no files.
"""

from dataclasses import dataclass, field

# How generate_entries treats a parameter of the kind. PASS hands the C value on as it is.
PASS = "pass"
COUNT = "count"  # a number that widens to the large-count type
COUNT_OUT = "count_out"  # a number the implementation writes in the large type
COUNT_INOUT = "count_inout"
INT_ARRAY = "int_array"  # int[] or a 64-bit array, seen as IntArray
OBJECT = "object"  # a handle, seen as a pointer to the object
HANDLE_OUT = "handle_out"  # a new handle: the implementation returns an object
HANDLE_INOUT = "handle_inout"  # one handle that is read and written: stays a raw pointer
BUFFER = "buffer"  # data described by a count and a datatype


@dataclass(frozen=True)
class Handle:
    """A family of MPI handles and the object of the implementation behind it."""

    c_type: str  # MPI_Comm
    cls: str  # Comm
    stem: str  # comm: to_comm(), find_comm()
    error: str  # the error class of a bad handle
    label: str  # for the kinds' documentation: "communicator"

    @property
    def checked(self):
        """Stem of the check of an input handle. Two handles have further conditions."""
        return self.stem if self.stem in ("datatype", "op") else self.stem + "_object"


HANDLES = {
    handle.stem: handle
    for handle in (
        Handle("MPI_Comm", "Comm", "comm", "MPI_ERR_COMM", "communicator"),
        Handle("MPI_Group", "Group", "group", "MPI_ERR_GROUP", "group"),
        Handle("MPI_Datatype", "Datatype", "datatype", "MPI_ERR_TYPE", "datatype"),
        Handle("MPI_Op", "Op", "op", "MPI_ERR_OP", "operation"),
        Handle("MPI_Info", "Info", "info", "MPI_ERR_INFO", "info object"),
        Handle("MPI_Errhandler", "Errhandler", "errhandler", "MPI_ERR_ERRHANDLER",
               "error handler"),
        Handle("MPI_Request", "Request", "request", "MPI_ERR_REQUEST", "request"),
        # The standard has no class of its own for messages; a message is used like a request.
        Handle("MPI_Message", "Message", "message", "MPI_ERR_REQUEST", "message"),
        Handle("MPI_Session", "Session", "session", "MPI_ERR_SESSION", "session"),
        Handle("MPI_Win", "Win", "win", "MPI_ERR_WIN", "window"),
        Handle("MPI_File", "File", "file", "MPI_ERR_FILE", "file"),
    )
}


@dataclass(frozen=True)
class Kind:
    """One meaning a parameter can have. `{}` in a C type stands for the parameter's name."""

    name: str
    c_type: str
    doc: str
    large: str = ""  # C type in the large-count variant where it differs
    handling: str = PASS
    impl: str = ""  # parameter type of the implementation; the C type where empty
    check: str = ""  # C++ expression giving an error code; see generate_entries.py
    handle: Handle | None = None
    # What the kind takes in parentheses: "", "length" (the parameter holding the array's length),
    # "length?" (optional), or "type" (a type of types.api).
    argument: str = ""
    flags: tuple = field(default=())  # flags a parameter of this kind may carry

    @property
    def impl_type(self):
        return self.impl or self.c_type

    @property
    def has_large(self):
        return bool(self.large)


KINDS = {}


def kind(name, c_type, doc, **rest):
    assert name not in KINDS, name
    KINDS[name] = Kind(name, c_type, doc, **rest)


def number(name, doc, check=""):
    kind(name, "int {}", doc, check=check)


def count(name, c_type, large, doc, check=""):
    kind(name, c_type, doc, large=large, handling=COUNT, impl="MPI_Count {}", check=check)


NOT_NULL = 'check_pointer({n}, "{n}")'
ARRAY = 'check_array({n}, {len}, "{n}")'

# --- Numbers -----------------------------------------------------------------------------------
number("int", "a number whose range the implementation checks")
number("flag", "a truth value; any int")
number("length", "the length of an array: not negative", 'check_length({n}, "{n}")')
number("dest", "rank of the receiver, or MPI_PROC_NULL", 'check_dest({n}, *{comm}, "{n}")')
number("source", "rank of the sender, MPI_ANY_SOURCE or MPI_PROC_NULL",
       'check_source({n}, *{comm}, "{n}")')
number("send_tag", "tag of a message that is sent", 'check_send_tag({n}, "{n}")')
number("recv_tag", "tag of a message that is awaited, or MPI_ANY_TAG",
       'check_recv_tag({n}, *{comm}, "{n}")')
number("root", "root of a collective; MPI_ROOT and MPI_PROC_NULL on an intercommunicator",
       'check_root({n}, *{comm}, "{n}")')
number("rank", "a rank whose range the implementation checks")
number("keyval", "an attribute key; the implementation checks it")
number("error_code", "an error code or class")
number("assertion", "MPI_MODE_ assertions, or-ed")
number("color", "color of a split: not negative, or MPI_UNDEFINED", 'check_color({n}, "{n}")')
number("handle_int", "a handle made an integer by a _toint function")
kind("aint", "MPI_Aint {}", "an address or a displacement in bytes")
kind("memory_size", "MPI_Aint {}", "a number of bytes: not negative", check='check_size({n}, "{n}")')
kind("offset", "MPI_Offset {}", "a file offset or size")
kind("large_count", "MPI_Count {}", "a count that is MPI_Count in the plain function too",
     check='check_count({n}, "{n}")')

# --- Counts: int, or MPI_Count in the large-count variant -----------------------------------------
count("count", "int {}", "MPI_Count {}", "a number of elements: not negative",
      'check_count({n}, "{n}")')
count("byte_count", "int {}", "MPI_Count {}", "a size in bytes: not negative",
      'check_size({n}, "{n}")')
count("attach_size", "int {}", "MPI_Count {}", "a size in bytes; checked together with the buffer")
count("external_size", "MPI_Aint {}", "MPI_Count {}", "a size in bytes: not negative",
      'check_size({n}, "{n}")')
count("stride", "int {}", "MPI_Count {}", "a distance in elements, of any sign")
count("byte_stride", "MPI_Aint {}", "MPI_Count {}", "a distance in bytes, of any sign")
count("displacement_unit", "int {}", "MPI_Aint {}", "bytes per unit of a window displacement",
      'check_displacement_unit({n}, "{n}")')

kind("count_out", "int *{}", "a count; MPI_UNDEFINED where an int is too small",
     large="MPI_Count *{}", handling=COUNT_OUT, impl="MPI_Count *{}", check=NOT_NULL)
kind("byte_count_out", "int *{}", "a size in bytes; MPI_UNDEFINED where an int is too small",
     large="MPI_Count *{}", handling=COUNT_OUT, impl="MPI_Count *{}", check=NOT_NULL)
kind("extent_out", "MPI_Aint *{}", "a distance or size in bytes",
     large="MPI_Count *{}", handling=COUNT_OUT, impl="MPI_Count *{}", check=NOT_NULL)
kind("large_count_out", "MPI_Count *{}", "a count that is MPI_Count in the plain function too",
     check=NOT_NULL)
kind("displacement_unit_out", "int *{}", "bytes per unit of a window displacement",
     large="MPI_Aint *{}", handling=COUNT_OUT, impl="MPI_Count *{}", check=NOT_NULL)
kind("position", "int *{}", "bytes consumed so far, moved on by the call",
     large="MPI_Count *{}", handling=COUNT_INOUT, impl="MPI_Count *{}", check=NOT_NULL)
kind("external_position", "MPI_Aint *{}", "bytes consumed so far, moved on by the call",
     large="MPI_Count *{}", handling=COUNT_INOUT, impl="MPI_Count *{}", check=NOT_NULL)

# --- Arrays of numbers ----------------------------------------------------------------------------
INTS = dict(handling=INT_ARRAY, impl="IntArray {}")
kind("counts", "const int {}[]", "one count per process of the (remote) group",
     large="const MPI_Count {}[]", check='check_counts({n}, {comm}->remote_size(), "{n}")', **INTS)
kind("local_counts", "const int {}[]", "one count per process of the local group",
     large="const MPI_Count {}[]", check='check_counts({n}, {comm}->size(), "{n}")', **INTS)
kind("displs", "const int {}[]", "one displacement per process, in elements (bytes for the w forms)",
     large="const MPI_Aint {}[]", check='check_displs({n}, {comm}->remote_size(), "{n}")', **INTS)
kind("neighbor_counts", "const int {}[]", "one count per neighbor", large="const MPI_Count {}[]",
     check='check_counts({n}, {neighbors}, "{n}")', **INTS)
kind("neighbor_displs", "const int {}[]", "one displacement per neighbor, in elements",
     large="const MPI_Aint {}[]", check='check_displs({n}, {neighbors}, "{n}")', **INTS)
kind("neighbor_byte_displs", "const MPI_Aint {}[]", "one displacement per neighbor, in bytes",
     check='check_array({n}, {neighbors}, "{n}")')
kind("count_list", "const int {}[]", "counts, such as block lengths", large="const MPI_Count {}[]",
     check='check_counts({n}, {len}, "{n}")', argument="length", **INTS)
kind("displacement_list", "const int {}[]", "displacements in elements",
     large="const MPI_Count {}[]", check='check_displs({n}, {len}, "{n}")', argument="length",
     **INTS)
kind("byte_displacement_list", "const MPI_Aint {}[]", "displacements in bytes",
     large="const MPI_Count {}[]", check='check_displs({n}, {len}, "{n}")', argument="length",
     handling=INT_ARRAY, impl="IntArray {}")
kind("int_list", "const int {}[]", "numbers whose values the implementation checks", check=ARRAY,
     argument="length")
kind("int_list_any", "const int {}[]", "numbers; the length depends on the call")
kind("weights", "const int {}[]", "edge weights, MPI_UNWEIGHTED or MPI_WEIGHTS_EMPTY",
     argument="length")
kind("rank_list", "const int {}[]", "ranks; the implementation checks them", check=ARRAY,
     argument="length")
kind("rank_ranges", "int {}[][3]", "triples first, last, stride of ranks", check=ARRAY,
     argument="length")
kind("int_list_out", "int {}[]", "numbers", check=ARRAY, argument="length")
kind("int_list_inout", "int {}[]", "numbers, read and written", check=ARRAY, argument="length")
kind("weights_out", "int {}[]", "edge weights, or MPI_UNWEIGHTED", argument="length")
kind("rank_list_out", "int {}[]", "ranks", check=ARRAY, argument="length")
kind("error_codes_out", "int {}[]", "one error code per process, or MPI_ERRCODES_IGNORE")
kind("aint_list_out", "MPI_Aint {}[]", "addresses or displacements", check=ARRAY,
     argument="length")
kind("aint_list_any_out", "MPI_Aint {}[]", "addresses or displacements, or null")
kind("count_list_out", "MPI_Count {}[]", "counts of the large-count variant", check=ARRAY,
     argument="length")

# --- Numbers that come back -------------------------------------------------------------------------
for _name, _c, _doc in (
        ("int_out", "int *{}", "a number"),
        ("flag_out", "int *{}", "a truth value"),
        ("rank_out", "int *{}", "a rank"),
        ("index_out", "int *{}", "an index into an array, or MPI_UNDEFINED"),
        ("string_length_out", "int *{}", "the length of a string that comes back"),
        ("keyval_out", "int *{}", "a new attribute key"),
        ("keyval_inout", "int *{}", "an attribute key to be freed"),
        ("error_code_out", "int *{}", "an error code or class"),
        ("int_inout", "int *{}", "a number, read and written"),
        ("address_out", "MPI_Aint *{}", "an address"),
        ("offset_out", "MPI_Offset *{}", "a file offset or size")):
    kind(_name, _c, _doc, check=NOT_NULL)
kind("optional_int_out", "int *{}", "a number; a null pointer says that it is not wanted")
kind("optional_int_inout", "int *{}", "a number, read and written; may be a null pointer")
kind("optional_count_out", "MPI_Count *{}", "a number; a null pointer says that it is not wanted")

# --- Buffers: described by the next count (or counts) and the next datatype of the signature ------
BUFFER_FLAGS = ("in_place", "in_place_at_root")
kind("send_buffer", "const void *{}", "data that is read", handling=BUFFER, flags=BUFFER_FLAGS)
kind("recv_buffer", "void *{}", "data that is written", handling=BUFFER, flags=BUFFER_FLAGS)
kind("inout_buffer", "void *{}", "data that is read and written", handling=BUFFER,
     flags=BUFFER_FLAGS)

# --- Memory that no datatype describes -------------------------------------------------------------
kind("memory", "void *{}", "memory of the caller", check=NOT_NULL, flags=("null_ok",))
kind("const_memory", "const void *{}", "memory of the caller, read", check=NOT_NULL,
     flags=("null_ok",))
kind("location", "const void *{}", "an address of the caller; not accessed")
kind("attach_buffer", "void *{}", "memory for buffered sends, or MPI_BUFFER_AUTOMATIC",
     check='check_attach_buffer({n}, {len}, "{n}")', argument="length")
kind("pointer_out", "void *{}", "address of a pointer that is written", check=NOT_NULL)
kind("attribute_value", "void *{}", "the value of an attribute")
kind("attribute_value_out", "void *{}", "address of a pointer: the value of an attribute",
     check=NOT_NULL)
kind("extra_state", "void *{}", "handed to the callbacks as it is")
kind("fortran_logical", "void *{}", "a Fortran LOGICAL of the given size", check=NOT_NULL)

# --- Strings -------------------------------------------------------------------------------------------
kind("string", "const char *{}", "a string", check='check_string({n}, "{n}")')
kind("info_key", "const char *{}", "key of an info object", check='check_info_key({n}, "{n}")')
kind("info_value", "const char *{}", "value of an info object",
     check='check_info_value({n}, "{n}")')
kind("string_array", "const char {}[]", "a string, spelled as an array by the standard",
     check='check_string({n}, "{n}")')
kind("string_out", "char *{}", "a string of a length the standard fixes", check=NOT_NULL)
kind("optional_string_out", "char *{}", "a string; a null pointer says that it is not wanted")
kind("argument_count", "int {}", "argc of main", check='check_length({n}, "{n}")')
kind("argument_vector", "char *{}[]", "argv of main, or MPI_ARGV_NULL")
kind("argument_vectors", "char **{}[]", "one argv per command, or MPI_ARGVS_NULL")
kind("argument_count_inout", "int *{}", "&argc of main, or null")
kind("argument_vector_inout", "char ***{}", "&argv of main, or null")
kind("command_list", "char *{}[]", "names of programs", check=ARRAY, argument="length")

# --- Handles ---------------------------------------------------------------------------------------------
for _stem, _handle in HANDLES.items():
    _c_type = _handle.c_type
    kind(_stem, _c_type + " {}", f"a {_handle.label}", handling=OBJECT, handle=_handle,
         impl=_handle.cls + "* {}", check=f'check_{_handle.checked}({{o}}, {{n}}, "{{n}}")')
    kind(_stem + "_out", _c_type + " *{}", f"a new {_handle.label}", handling=HANDLE_OUT,
         handle=_handle, impl=_handle.cls + "** {}", check=NOT_NULL)
    kind(_stem + "_inout", _c_type + " *{}", f"a {_handle.label} that is used up or changed",
         handling=HANDLE_INOUT, handle=_handle, flags=("null_ok",),
         check=f'check_{_stem}_inout({{n}}, "{{n}}")')
    kind(_stem + "_raw", _c_type + " {}", f"a {_handle.label}, not looked at by the entry point")


def variant(name, stem, doc, check):
    """Another kind of an input handle: the same conversion, other checks."""
    handle = HANDLES[stem]
    kind(name, handle.c_type + " {}", doc, handling=OBJECT, handle=handle,
         impl=handle.cls + "* {}", check=check)


variant("intra_comm", "comm", "an intracommunicator", 'check_intra_comm({o}, {n}, "{n}")')
variant("comm_or_null", "comm", "a communicator or MPI_COMM_NULL",
        'check_comm_or_null({o}, {n}, "{n}")')
variant("inter_comm", "comm", "an intercommunicator", 'check_inter_comm({o}, {n}, "{n}")')
variant("any_datatype", "datatype", "a datatype that need not be committed",
        'check_datatype_object({o}, {n}, "{n}")')
variant("any_datatype_or_null", "datatype", "any datatype or MPI_DATATYPE_NULL",
        'check_datatype_or_null({o}, {n}, "{n}")')
variant("rma_op", "op", "an operation of one-sided communication: also MPI_REPLACE, MPI_NO_OP",
        'check_op_object({o}, {n}, "{n}")')
variant("info_or_null", "info", "an info object or MPI_INFO_NULL",
        'check_info_or_null({o}, {n}, "{n}")')
kind("raw_info_or_null", "MPI_Info {}", "an info object or MPI_INFO_NULL: the handle as it is",
     handle=HANDLES["info"])

variant("request_or_null", "request", "a request or MPI_REQUEST_NULL",
        'check_request_or_null({o}, {n}, "{n}")')

kind("request_array_inout", "MPI_Request {}[]", "requests; null requests are allowed",
     check='check_requests({n}, {len}, "{n}")', argument="length")
kind("started_array_inout", "MPI_Request {}[]", "persistent requests, none of them null",
     check='check_started_requests({n}, {len}, "{n}")', argument="length")
kind("request_array", "const MPI_Request {}[]", "requests; null requests are allowed",
     check='check_requests({n}, {len}, "{n}")', argument="length")
kind("datatype_list", "const MPI_Datatype {}[]", "datatypes that need not be committed",
     check=ARRAY, argument="length")
kind("datatypes", "const MPI_Datatype {}[]", "one datatype per process of the (remote) group",
     check='check_datatypes({n}, {counts}, {comm}->remote_size(), "{n}")')
kind("neighbor_datatypes", "const MPI_Datatype {}[]", "one datatype per neighbor",
     check='check_datatypes({n}, {counts}, {neighbors}, "{n}")')
kind("datatype_list_out", "MPI_Datatype {}[]", "datatypes", check=ARRAY, argument="length")
kind("datatype_list_any_out", "MPI_Datatype {}[]", "datatypes, or null")
kind("info_list", "const MPI_Info {}[]", "info objects or MPI_INFO_NULL", check=ARRAY,
     argument="length")

# --- Status ------------------------------------------------------------------------------------------------
kind("status", "const MPI_Status *{}", "a status that is read", check='check_status({n}, "{n}")')
kind("status_inout", "MPI_Status *{}", "a status that is changed",
     check='check_status({n}, "{n}")')
kind("status_out", "MPI_Status *{}", "a status, or MPI_STATUS_IGNORE")
kind("status_array_out", "MPI_Status *{}", "statuses, or MPI_STATUSES_IGNORE", argument="length")

# --- Callbacks -----------------------------------------------------------------------------------------------
kind("callback", "{type} *{}", "a function the application gives; must not be null",
     check='check_callback({n}, "{n}")', argument="type")
kind("optional_callback", "{type} *{}", "a function the application gives; null means none",
     argument="type")

# --- Tool interface --------------------------------------------------------------------------------------------
kind("tool_handle", "{type} {}", "a handle of the tool interface", argument="type")
kind("tool_handle_out", "{type} *{}", "a new handle of the tool interface", argument="type")
kind("optional_tool_handle_out", "{type} *{}", "a handle; null says that it is not wanted",
     argument="type")
kind("tool_handle_inout", "{type} *{}", "a handle that is freed", argument="type")
kind("tool_enum", "{type} {}", "a value of an enumeration", argument="type")
kind("tool_enum_out", "{type} *{}", "a value of an enumeration", argument="type")
kind("tool_callback", "{type} {}", "a function; spelled without * by the standard",
     argument="type")
kind("optional_datatype_out", "MPI_Datatype *{}", "a datatype; null says that it is not wanted")
kind("optional_info_out", "MPI_Info *{}", "an info object; null says that it is not wanted")
kind("object_address", "void *{}", "address of the handle a variable is bound to, or null")
kind("const_level", "const int {}", "level of profiling")
kind("variadic", "...", "further arguments of MPI_Pcontrol")
