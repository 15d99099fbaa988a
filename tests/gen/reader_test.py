"""reader_test.py - every mistake in the description is answered with its file, its line and a remedy."""

import unittest

import generator
from model import DescriptionError

TYPES = """\
integer MPI_Count int64_t
handle MPI_Comm
enum MPI_T_order
callback MPI_User_function(void *in) -> void
callback MPI_User_function_c(void *in, MPI_Count n) -> void
"""
HEAD = "chapter 3 Test\nsection Functions\n"  # Two lines: the function is in line 3.


def function(text):
    return {"types": TYPES, "test": HEAD + text}


class MistakeTest(unittest.TestCase):
    def refused(self, where, *words, **files):
        with self.assertRaises(DescriptionError) as caught:
            generator.read_text(**files)
        text = str(caught.exception)
        self.assertTrue(text.startswith(where + ": "), f"{text!r} does not begin with {where!r}")
        for word in words:
            self.assertIn(word, text)

    def test_unknown_kind_names_the_nearest(self):
        self.refused("test.api:3", "MPI_F", "'x'", "'cout'", "did you mean 'count'?",
                     **function("MPI_F(x: cout)\n  since 1\n"))

    def test_parameter_without_kind(self):
        self.refused("test.api:3", "'buffer'", "unknown kind",
                     **function("MPI_F(buffer)\n  since 1\n"))

    def test_parameter_that_is_none(self):
        self.refused("test.api:3", "'int x'", **function("MPI_F(int x)\n  since 1\n"))

    def test_same_parameter_twice(self):
        self.refused("test.api:3", "two parameters 'comm'",
                     **function("MPI_F(comm, comm)\n  since 1\n"))

    def test_argument_of_a_kind_that_takes_none(self):
        self.refused("test.api:3", "takes no argument",
                     **function("MPI_F(comm, x: int(comm))\n  since 1\n"))

    def test_length_that_is_no_parameter(self):
        self.refused("test.api:3", "'n'", "no parameter",
                     **function("MPI_F(x: rank_list(n))\n  since 1\n"))

    def test_array_without_length(self):
        self.refused("test.api:3", "needs its length",
                     **function("MPI_F(x: rank_list)\n  since 1\n"))

    def test_unknown_type(self):
        self.refused("test.api:3", "types.api", "did you mean 'MPI_User_function'?",
                     **function("MPI_F(f: callback(MPI_User_functio))\n  since 1\n"))

    def test_unknown_flag(self):
        self.refused("test.api:3", "'in_plac'", "did you mean 'in_place'?",
                     **function("MPI_F(b: send_buffer in_plac, count, datatype)\n  since 1\n"))

    def test_flag_of_another_kind(self):
        self.refused("test.api:3", "'in_place' is no flag",
                     **function("MPI_F(x: int in_place)\n  since 1\n"))

    def test_rank_without_communicator(self):
        self.refused("test.api:3", "needs a communicator", **function("MPI_F(dest)\n  since 1\n"))

    def test_root_side_without_root(self):
        self.refused("test.api:3", "has no root",
                     **function("MPI_F(x: string at_root, comm)\n  since 1\n"))

    def test_buffer_without_datatype(self):
        self.refused("test.api:3", "buffer 'b'", "count and a datatype",
                     **function("MPI_F(b: send_buffer, count)\n  since 1\n"))

    def test_missing_attributes(self):
        self.refused("test.api:3", "MPI_F lacks", **function("MPI_F()\nMPI_G()\n  since 1\n"))
        self.refused("test.api:3", "MPI_F lacks", **function("MPI_F()\n"))

    def test_missing_since(self):
        self.refused("test.api:4", "'since VERSION' is missing",
                     **function("MPI_F()\n  implemented\n"))

    def test_version_that_is_none(self):
        self.refused("test.api:4", "'now'", **function("MPI_F()\n  since now\n"))

    def test_unknown_attribute_names_the_nearest(self):
        self.refused("test.api:4", "did you mean 'implemented'?",
                     **function("MPI_F()\n  since 1, implmented\n"))

    def test_large_without_difference(self):
        self.refused("test.api:4", "no parameter differs",
                     **function("MPI_F(comm)\n  since 1, large\n"))

    def test_large_only_without_large(self):
        self.refused("test.api:4", "large_only",
                     **function("MPI_F(n: count large_only)\n  since 1\n"))

    def test_function_twice(self):
        self.refused("test.api:5", "MPI_F is described twice", "test.api:3",
                     **function("MPI_F()\n  since 1\nMPI_F()\n  since 1\n"))

    def test_shared_implementation_with_other_parameters(self):
        self.refused("test.api:5", "MPI_G and MPI_F share", "(Comm*)",
                     **function("MPI_F(comm)\n  since 1\nMPI_G()\n  since 1, impl f\n"))

    def test_unclosed_parenthesis(self):
        self.refused("test.api:3", "MPI_Name(parameter, ...)",
                     **function("MPI_F(comm\nMPI_G()\n  since 1\n"))

    def test_function_outside_a_section(self):
        self.refused("test.api:2", "before 'section'",
                     types=TYPES, test="chapter 3 Test\nMPI_F()\n  since 1\n")

    def test_statement_that_is_none(self):
        self.refused("test.api:1", "did you mean 'chapter'?", types=TYPES, test="chaper 3 Test\n")

    def test_two_chapters_in_a_file(self):
        self.refused("test.api:2", "one chapter", types=TYPES, test="chapter 3 A\nchapter 4 B\n")

    def test_indented_line_of_nothing(self):
        self.refused("test.api:1", "indented", types=TYPES, test="  since 1\n")

    def test_tab(self):
        self.refused("test.api:1", "tabs", types=TYPES, test="chapter\t3 Test\n")

    def test_constant_twice(self):
        self.refused("test.api:3", "MPI_A is defined twice",
                     types=TYPES, test="values macro: T\nMPI_A 1\nMPI_A 2\n")

    def test_constant_without_number(self):
        self.refused("test.api:2", "'one'", types=TYPES, test="values macro: T\nMPI_A one\n")

    def test_alias_of_a_constant_that_is_not_there(self):
        self.refused("test.api:2", "MPI_B", types=TYPES, test="values macro: T\nMPI_A MPI_B\n")

    def test_group_without_constants(self):
        self.refused("test.api:1", "without constants", types=TYPES, test="values macro: T\n")

    def test_group_of_an_unknown_type(self):
        self.refused("test.api:1", "'MPI_Nothing'",
                     types=TYPES, test="values MPI_Nothing: T\nMPI_A 1\n")
        self.refused("test.api:1", "no enum", types=TYPES, test="values enum MPI_X: T\nMPI_A 1\n")

    def test_type_twice(self):
        self.refused("types.api:2", "defined twice", types="handle MPI_A\nhandle MPI_A\n")

    def test_alias_of_an_unknown_type(self):
        self.refused("types.api:1", "no earlier type", types="alias MPI_A MPI_B\n")

    def test_attribute_of_a_type(self):
        self.refused("types.api:1", "'deprecated'", types="handle MPI_A deprecated\n")

    def test_member_that_is_none(self):
        self.refused("types.api:2", "member of MPI_S", types="struct MPI_S\n  int\n")

    def test_empty_folder(self):
        with self.assertRaisesRegex(DescriptionError, "no .api files"):
            generator.read_text()


class ReadingTest(unittest.TestCase):
    def test_comments_and_continuations(self):
        api = generator.read_text(**function(
            "MPI_F(comm,  # first\n    x: int)  # second\n  since 2.0, implemented  # done\n"))
        function_read, = api.functions()
        self.assertEqual(function_read.declaration(), "int MPI_F(MPI_Comm comm, int x)")
        self.assertEqual((function_read.since, function_read.implemented), ("2.0", True))

    def test_hash_inside_quotes_is_text(self):
        api = generator.read_text(types=TYPES, test='values macro: T\nMPI_A 1 "a # b"  # comment\n')
        self.assertEqual(api.groups[0].values[0].comment, "a # b")

    def test_large_variant(self):
        api = generator.read_text(**function(
            "MPI_F(n: count, extra: count large_only, v: counts, f: callback(MPI_User_function),\n"
            "    comm)\n  since 1, large separate\n"))
        plain, large = api.functions()
        self.assertEqual(plain.declaration(), "int MPI_F(int n, const int v[], "
                                              "MPI_User_function *f, MPI_Comm comm)")
        self.assertEqual(large.declaration(), "int MPI_F_c(MPI_Count n, MPI_Count extra, "
                                              "const MPI_Count v[], MPI_User_function_c *f, "
                                              "MPI_Comm comm)")
        self.assertEqual((plain.impl, large.impl, large.since), ("f", "f_c", "4.0"))

    def test_buffer_belongs_to_the_next_count_and_datatype(self):
        api = generator.read_text(**function(
            "MPI_F(a: send_buffer, b: recv_buffer, n: count, t: datatype, c: recv_buffer,\n"
            "    m: count, u: datatype)\n  since 1\n"))
        function_read, = api.functions()
        described = [(p.count.name, p.datatype.name) for p in function_read.parameters if p.count]
        self.assertEqual(described, [("n", "t"), ("n", "t"), ("m", "u")])


if __name__ == "__main__":
    unittest.main()
