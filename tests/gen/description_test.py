"""description_test.py - what holds for the whole description: rules of the standard, not of the format."""

import re
import unittest

import generator
import kinds
import write_header

API = generator.reader.read_api(generator.API)
PLAIN = [f for f in API.functions() if not f.is_large]
TYPES = {t.name for t in API.types}
BY_NAME = {f.name: f for f in API.functions()}
VALUES = {v.name: (v.value, group) for group in API.groups for v in group.values}


def shape(function, without=()):
    """The parameters as (name, kind, argument, flags), without those of some kinds."""
    return [(p.name, p.kind.name, p.argument, p.flags) for p in function.parameters
            if p.kind.name not in without]


class FunctionsTest(unittest.TestCase):
    def test_all_of_mpi_5(self):
        self.assertEqual(len(PLAIN), 503)
        self.assertEqual(len(BY_NAME), 664)

    def test_large_variant_exactly_where_a_kind_has_one(self):
        for function in PLAIN:
            widens = any(p.kind.has_large or p.argument + "_c" in TYPES
                         for p in function.parameters)
            self.assertEqual(bool(function.large), widens, function.name)

    def test_large_variant_is_the_plain_function_with_wider_numbers(self):
        for function in PLAIN:
            if not function.large or function.large.impl != function.impl:
                continue
            for p, q in zip(function.parameters, function.large.parameters, strict=True):
                if p.c_type() != q.c_type(True):
                    # int or MPI_Aint becomes MPI_Count or MPI_Aint, and nothing else changes.
                    form = re.sub(r"\b(int|MPI_Aint)\b", "N", p.c_type())
                    self.assertEqual(re.sub(r"\b(MPI_Count|MPI_Aint)\b", "N", q.c_type(True)), form,
                                     f"{function.name}: {p.name}")

    def test_versions(self):
        for function in API.functions():
            if function.is_large:
                self.assertGreaterEqual(float(function.since), 4.0, function.name)
            if function.deprecated:
                self.assertGreaterEqual(float(function.deprecated), float(function.since),
                                        function.name)

    def test_nonblocking_collective_is_the_blocking_one_with_a_request(self):
        pairs = 0
        for function in PLAIN:
            blocking = "MPI_" + function.name[5:].capitalize()
            if function.name.startswith("MPI_I") and blocking in BY_NAME and \
                    function.section.title.startswith("Nonblocking ") and \
                    "ollective" in function.section.title:
                expected = shape(BY_NAME[blocking]) + [("request", "request_out", "", ())]
                self.assertEqual(shape(function), expected, function.name)
                pairs += 1
        self.assertEqual(pairs, 17 + 5)

    def test_persistent_collective_is_the_blocking_one_with_info_and_request(self):
        pairs = 0
        for function in PLAIN:
            if function.section.title.startswith("Persistent ") and \
                    "ollective" in function.section.title:
                blocking = BY_NAME[function.name.removesuffix("_init")]
                expected = shape(blocking) + [("info", "info_or_null", "", ()),
                                              ("request", "request_out", "", ())]
                self.assertEqual(shape(function), expected, function.name)
                pairs += 1
        self.assertEqual(pairs, 17 + 5)

    def test_nonblocking_send_and_receive_are_the_blocking_ones_with_a_request(self):
        for name in ("Send", "Bsend", "Ssend", "Rsend", "Recv", "Sendrecv", "Sendrecv_replace"):
            blocking = shape(BY_NAME["MPI_" + name], without=("status_out",))
            expected = blocking + [("request", "request_out", "", ())]
            self.assertEqual(shape(BY_NAME["MPI_I" + name.lower()]), expected)
            if not name.startswith("Sendrecv"):
                self.assertEqual(shape(BY_NAME[f"MPI_{name}_init"]), expected)

    def test_buffers_are_const_exactly_when_they_are_sent(self):
        for function in PLAIN:
            for p in function.parameters:
                if p.kind.handling == kinds.BUFFER:
                    self.assertEqual(p.kind.name == "send_buffer",
                                     p.declaration().startswith("const "), function.name)

    def test_every_kind_is_used_and_explained(self):
        used = {p.kind.name for f in API.functions() for p in f.parameters}
        # Families made in a loop over the handles have members that nothing uses.
        made = {stem + suffix for stem in kinds.HANDLES for suffix in ("", "_out", "_inout", "_raw")}
        self.assertEqual(set(kinds.KINDS) - used - made, set())
        for kind in kinds.KINDS.values():
            self.assertTrue(kind.doc, kind.name)

    def test_deprecated_functions_share_the_implementation_of_their_successors(self):
        for name in ("Type_size_x", "Type_get_extent_x", "Type_get_true_extent_x",
                     "Get_elements_x", "Status_set_elements_x", "Attr_put", "Attr_get",
                     "Attr_delete", "Keyval_create", "Keyval_free"):
            function = BY_NAME["MPI_" + name]
            self.assertTrue(function.deprecated, name)
            self.assertNotEqual(function.impl, name.lower(), name)

    def test_functions_that_the_standard_allows_at_any_time(self):
        for name in ("Initialized", "Finalized", "Get_version", "Get_library_version",
                     "Info_create", "Info_create_env", "Info_set", "Info_delete", "Info_get",
                     "Info_get_string", "Info_get_valuelen", "Info_get_nkeys", "Info_get_nthkey",
                     "Info_dup", "Info_free", "Session_create_errhandler",
                     "Session_call_errhandler", "Errhandler_free", "Error_string", "Error_class",
                     "Add_error_class", "Add_error_code", "Add_error_string", "Abi_get_version",
                     "Abi_get_info", "T_init_thread"):
            self.assertTrue(BY_NAME["MPI_" + name].anytime, name)
        for name in ("Send", "Comm_rank", "Type_size", "Abort"):
            self.assertFalse(BY_NAME["MPI_" + name].anytime, name)


class ConstantsTest(unittest.TestCase):
    """The encoding rules of the ABI chapter: handles are 10-bit codes that begin with their type."""

    RANGES = {"MPI_Op": (0x20, 0x3f), "MPI_Comm": (0x100, 0x107), "MPI_Group": (0x108, 0x10f),
              "MPI_Win": (0x110, 0x117), "MPI_File": (0x118, 0x11f),
              "MPI_Session": (0x120, 0x127), "MPI_Message": (0x128, 0x12f),
              "MPI_Info": (0x130, 0x137), "MPI_Errhandler": (0x140, 0x147),
              "MPI_Request": (0x180, 0x187), "MPI_Datatype": (0x200, 0x2ff)}

    def handles(self):
        for name, (value, group) in VALUES.items():
            if group.form in self.RANGES:
                yield name, value, group.form

    def test_handles_lie_in_the_range_of_their_type(self):
        for name, value, form in self.handles():
            low, high = self.RANGES[form]
            self.assertTrue(low <= value <= high, f"{name} = {value:#x}")

    def test_null_handles_come_first_in_their_range(self):
        nulls = [(name, value, form) for name, value, form in self.handles()
                 if re.match(r"MPI_[A-Z]+_NULL$", name)]
        self.assertEqual(len(nulls), len(self.RANGES))
        for name, value, form in nulls:
            self.assertEqual(value, self.RANGES[form][0], name)

    def test_handles_differ(self):
        seen = {}
        aliases = {v.name for group in API.groups for v in group.values if v.alias}
        for name, value, form in self.handles():
            if name not in aliases:
                self.assertNotIn((form, value), seen, name)
                seen[form, value] = name

    def test_fixed_size_datatypes_carry_their_size(self):
        bits = {"INT8_T": 8, "UINT8_T": 8, "INT16_T": 16, "UINT16_T": 16, "INT32_T": 32,
                "UINT32_T": 32, "INT64_T": 64, "UINT64_T": 64, "CHAR": 8, "BYTE": 8}
        for name, size in bits.items():
            value = VALUES["MPI_" + name][0]
            self.assertEqual(8 << (value >> 3 & 7), size, name)
        for name, (value, group) in VALUES.items():
            match = re.fullmatch(r"MPI_(LOGICAL|INTEGER|REAL|COMPLEX)(\d+)", name)
            if match:
                self.assertEqual(1 << (value >> 3 & 7), int(match.group(2)), name)

    def test_error_classes_have_no_gaps(self):
        group = next(g for g in API.groups if g.title == "Error classes")
        values = [v.value for v in group.values]
        self.assertEqual(values, [*range(63), 16383])
        for value in group.values:
            self.assertTrue(value.comment, f"{value.name} has no text")

    def test_special_ranks_and_tags_differ_and_are_negative(self):
        names = ("MPI_ANY_SOURCE", "MPI_ANY_TAG", "MPI_PROC_NULL", "MPI_ROOT", "MPI_UNDEFINED")
        values = [VALUES[name][0] for name in names]
        self.assertEqual(len(set(values)), len(values))
        self.assertTrue(all(value < 0 for value in values))

    def test_assertions_and_access_modes_are_single_bits(self):
        for name, (value, _) in VALUES.items():
            if name.startswith("MPI_MODE_"):
                self.assertEqual(value & (value - 1), 0, name)

    def test_thread_levels_are_ordered(self):
        levels = [VALUES["MPI_THREAD_" + name][0]
                  for name in ("SINGLE", "FUNNELED", "SERIALIZED", "MULTIPLE")]
        self.assertEqual(levels, sorted(set(levels)))

    def test_every_handle_type_of_the_functions_has_a_null_handle(self):
        for handle in kinds.HANDLES.values():
            group = [g for g in API.groups if g.form == handle.c_type]
            self.assertTrue(group, handle.c_type)


class HeaderTextTest(unittest.TestCase):
    def test_lines_fit(self):
        for line in write_header.header(API).splitlines():
            self.assertLessEqual(len(line), 100, line)

    def test_each_function_is_declared_once_and_under_its_profiling_name(self):
        text = write_header.header(API)
        for function in API.functions():
            for prefix in ("", "P"):
                found = re.findall(rf"^\w+ {prefix}{function.name}\(", text, re.M)
                self.assertEqual(len(found), 1, prefix + function.name)


if __name__ == "__main__":
    unittest.main()
