"""rules_test.py - every rule of rules.py catches what it is for, and lets through what looks like it."""

import unittest

import rules

LAYERS = rules.Layers.parse("""
# comment
layer core
layer shm core
layer mpi_api core spawn
layer spawn core
layer mpi_api/init.cc shm
public shm shm_fabric.h   # trailing comment
outside mpi.h mpi_api tests
outside infiniband verbs
generated mpi_api impl.h
""")


def source(path, text, existing=()):
    return rules.Source(path, text, LAYERS, lambda p: p in existing)


class RulesTest(unittest.TestCase):
    def expect(self, rule, path, text, *lines, existing=()):
        """The rule finds something on exactly these lines of the file."""
        got = [line for line, _ in rules.RULES[rule](source(path, text, existing))]
        self.assertEqual(sorted(got), sorted(lines), f"{rule} on {path}: {text!r}")

    def test_include_directions(self):
        self.expect("include", "shm/a.cc", '#include "core/b.h"\n#include "shm/c.h"\n#include <vector>\n')
        self.expect("include", "core/a.cc", '\n  #  include "shm/c.h"\n', 2)
        self.expect("include", "core/a.cc", '#include "core/../shm/c.h"\n', 1)
        self.expect("include", "shm/a.h", '#include "spawn/c.h"\n#include "mpi_api/x.h"\n', 1, 2)
        self.expect("include", "spawn/a.cc", '#include "sibling.h"\n', 1)
        self.expect("include", "mpi_api/a.cc", '#include "impl.h"\n#include "sibling.h"\n', 2)

    def test_include_extra_permission_is_for_one_file_and_public_headers(self):
        self.expect("include", "mpi_api/init.cc", '#include "shm/shm_fabric.h"\n')
        self.expect("include", "mpi_api/other.cc", '#include "shm/shm_fabric.h"\n', 1)
        self.expect("include", "mpi_api/init.cc", '#include "shm/ring.h"\n', 1)
        self.expect("include", "shm/a.cc", '#include "shm/ring.h"\n')
        self.expect("include", "tests/unit/ring_test.cc", '#include "shm/ring.h"\n')

    def test_include_from_outside(self):
        self.expect("include", "core/a.cc", "#include <mpi.h>\n#include <infiniband/verbs.h>\n", 1, 2)
        self.expect("include", "core/a.cc", '#include "mpi.h"\n', 1)
        self.expect("include", "verbs/a.cc", "#include <infiniband/verbs.h>\n")
        self.expect("include", "tests/mpi/a.cc", "#include <mpi.h>\n")

    def test_programs_see_nothing_of_the_engine(self):
        self.expect("include", "tests/mpi/a.cc", '#include "check.h"\n#include "core/check.h"\n', 2,
                    existing=("tests/mpi/check.h", "core/check.h"))

    def test_includes_in_comments_do_not_count(self):
        self.expect("include", "core/a.cc", '// #include "shm/c.h"\n/*\n#include "shm/c.h"\n*/\n')

    def test_calls(self):
        for call in ("exit(1);", "  abort();", "std::abort();", "::exit(1);", "if (x) _exit(3);",
                     "return exit(2);", "else abort();", "std::terminate();", "assert(x == 1);",
                     "sprintf(a, b);", "x = atoi(s);", "f(std::atoi(s));", "strcpy (a, b);",
                     "auto r = rand();", "std::quick_exit(0);", "!system(c)"):
            self.expect("call", "core/a.cc", f"void f() {{\n  {call}\n}}\n", 2)

    def test_what_only_looks_like_a_call(self):
        for text in ("virtual void abort(int code) = 0;", "wireup->abort(1);", "wireup.abort(1);",
                     "int Pmi1Client::abort(int code) {", "static_assert(sizeof(int) == 4);",
                     "// exit(1)", "/* abort();\n abort(); */", 'log("exit(1)");', "call_exit(1);",
                     "exit_code(1);", "tern::spawn::abort(1);", 'R"(abort();)"', "atexit(f);",
                     "const int n = 1'000; f('\"'); exits();", "operand(1);"):
            self.expect("call", "core/a.cc", text + "\n")

    def test_calls_after_awkward_literals_are_still_seen(self):
        self.expect("call", "core/a.cc", "int n = 1'000'000;\nabort();\n", 2)
        self.expect("call", "core/a.cc", "char c = '\"';\nabort();\n", 2)
        self.expect("call", "core/a.cc", 'auto s = "\\"";\nabort();\n', 2)
        self.expect("call", "core/a.cc", 'auto s = R"x(a)" b)x";\nabort();\n', 2)

    def test_tests_and_examples_may_exit(self):
        for path in ("tests/launch/a.c", "examples/a.c"):
            self.expect("call", path, "int main() { exit(3); }\n")
        self.expect("call", "bench/perf/a.cc", "int f() { exit(3); }\n", 1)

    def test_environment(self):
        self.expect("environment", "core/a.cc", "x = std::getenv(n);\ny = ::secure_getenv (n);\n", 1, 2)
        self.expect("environment", "core/a.cc", "// getenv(x)\nmy_getenv(n);\n")
        self.expect("environment", "tests/unit/a.cc", "x = getenv(n);\n")

    def test_size(self):
        self.expect("size", "core/a.cc", "x;\n" * rules.SOURCE_LINES_MAX)
        self.expect("size", "core/a.cc", "x;\n" * (rules.SOURCE_LINES_MAX + 1), rules.SOURCE_LINES_MAX)
        self.expect("size", "docs/a.md", "x\n" * (rules.SOURCE_LINES_MAX + 1))

    def test_unfinished(self):
        for mark in ("TO" + "DO: x", "FIX" + "ME", "XX" + "X x"):
            self.expect("unfinished", "core/a.cc", f"int x;\n// {mark}\n", 2)
            self.expect("unfinished", "scripts/a.py", f"# {mark}\n", 1)
        self.expect("unfinished", "core/a.cc", "#if 0\n#endif\n# if  0 // why\n#endif\n#if 01\n", 1, 3)
        self.expect("unfinished", "core/a.cc", 'fail("not implemented");\n// Not yet implemented.\n', 1, 2)
        self.expect("unfinished", "core/a.cc", "int undo; // auto" + "do\n")

    def test_header(self):
        self.expect("header", "core/a.h", "// x\n#pragma once\n")
        self.expect("header", "core/a.h", "// x\n", 1)
        self.expect("header", "core/a.h", "// x\n// #pragma once\n", 1)

    def test_opening(self):
        self.expect("opening", "core/a.cc", "// what\n")
        self.expect("opening", "core/a.c", "/* what */\n")
        self.expect("opening", "core/a.cc", "#include <a>\n", 1)
        self.expect("opening", "core/a.cc", "", 1)
        self.expect("opening", "scripts/a.py", '"""what"""\n')
        self.expect("opening", "scripts/a.py", "#!/usr/bin/env python3\n# what\n")
        self.expect("opening", "scripts/a.py", "#!/usr/bin/env python3\nimport os\n", 1)
        self.expect("opening", "core/CMakeLists.txt", "tern_library(a)\n", 1)
        self.expect("opening", "scripts/build", "#!/bin/sh\n\nset -e\n", 1)

    def test_place(self):
        for path in ("/ho" + "me/me/x", "/wo" + "rk/main", "/ro" + "ot/x"):
            self.expect("place", "docs/a.md", f"see\n{path}\n", 2)
        self.expect("place", "docs/a.md", "frame" + "work/x and ${HOME}/work/x and a.b/home/x\n")

    def test_text(self):
        self.expect("text", "core/a.cc", "int x; \n\tint y;\nint z;", 1, 2, 3)
        self.expect("text", "core/a.cc", "int x;\n")

    def test_link(self):
        text = "[a](b.md) [c](d.md#x) [e](https://x.y/z) [f](#g)\n```\n[h](i.md)\n```\n"
        self.expect("link", "docs/a.md", text, 1, existing=("docs/b.md",))
        self.expect("link", "docs/a.md", text, existing=("docs/b.md", "docs/d.md"))

    def test_shell(self):
        self.expect("shell", "scripts/a", "#!/usr/bin/env bash\n# x\necho\n", 1)
        self.expect("shell", "scripts/a", "#!/usr/bin/env bash\n# x\nset -euo pipefail\necho\n")

    def test_exceptions(self):
        sources = [source("core/a.cc", "// a\nabort();\n"), source("core/b.cc", "// b\nabort();\n")]
        both = rules.apply(sources, [])
        self.assertEqual([f[0] for f in both], ["core/a.cc", "core/b.cc"])
        one = rules.apply(sources, rules.read_exceptions("# c\ncall core/a.cc it may\n"))
        self.assertEqual([f[0] for f in one], ["core/b.cc"])
        unused = rules.apply(sources, rules.read_exceptions("call core/*.cc they may\nsize core/a.cc big\n"))
        self.assertEqual([(f[0], f[2]) for f in unused], [("tests/tidy/exceptions.txt", "size")])
        for bad in ("call core/a.cc\n", "nonsense core/a.cc why\n"):
            with self.assertRaises(ValueError):
                rules.read_exceptions(bad)


if __name__ == "__main__":
    unittest.main()
